"""Regression of canonical surface coordinates from the descriptors.

Source: Wang et al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size
Estimation" (CVPR 2019), there per pixel, here per feature. Coordinates do not have to be agreed
upon as descriptors have, so from scratch this learns sides of objects several times as fast as
losses between pairs of views: it is where those start from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch


@dataclass(frozen=True)
class CanonicalConfig:
    """Settings of the objective.

    Attributes:
        huber: distance from which on errors count linearly, as a share of the object's size.
    """

    huber: float = 0.05

    def __post_init__(self) -> None:
        require_positive(self, "huber")


class CanonicalObjective(nn.Module):
    """Coordinates on the object by regression, and where the object is by classification.

    A linear head reads both from descriptors; it is of use in training only. The batch holds
    `canonical` (B, 2, H, W, 3), NaN off the object.
    """

    def __init__(self, config: CanonicalConfig, descriptor_dim: int) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Conv2d(descriptor_dim, 4, kernel_size=1)

    def forward(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`."""
        truth = at_features(batch["canonical"].flatten(0, 1), network.config.output_stride)
        with torch.autocast(features.device.type, enabled=False):
            predicted, objectness = self.head(features.float()).split((3, 1), dim=1)
            error, object_loss = canonical_losses(
                predicted, objectness[:, 0], truth, self.config.huber
            )
        return {"loss": error + object_loss, "canonical": error, "object": object_loss}


def canonical_losses(
    predicted: Tensor, objectness: Tensor, truth: Tensor, huber: float
) -> tuple[Tensor, Tensor]:
    """Huber loss over `huber`, averaged over the object; and the binary cross-entropy of it.

    Args:
        predicted: (B, 3, h, w) coordinates.
        objectness: (B, h, w) logits.
        truth: (B, 3, h, w) coordinates, NaN off the object.
        huber: distance from which on errors count linearly.
    """
    on_object = torch.isfinite(truth).all(dim=1)
    errors = functional.huber_loss(
        predicted, truth.nan_to_num(0.5), delta=huber, reduction="none"
    ).mean(dim=1)
    error = (errors * on_object).sum() / on_object.sum().clamp_min(1) / huber
    return error, functional.binary_cross_entropy_with_logits(objectness, on_object.float())


def at_features(images: Tensor, stride: int) -> Tensor:
    """Values (B, C, h, w) of images (B, H, W, C) at the pixels next to the centres of features."""
    middle = stride // 2
    return images[:, middle::stride, middle::stride].permute(0, 3, 1, 2)
