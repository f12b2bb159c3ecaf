"""Keypoints that two views of one object agree on: descriptors without correspondences.

Source: "Training Dense Object Nets: A Novel Approach" (2023). Each loss is a function of its own,
batched over pairs; keypoints are expectations at feature resolution (`keypoints.expectations`).
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros import se3
from dense_desc_ros.configuration import require_positive
from dense_desc_ros.keypoints import back_project, expectations
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch


@dataclass(frozen=True)
class LossWeights:
    """The factor of each loss in their sum; as published, unless given."""

    consistency: float = 1.0
    relative_pose: float = 1.0
    separation: float = 1.0
    silhouette: float = 1.0
    variance: float = 1e-3


@dataclass(frozen=True)
class KeypointConfig:
    """Settings of the objective.

    Attributes:
        weights: of the losses.
        huber: distance from which on inconsistency counts linearly, metres.
        margin: keypoints of a view should be at least so far apart, pixels.
    """

    weights: LossWeights = LossWeights()
    huber: float = 1.0
    margin: float = 2.0

    def __post_init__(self) -> None:
        require_positive(self, "huber", "margin")


class KeypointObjective:
    """The weighted sum of the five losses.

    The batch holds `intrinsics` (B, 2, 3, 3), `T_object_camera` (B, 2, 4, 4) and `masks`
    (B, 2, H, W) bool, in which no mask is empty.
    """

    def __init__(self, config: KeypointConfig) -> None:
        self.config = config

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        stride = network.config.output_stride
        intrinsics = batch["intrinsics"].flatten(0, 1)
        # In half precision pixels would be rounded to whole ones, and rotations to a degree.
        with torch.autocast(features.device.type, enabled=False):
            logits, depths = network.keypoint_maps(features.float())
            found = expectations(logits, depths, stride, intrinsics[:, :1, 0])
            points = back_project(found.pixels, found.depths, intrinsics)
            a, b = points.unflatten(0, (-1, 2)).unbind(dim=1)
            T_object_a, T_object_b = batch["T_object_camera"].unbind(dim=1)
            losses = {
                "consistency": consistency(
                    se3.transform(T_object_a, a), se3.transform(T_object_b, b), self.config.huber
                ),
                "relative_pose": relative_pose(a, b, se3.inverse(T_object_a) @ T_object_b),
                "separation": separation(found.pixels, self.config.margin),
                "silhouette": silhouette(logits, batch["masks"].flatten(0, 1)),
                "variance": found.variances.mean(),
            }
            weights = asdict(self.config.weights)
            total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        return {"loss": total} | losses


def consistency(points_a: Tensor, points_b: Tensor, huber: float) -> Tensor:
    """Mean over keypoints of the Huber loss between points (B, N, 3) that should be the same."""
    return 3 * functional.huber_loss(points_a, points_b, delta=huber)


def relative_pose(points_a: Tensor, points_b: Tensor, T_a_b: Tensor) -> Tensor:
    """Mean of ‖log(T_a_b⁻¹ T)‖, T the rigid fit of points_b onto points_a, both (B, N, 3).

    Points are in the frame of their own camera; T_a_b (B, 4, 4) is the true pose of camera b in a.
    Metres and radians count alike.
    """
    fit = se3.kabsch(points_b, points_a)
    return torch.linalg.vector_norm(se3.log(se3.inverse(T_a_b) @ fit), dim=1).mean()


def separation(pixels: Tensor, margin: float) -> Tensor:
    """How much nearer than `margin` px a keypoint is to the others, summed, mean over (B, N, 2)."""
    count = pixels.shape[1]
    first, second = torch.triu_indices(count, count, 1, device=pixels.device)
    distances = torch.linalg.vector_norm(pixels[:, first] - pixels[:, second], dim=2)
    return 2 * (margin - distances).clamp_min(0).sum(dim=1).mean() / count


def silhouette(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean of -log(probability on the mask) of logits (B, N, h, w), masks (B, H, W) bool.

    A feature counts by the share of its pixels that are on the mask.
    """
    coverage = functional.adaptive_avg_pool2d(
        masks[:, None].float(), (logits.shape[2], logits.shape[3])
    )
    logs = logits.flatten(2).log_softmax(dim=2)
    return -(logs + coverage.flatten(2).log()).logsumexp(dim=2).mean()
