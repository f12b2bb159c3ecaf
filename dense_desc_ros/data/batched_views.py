"""Views of many frames at once, with PyTorch: what `twin_augmentation` does to one with OpenCV.

On a GPU, batches of views take milliseconds where sixteen cores need most of a second.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.data.blurring import blur
from dense_desc_ros.data.dead_leaves import draw_leaves
from dense_desc_ros.data.frame_tensors import FrameTensors
from dense_desc_ros.data.painting import paint
from dense_desc_ros.data.twin_augmentation import BACKGROUNDS

Plans = dict[str, Tensor]  # of B views, as `training.pair_plans` gives them


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What B views show, but for their colours.

    `depth` (B, h, w), NaN where there is none; `masks` (B, h, w) bool; `canonical` (B, h, w, 3),
    NaN off the object, or None; `intrinsics` (B, 3, 3) and `T_object_camera` (B, 4, 4).
    """

    depth: Tensor
    masks: Tensor
    canonical: Tensor | None
    intrinsics: Tensor
    T_object_camera: Tensor

    def __getitem__(self, chosen: slice | Tensor) -> "Surfaces":
        """Those of some of the views."""
        return Surfaces(
            self.depth[chosen],
            self.masks[chosen],
            None if self.canonical is None else self.canonical[chosen],
            self.intrinsics[chosen],
            self.T_object_camera[chosen],
        )


def view_surfaces(frames: FrameTensors, plans: Plans, size: tuple[int, int]) -> Surfaces:
    """The layers of views (h, w) that plans tell of, from the frames' nearest pixels."""
    pixels = _frame_pixels(plans, size)
    off = ~is_inside(frames.masks, pixels)

    def nearest(layer: Tensor, beyond: float) -> Tensor:
        values = at_pixels(layer, plans["frames"], pixels)
        return values.masked_fill_(off if values.ndim == 3 else off[..., None], beyond)

    return Surfaces(
        nearest(frames.depth, torch.nan),
        nearest(frames.masks, False),
        None if frames.canonical is None else nearest(frames.canonical, torch.nan).float(),
        plans["intrinsics"],
        plans["T_object_camera"],
    )


def view_images(
    frames: FrameTensors, plans: Plans, masks: Tensor, generator: torch.Generator
) -> Tensor:
    """The pictures (B, 3, h, w) uint8 of views, with their backgrounds and colours.

    Args:
        frames: what they are made of.
        plans: how.
        masks: (B, h, w) bool of the objects in them.
        generator: draws paint, backgrounds and noise.
    """
    height, width = frames.masks.shape[1:]
    size = masks.shape[1], masks.shape[2]
    images = frames.images[plans["frames"]].float()
    # Blurred, if it is to be shrunk, so that nothing aliases.
    shrunk = plans["zoom"].clamp(max=1)
    images = blur(images, 0.5 * (shrunk**-2 - 1).sqrt())
    # grid_sample's own units: from -1 to 1 between the centres of the first and last pixel.
    grid = _frame_pixels(plans, size) * 2 / images.new_tensor([width - 1, height - 1])
    images = functional.grid_sample(
        images, grid - 1, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    images = paint(images, masks, plans["paint"], generator)
    images = _replace_backgrounds(images, masks, plans["background"], generator)
    return _change_colours(images, plans, generator).to(torch.uint8)


def is_inside(layer: Tensor, pixels: Tensor) -> Tensor:
    """Whether pixels (..., 2) are on pictures of which this is a layer (B, h, w); False for NaN."""
    size = pixels.new_tensor([layer.shape[2], layer.shape[1]])
    return ((pixels >= -0.5) & (pixels < size - 0.5)).all(dim=-1)


def at_pixels(layer: Tensor, rows: Tensor, pixels: Tensor) -> Tensor:
    """Values (n, ..., C) of rows (n,) of a layer (B, h, w, C) at the pixels nearest to (n, ..., 2).

    Beyond the border they are those at the border.
    """
    height, width = layer.shape[1:3]
    u, v = (pixels + 0.5).floor().long().unbind(dim=-1)
    index = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
    start = rows * (height * width)
    return layer.flatten(0, 2)[index + start.view(-1, *[1] * (index.ndim - 1))]


def _frame_pixels(plans: Plans, size: tuple[int, int]) -> Tensor:
    """Where in its frame every pixel of a view lies, (B, h, w, 2)."""
    matrix = plans["view_to_frame"][:, None, None]
    v, u = (torch.arange(n, device=matrix.device).to(matrix) for n in size)
    # Not as a matrix product, which libraries would make of 2x2 ones, row by row.
    along_u, along_v = u[:, None] * matrix[..., :2, 0], v[:, None, None] * matrix[..., :2, 1]
    return along_u + along_v + matrix[..., :2, 2]


def _replace_backgrounds(
    images: Tensor, masks: Tensor, kinds: Tensor, generator: torch.Generator
) -> Tensor:
    def noise(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        shape = (count, 3, *size)
        return torch.randint(256, shape, generator=generator, device=images.device).float()

    def black(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        return images.new_zeros(count, 1, 1, 1)

    draw = {"random_images": draw_leaves, "noise": noise, "masked": black}
    size = images.shape[2], images.shape[3]
    for kind, make in draw.items():
        chosen = torch.nonzero(kinds == BACKGROUNDS.index(kind))[:, 0]
        if len(chosen):
            other = make(len(chosen), size, generator)
            images[chosen] = torch.where(masks[chosen, None], images[chosen], other)
    return images


def _change_colours(images: Tensor, plans: Plans, generator: torch.Generator) -> Tensor:
    """Images (B, 3, h, w), whole levels, changed as `ColourChange` says."""
    matrix = plans["colours"]
    images = (matrix[:, :, :3] @ images.flatten(2) + matrix[:, :, 3:]).view_as(images)
    images = images.round_().clamp_(0, 255)
    blurred = torch.nonzero(plans["blur"] > 0)[:, 0]
    images[blurred] = blur(images[blurred], plans["blur"][blurred])
    noisy = torch.nonzero(plans["noise"] > 0)[:, 0]
    noise = torch.randn(images[noisy].shape, generator=generator, device=images.device)
    images[noisy] += noise * plans["noise"][noisy, None, None, None]
    return images.round_().clamp_(0, 255)
