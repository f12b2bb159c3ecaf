"""Keypoints as expectations over spatial probabilities, computed at feature resolution.

Source: "Training Dense Object Nets: A Novel Approach" (2023). Features are bilinearly upsampled to
the image there before the softmax; expectations over the features' own centres need neither
H x W x N nor H x W x D numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

REFERENCE_FOCAL = 600.0  # px, about that of a depth camera's 640x480 image


class Keypoints(NamedTuple):
    """N keypoints of each image.

    `pixels` (..., N, 2) as (u, v); `depths` (..., N) metres along the optical axis; `variances`
    (..., N), the mean squared distance of a keypoint's probability from its pixel, px².
    """

    pixels: Tensor
    depths: Tensor
    variances: Tensor


def expectations(
    logits: Tensor, depths: Tensor, stride: int, focal_length: float | Tensor
) -> Keypoints:
    """Expected positions and depths of keypoints.

    Args:
        logits: (B, N, h, w); their softmax over all places is a keypoint's probability.
        depths: (B, N, h, w) metres, as a camera of REFERENCE_FOCAL would see them.
        stride: image pixels per feature.
        focal_length: of the image's camera, pixels; one, or (B, 1).
    """
    probabilities = logits.float().flatten(2).softmax(dim=2)
    centres = feature_centres(logits.shape[-2:], stride, logits.device)
    middle = centres.mean(dim=0)  # moments around it lose no digits
    offsets = centres - middle
    moments = probabilities @ torch.cat([offsets, offsets.square().sum(1, keepdim=True)], dim=1)
    mean, mean_square = moments[..., :2], moments[..., 2]
    depth = (probabilities * depths.float().flatten(2)).sum(dim=2)
    return Keypoints(
        mean + middle,
        depth * (focal_length / REFERENCE_FOCAL),
        (mean_square - mean.square().sum(dim=2)).clamp_min(0),
    )


def feature_centres(size: torch.Size, stride: int, device: torch.device) -> Tensor:
    """Pixels (h·w, 2), (u, v), at the centres of features (h, w), row by row."""
    v, u = ((torch.arange(n, device=device) + 0.5) * stride - 0.5 for n in size)
    return torch.cartesian_prod(v, u).flip(1)


def back_project(pixels: Tensor, depths: Tensor, intrinsics: Tensor) -> Tensor:
    """Points (B, N, 3), K⁻¹ [u, v, 1]ᵀ · d, of pixels (B, N, 2) at depths (B, N), metres."""
    focal = intrinsics.diagonal(dim1=1, dim2=2)[:, None, :2]
    rays = (pixels - intrinsics[:, None, :2, 2]) / focal
    return functional.pad(rays, (0, 1), value=1.0) * depths[..., None]
