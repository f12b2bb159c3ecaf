"""Pixelwise distribution loss: where a point is found should be a narrow Gaussian.

Source: Florence, Manuelli, Tedrake, "Self-Supervised Correspondence in Visuomotor Policy Learning"
(RA-L 2020): the likelihood of a pixel of the second view is a softmax over exp(-‖I_D[u] - d‖² / τ);
its divergence from a Gaussian around the true pixel is minimised, and so is the distance of its
spatial expectation from that pixel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.keypoints import feature_centres
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.sampling import sample_pairs, squared_distances


@dataclass(frozen=True)
class DistributionConfig:
    """Settings of the objective.

    Attributes:
        points: correspondences in a pair.
        temperature: τ of the softmax over squared distances of descriptors.
        sigma: of the Gaussian, pixels; not much less than the network's stride.
        expectation: weight of the expectation's distance, which counts in diagonals of the view.
    """

    points: int = 512
    temperature: float = 0.1
    sigma: float = 8.0
    expectation: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "points", "temperature", "sigma")


class DistributionObjective:
    """KL divergence of the Gaussians from what is found, and the distance of the expectations.

    The batch holds `pixels` (B, 2, N, 2), where [b, 0, n] and [b, 1, n] show the same point.
    """

    def __init__(self, config: DistributionConfig) -> None:
        self.config = config

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; the two terms are given too."""
        stride, height, width = network.config.output_stride, *batch["images"].shape[-2:]
        with torch.autocast(features.device.type, enabled=False):
            sampled = sample_pairs(features.float(), batch, stride)
            squared = squared_distances(sampled.a, sampled.others)
            log_found = (-squared / self.config.temperature).log_softmax(dim=2)
            truth = gaussians(sampled.distances, self.config.sigma)
            divergence = kl_divergence(truth, log_found)
            centres = feature_centres(features.shape[-2:], stride, features.device)
            offset = log_found.exp() @ centres.to(log_found) - batch["pixels"][:, 1]
            distance = offset.norm(dim=2).mean() / (height**2 + width**2) ** 0.5
        return {
            "loss": divergence + self.config.expectation * distance,
            "divergence": divergence,
            "distance": distance,
        }


def gaussians(distances: Tensor, sigma: float) -> Tensor:
    """Probabilities (..., M) that fall off with the distances (..., M) like a Gaussian of sigma."""
    return (-distances.square() / (2 * sigma**2)).softmax(dim=-1)


def kl_divergence(truth: Tensor, log_found: Tensor) -> Tensor:
    """Mean of Σ p log(p / q) over the last dimension of probabilities p and logarithms of q."""
    return (torch.xlogy(truth, truth) - truth * log_found).sum(dim=-1).mean()
