"""What objectives by correspondences share: descriptors at pixels, and the other view's features.

All of it is at feature resolution; pixels between features are interpolated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.keypoints import feature_centres
from dense_desc_ros.training.objectives import Batch


@dataclass(frozen=True)
class Sampled:
    """Corresponding descriptors, and the features among which those of the second view are found.

    Attributes:
        a, b: (B, N, D) descriptors; a[i, n] and b[i, n] are of the same surface point.
        others: (B, M, D) the features of the second view, M = h·w, row by row.
        distances: (B, N, M) from the points in the second view to the features' centres, pixels.
        on_object: (B, M) which features are on the object; all, where the batch has no masks.
    """

    a: Tensor
    b: Tensor
    others: Tensor
    distances: Tensor
    on_object: Tensor


def sample_pairs(features: Tensor, batch: Batch, stride: int) -> Sampled:
    """Descriptors of the correspondences of a batch.

    Args:
        features: (2·B, D, h, w), view by view of each pair.
        batch: with `images`, `pixels` (B, 2, N, 2) and, where it has them, `masks` (B, 2, H, W).
        stride: image pixels per feature.
    """
    pixels = batch["pixels"]
    descriptors = sample_batch(features, pixels.flatten(0, 1), batch["images"].shape[-2:])
    a, b = descriptors.unflatten(0, (-1, 2)).unbind(dim=1)
    others = features[1::2].flatten(2).transpose(1, 2)
    centres = feature_centres(features.shape[-2:], stride, pixels.device)
    distances = torch.cdist(pixels[:, 1], centres.to(pixels).expand(len(pixels), -1, -1))
    if "masks" in batch:
        on_object = coverage(batch["masks"][:, 1], features.shape[-2:]).flatten(1) >= 0.5
    else:
        on_object = torch.ones(others.shape[:2], dtype=torch.bool, device=features.device)
    return Sampled(a, b, others, distances, on_object)


def sample_batch(features: Tensor, pixels: Tensor, size: torch.Size) -> Tensor:
    """Descriptors (B, N, D) of features (B, D, h, w) at pixels (B, N, 2); `size` of images (H, W).

    The same interpolation as `matching.sample`, with PyTorch's kernel, whose gradient is fast.
    """
    extent = pixels.new_tensor([size[1], size[0]])
    grid = ((pixels + 0.5) / extent * 2 - 1)[:, :, None]
    sampled = functional.grid_sample(
        features, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[..., 0].transpose(1, 2)


def coverage(masks: Tensor, grid: torch.Size) -> Tensor:
    """Share (B, h, w) of each feature's pixels that are on masks (B, H, W) bool."""
    shares = functional.adaptive_avg_pool2d(masks[:, None].float(), (grid[0], grid[1]))
    return shares[:, 0]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a - b‖² (B, N, M) of descriptors (B, N, D) and (B, M, D), by a matrix product."""
    squares = a.square().sum(dim=2)[:, :, None] + b.square().sum(dim=2)[:, None]
    return (squares - 2 * a @ b.transpose(1, 2)).clamp_min(0)
