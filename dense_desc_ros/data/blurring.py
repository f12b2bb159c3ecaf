"""Gaussian blur of many pictures at once, each by its own amount."""

import torch
from torch import Tensor
from torch.nn import functional

REACH = 3.0  # standard deviations of a Gaussian that are summed up


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Images (B, C, H, W), each blurred by a Gaussian of its own σ (B,) in pixels, if not 0."""
    widest = float(sigmas.max()) if len(sigmas) else 0.0
    if widest == 0:
        return images
    reach = max(1, round(REACH * widest))
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas.clamp_min(1e-3)[:, None]) ** 2)
    kernels /= kernels.sum(dim=1, keepdim=True)
    count, channels, height, width = images.shape
    weights = kernels.repeat_interleave(channels, dim=0)[:, None]
    flat = images.reshape(1, count * channels, height, width)
    groups = count * channels
    for weight, padding in (
        (weights[:, :, None], (reach, reach, 0, 0)),
        (weights[..., None], (0, 0, reach, reach)),
    ):
        padded = functional.pad(flat, padding, mode="reflect")
        flat = functional.conv2d(padded, weight, groups=groups)
    return flat.view_as(images)
