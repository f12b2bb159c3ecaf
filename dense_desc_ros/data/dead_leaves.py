"""Drawn pictures to put behind objects: things of all sizes and colours that hide each other.

Nothing is rendered or photographed, yet their statistics (edges at all scales, occlusion, areas of
one texture) are much like those of photographs. Source: Lee, Mumford, Huang, "Occlusion Models for
Natural Images" (IJCV 2001); networks learn more from such pictures than from any other noise:
Baradad et al., "Learning to See by Looking at Noise" (NeurIPS 2021).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.data.blurring import blur

LEAVES = 60
SMALLEST, LARGEST = 0.01, (0.1, 0.6)  # half-axes, as shares of the longer side, log-uniform between
MOST_CELLS, OCTAVES = 12, 5  # of what mottles the leaves
STRIPED = 0.25  # share of leaves; the others are mottled
FINER = 2  # times; drawn so much smaller, as sharper edges than the objects' would tell these apart
SHARP = 0.5  # share of pictures that are in focus
MOST_BLUR = 0.06  # of the others; σ as a share of the longer side, small ones more often


def draw_leaves(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Pictures (count, 3, h, w) of RGB levels, 0 to 255, on the generator's device.

    Each has a palette of its own and may be out of focus; each leaf, an ellipse or a rectangle, has
    two colours that mottles or stripes blend.
    """
    whole, size = size, (-(-size[0] // FINER), -(-size[1] // FINER))
    device, longer = generator.device, max(size)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, device=device)

    v, u = torch.meshgrid(*(torch.arange(n, device=device) / longer for n in size), indexing="ij")
    top = _top_leaves(u, v, uniform)

    def at_top(values: Tensor) -> Tensor:
        """Values (count, C, LEAVES) of leaves, at the pixels that show them: (count, C, h, w)."""
        index = top.flatten(1)[:, None].expand(-1, values.shape[1], -1)
        return values.gather(2, index).unflatten(2, size)

    turns, waves = uniform(0, torch.pi, LEAVES), 2 * torch.pi * 10 ** uniform(0.5, 1.8, LEAVES)
    striped = (uniform(0, 1, LEAVES) < STRIPED).float()
    along_u, along_v, striped = at_top(
        torch.stack([turns.cos() * waves, turns.sin() * waves, striped], dim=1)
    ).unbind(1)
    stripes = (u * along_u + v * along_v).sin_() / 2 + 0.5
    weight = torch.where(striped > 0, stripes, _mottles(count, size, generator))[:, None]
    # Greys differ more than colours, as they do in photographs.
    colours = uniform(30, 225, 1, 1) + uniform(0, 40, 1, 1) * normal(3, 1)
    low = (
        colours
        + uniform(10, 90, 1, 1) * normal(1, LEAVES)
        + uniform(0, 50, 1, 1) * normal(3, LEAVES)
    )
    high = low + uniform(0, 90, 1, 1) * normal(1, LEAVES) + uniform(0, 25, 1, 1) * normal(3, LEAVES)
    drawn = at_top(low).lerp(at_top(high), weight).clamp_(0, 255)
    sigmas = MOST_BLUR * uniform(0, 1) ** 2 * longer * (uniform(0, 1) >= SHARP)
    finer = functional.interpolate(
        blur(drawn, sigmas), scale_factor=FINER, mode="bilinear", align_corners=False
    )
    return finer[:, :, : whole[0], : whole[1]]


def _top_leaves(u: Tensor, v: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """The number (count, h, w) of the leaf that each pixel shows; 0 where there is none."""
    middles = [uniform(0, float(at.max()), LEAVES) for at in (u, v)]
    largest = LARGEST[0] * (LARGEST[1] / LARGEST[0]) ** uniform(0, 1, 1, 1)
    axes = SMALLEST * (largest / SMALLEST) ** uniform(0, 1, 2, LEAVES)
    angles, oval = uniform(0, torch.pi, LEAVES), uniform(0, 1, LEAVES) < 0.5
    top = torch.zeros(len(oval), *u.shape, dtype=torch.long, device=u.device)
    for leaf in range(1, LEAVES):

        def own(values: Tensor, leaf: int = leaf) -> Tensor:
            return values[..., leaf, None, None]

        du, dv = (at - own(middle) for at, middle in zip((u, v), middles, strict=True))
        cosine, sine = own(angles).cos(), own(angles).sin()
        along = ((du * cosine + dv * sine) / own(axes[:, 0])).square_()
        across = ((dv * cosine - du * sine) / own(axes[:, 1])).square_()
        reached = torch.where(own(oval), along + across, along.maximum(across))
        top.masked_fill_(reached < 1, leaf)
    return top


def _mottles(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Smooth random values in [0, 1], (count, h, w), with about 2 to MOST_CELLS bumps across."""
    device = generator.device
    cells = 2 + (MOST_CELLS - 2) * torch.rand(count, 1, 1, 2, generator=generator, device=device)
    v, u = torch.meshgrid(*(torch.linspace(0, 1, n, device=device) for n in size), indexing="ij")
    grid = torch.stack([u, v], dim=-1) * (cells / MOST_CELLS) * 2 - 1
    total = torch.zeros(count, 1, *size, device=device)
    for octave in range(OCTAVES):
        side = MOST_CELLS * 2**octave
        values = torch.rand(count, 1, side, side, generator=generator, device=device)
        smooth = functional.grid_sample(
            values, grid, mode="bicubic", padding_mode="border", align_corners=True
        )
        total += smooth / 2**octave
    mean, spread = total.mean((2, 3), keepdim=True), total.std((2, 3), keepdim=True)
    return ((total - mean) / (4 * spread.clamp_min(1e-6)) + 0.5).clamp_(0, 1)[:, 0]
