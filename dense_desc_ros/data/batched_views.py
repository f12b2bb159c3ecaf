"""Views of many frames at once, with PyTorch: what `twin_augmentation` does to one with OpenCV.

On a GPU, batches of views take milliseconds where sixteen cores need most of a second.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.data.frame_tensors import FrameTensors
from dense_desc_ros.data.twin_augmentation import BACKGROUNDS, SHAPES

REACH = 3.0  # standard deviations of a Gaussian that are summed up
MOST_CELLS, OCTAVES = 12, 4  # of a drawn background's mottled ground
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
        generator: draws backgrounds and noise.
    """
    height, width = frames.masks.shape[1:]
    size = masks.shape[1], masks.shape[2]
    images = frames.images[plans["frames"]].float()
    # Blurred, if it is to be shrunk, so that nothing aliases.
    shrunk = plans["zoom"].clamp(max=1)
    images = _blur(images, 0.5 * (shrunk**-2 - 1).sqrt())
    # grid_sample's own units: from -1 to 1 between the centres of the first and last pixel.
    grid = _frame_pixels(plans, size) * 2 / images.new_tensor([width - 1, height - 1])
    images = functional.grid_sample(
        images, grid - 1, mode="bilinear", padding_mode="zeros", align_corners=True
    )
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

    draw = {"random_images": _draw_backgrounds, "noise": noise, "masked": black}
    size = images.shape[2], images.shape[3]
    for kind, make in draw.items():
        chosen = torch.nonzero(kinds == BACKGROUNDS.index(kind))[:, 0]
        if len(chosen):
            other = make(len(chosen), size, generator)
            images[chosen] = torch.where(masks[chosen, None], images[chosen], other)
    return images


def _draw_backgrounds(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Blots of random colours on mottled grounds, (count, 3, h, w)."""
    device, (height, width) = generator.device, size

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand(count, *shape, 1, 1, generator=generator, device=device)
        return low + (high - low) * values

    ground = torch.zeros(count, 1, height, width, device=device)
    cells = uniform(2, MOST_CELLS, 2)[..., 0].mT  # (count, 1, 2)
    v, u = torch.meshgrid(*(torch.linspace(0, 1, n, device=device) for n in size), indexing="ij")
    places = torch.stack([u, v], dim=-1)
    for octave in range(OCTAVES):
        side = MOST_CELLS * 2**octave
        values = torch.rand(count, 1, side, side, generator=generator, device=device)
        grid = places * (cells[:, None] / MOST_CELLS) * 2 - 1
        ground += (
            functional.grid_sample(
                values, grid, mode="bicubic", padding_mode="border", align_corners=True
            )
            / 2**octave
        )
    mean, spread = ground.mean((2, 3), keepdim=True), ground.std((2, 3), keepdim=True)
    weight = ((ground - mean) / (4 * spread.clamp_min(1e-6)) + 0.5).clamp(0, 1)
    drawn = uniform(0, 255, 3) * (1 - weight) + uniform(0, 255, 3) * weight
    for _ in range(SHAPES):
        du, dv = u - uniform(0, 1, 1), (v - uniform(0, 1, 1)) * (height / width)
        longest = max(size) / width
        axes = uniform(0.02, 0.2, 1) * longest, uniform(0.02, 0.2, 1) * longest
        angle = uniform(0, torch.pi, 1)
        along = (du * angle.cos() + dv * angle.sin()) / axes[0]
        across = (dv * angle.cos() - du * angle.sin()) / axes[1]
        drawn = torch.where(along**2 + across**2 < 1, uniform(0, 255, 3), drawn)
    return drawn


def _change_colours(images: Tensor, plans: Plans, generator: torch.Generator) -> Tensor:
    """Images (B, 3, h, w), whole levels, changed as `ColourChange` says."""
    matrix = plans["colours"]
    images = (matrix[:, :, :3] @ images.flatten(2) + matrix[:, :, 3:]).view_as(images)
    images = images.round_().clamp_(0, 255)
    blurred = torch.nonzero(plans["blur"] > 0)[:, 0]
    images[blurred] = _blur(images[blurred], plans["blur"][blurred])
    noisy = torch.nonzero(plans["noise"] > 0)[:, 0]
    noise = torch.randn(images[noisy].shape, generator=generator, device=images.device)
    images[noisy] += noise * plans["noise"][noisy, None, None, None]
    return images.round_().clamp_(0, 255)


def _blur(images: Tensor, sigmas: Tensor) -> Tensor:
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
