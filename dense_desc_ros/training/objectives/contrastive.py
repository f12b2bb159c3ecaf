"""Pixelwise contrastive loss: matches near to each other, non-matches at least a margin apart.

Source: Florence, Manuelli, Tedrake, "Dense Object Nets: Learning Dense Visual Object Descriptors By
and For Robotic Manipulation" (CoRL 2018), after Hadsell, Chopra, LeCun, "Dimensionality Reduction
by Learning an Invariant Mapping" (CVPR 2006). Non-matches on the object ("masked") and on the
background are two terms, each divided by the number of its non-matches that are still too near
("hard-negative scaling"). Where the source draws non-matches at random, all features of the second
view are taken here, which at feature resolution costs less than drawing does at full resolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.sampling import sample_pairs, squared_distances

SMALLEST = 1e-12  # under a root, whose slope at zero is infinite


@dataclass(frozen=True)
class ContrastiveConfig:
    """Settings of the objective.

    Attributes:
        points: correspondences in a pair.
        margin: that non-matches should be apart, in the distance of descriptors.
        exclusion: what lies nearer to a point than this is no non-match, pixels.
    """

    points: int = 512
    margin: float = 0.5
    exclusion: float = 12.0

    def __post_init__(self) -> None:
        require_positive(self, "points", "margin")


class ContrastiveObjective:
    """The sum of the means over matches, masked non-matches and background non-matches.

    The batch holds `pixels` (B, 2, N, 2), where [b, 0, n] and [b, 1, n] show the same point, and
    `masks` (B, 2, H, W) bool; without masks all non-matches are one term.
    """

    def __init__(self, config: ContrastiveConfig) -> None:
        self.config = config

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; the three terms are given too."""
        with torch.autocast(features.device.type, enabled=False):
            sampled = sample_pairs(features.float(), batch, network.config.output_stride)
            squared = squared_distances(sampled.a, sampled.others)
            far = sampled.distances >= self.config.exclusion
            on_object = sampled.on_object[:, None]
            losses = {
                "match": match(sampled.a, sampled.b),
                "masked": non_match(squared, far & on_object, self.config.margin),
                "background": non_match(squared, far & ~on_object, self.config.margin),
            }
            return {"loss": torch.stack(list(losses.values())).sum()} | losses


def match(a: Tensor, b: Tensor) -> Tensor:
    """Mean of ‖a - b‖² of corresponding descriptors (B, N, D)."""
    return (a - b).square().sum(dim=2).mean()


def non_match(squared: Tensor, chosen: Tensor, margin: float | Tensor) -> Tensor:
    """Sum of max(0, margin - distance)² over non-matches, by the number of those above zero.

    Args:
        squared: distances², of any shape.
        chosen: bool of the same shape, which of them are non-matches.
        margin: one, or of the same shape or one that broadcasts to it.
    """
    too_near = (margin - squared.clamp_min(SMALLEST).sqrt()).clamp_min(0) * chosen
    return too_near.square().sum() / torch.count_nonzero(too_near).clamp_min(1)
