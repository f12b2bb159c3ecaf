"""Other colours and patterns for an object, under the light that falls on it.

What is learnt of a few objects is to hold for others of their kind, which have other colours: of
painted ones it is their shape that stays the same.
"""

import torch
from torch import Tensor

from dense_desc_ros.data.colours import GREY
from dense_desc_ros.data.dead_leaves import draw_leaves

DARKEST = 8.0  # mean level of an object that is taken for its brightness, at least


def paint(images: Tensor, masks: Tensor, amounts: Tensor, generator: torch.Generator) -> Tensor:
    """Images whose objects are painted with dead leaves.

    A pixel's share of the object's mean brightness is taken for its shading, and kept.

    Args:
        images: (B, 3, H, W) RGB levels, 0 to 255, of float32.
        masks: (B, H, W) bool, of the objects.
        amounts: (B,) how far colours change to the paint's: 0 not at all, 1 wholly.
        generator: draws the paint.
    """
    painted = torch.nonzero(amounts > 0)[:, 0]
    if not len(painted):
        return images
    own, on = images[painted], masks[painted, None]
    grey = torch.from_numpy(GREY).to(own)
    brightness = (own * grey[:, None, None]).sum(dim=1, keepdim=True)
    mean = (brightness * on).sum((2, 3), keepdim=True) / on.sum((2, 3), keepdim=True).clamp_min(1)
    size = images.shape[2], images.shape[3]
    paints = draw_leaves(len(painted), size, generator) * brightness / mean.clamp_min(DARKEST)
    mixed = own.lerp(paints.clamp_(0, 255), amounts[painted, None, None, None])
    images = images.clone()
    images[painted] = torch.where(on, mixed, own)
    return images
