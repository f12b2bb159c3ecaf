"""Corresponding pixels in many pairs of views at once: see `correspondences` for one pair."""

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros import se3
from dense_desc_ros.data.batched_views import Surfaces, at_pixels, is_inside
from dense_desc_ros.data.correspondences import (
    CANONICAL_TOLERANCE,
    DEPTH_TOLERANCE,
    DEPTH_TOLERANCE_RELATIVE,
)
from dense_desc_ros.keypoints import back_project

CANDIDATES = 4  # pixels tried for each correspondence wanted: fewer than of one pair, to save time
COARSE = 3  # pixels between those that are compared first
AT_ONCE = 8  # pairs whose canonical coordinates are compared


def sample_correspondences(
    a: Surfaces, b: Surfaces, canonical: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random pixels on the objects in views `a`, and where their points are in views `b`.

    Args:
        a, b: B views each, pair by pair.
        canonical: (B,) bool, where correspondences are by canonical coordinates, not by geometry.
        count: N, of each pair.
        generator: source of chance.

    Returns:
        Pixels (B, 2, N, 2) in both, whole ones in a, and (B,) how many of the N are different
        ones: fewer visible points than N are repeated; all are NaN where no point is visible.
    """
    pixels_a = _random_pixels(a.masks, CANDIDATES * count, generator)
    pixels_b = torch.full_like(pixels_a, torch.nan)
    visible = torch.zeros(pixels_a.shape[:2], dtype=torch.bool, device=pixels_a.device)
    for chosen, find in ((~canonical, _by_geometry), (canonical, _by_canonical)):
        rows = torch.nonzero(chosen)[:, 0]
        if len(rows):
            pixels_b[rows], visible[rows] = find(a[rows], b[rows], pixels_a[rows])
    found = visible.sum(dim=1)
    visible_first = visible.byte().argsort(dim=1, descending=True, stable=True)
    order = torch.arange(count, device=found.device) % found.clamp_min(1)[:, None]
    index = visible_first.gather(1, order)[..., None].expand(-1, -1, 2)
    pixels = torch.stack([pixels_a.gather(1, index), pixels_b.gather(1, index)], dim=1)
    pixels[found == 0] = torch.nan
    return pixels, found.clamp_max(count)


def _random_pixels(masks: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Pixels (B, count, 2), (u, v), of masks (B, h, w); of the whole picture where one is empty."""
    weights = masks.flatten(1).float()
    weights[~masks.flatten(1).any(dim=1)] = 1.0
    index = torch.multinomial(weights, count, replacement=True, generator=generator)
    width = masks.shape[2]
    return torch.stack([index % width, index // width], dim=-1).float()


def _by_geometry(a: Surfaces, b: Surfaces, pixels_a: Tensor) -> tuple[Tensor, Tensor]:
    """As `correspondences.by_geometry`."""
    points_a = _back_project(a, pixels_a)
    T_b_a = se3.inverse(b.T_object_camera) @ a.T_object_camera
    points_b = se3.transform(T_b_a, points_a)
    projected = points_b @ b.intrinsics.mT
    pixels_b = projected[..., :2] / projected[..., 2:]
    normals_b = _normals(a, pixels_a) @ T_b_a[:, :3, :3].mT
    from_behind = (normals_b * points_b).sum(dim=2) > 0  # False where a's surface is unknown
    expected = points_b[..., 2]
    visible = is_inside(b.masks, pixels_b) & (expected > 0) & ~from_behind
    tolerance = DEPTH_TOLERANCE + DEPTH_TOLERANCE_RELATIVE * expected
    at = pixels_b.nan_to_num(-1.0)
    agrees = (_at(b.depth, at) - expected).abs() <= tolerance
    return pixels_b, visible & agrees & _at(b.masks, at)


def _by_canonical(a: Surfaces, b: Surfaces, pixels_a: Tensor) -> tuple[Tensor, Tensor]:
    """As `correspondences.by_canonical`; the nearest of every third pixel, and then around it."""
    assert a.canonical is not None and b.canonical is not None
    wanted = _at(a.canonical, pixels_a)
    far = torch.where(b.masks[..., None], b.canonical, torch.nan).nan_to_num(10.0)
    coarse = far[:, ::COARSE, ::COARSE]
    columns = coarse.shape[2]
    # ‖c - w‖² but for ‖w‖², as one product of matrices: all that the nearest one needs.
    places = torch.cat([-2 * coarse, coarse.square().sum(dim=3, keepdim=True)], dim=3)
    points = functional.pad(wanted.nan_to_num(0.0), (0, 1), value=1.0)
    nearest = [
        (some @ others.flatten(1, 2).mT).argmin(dim=2)
        for some, others in zip(points.split(AT_ONCE), places.split(AT_ONCE), strict=True)
    ]
    index = torch.cat(nearest)
    found = torch.stack([index % columns, index // columns], dim=-1).float() * COARSE
    steps = torch.arange(-COARSE, COARSE + 1, device=found.device)
    around = torch.cartesian_prod(steps, steps).to(found)
    candidates = found[:, :, None] + around  # (B, N, 49, 2)
    distances = (_at(far, candidates) - wanted[:, :, None]).norm(dim=-1)
    distances = distances.masked_fill(~is_inside(b.masks, candidates), torch.inf)
    smallest, best = distances.min(dim=2)
    pixels_b = candidates.gather(2, best[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return pixels_b, smallest <= CANONICAL_TOLERANCE  # False where a's are NaN


def _back_project(views: Surfaces, pixels: Tensor) -> Tensor:
    """Points (B, N, 3) in the cameras' frames, by the depth of the nearest pixels."""
    return back_project(pixels, _at(views.depth, pixels), views.intrinsics)


def _normals(views: Surfaces, pixels: Tensor) -> Tensor:
    """Normals (B, N, 3), of any length, towards the camera that sees the surface at pixels."""
    height, width = views.masks.shape[1:]
    last = pixels.new_tensor([width - 1, height - 1])
    sides = []
    for step in ((1.0, 0.0), (0.0, 1.0)):
        offset = pixels.new_tensor(step)
        ends = [(pixels + sign * offset).clamp(min=0).minimum(last) for sign in (1, -1)]
        after, before = (_back_project(views, end) for end in ends)
        sides.append(after - before)
    return torch.linalg.cross(sides[1], sides[0])


def _at(layer: Tensor, pixels: Tensor) -> Tensor:
    """Values (B, ..., C) of a layer (B, h, w, C) at the pixels nearest to (B, ..., 2)."""
    return at_pixels(layer, torch.arange(len(layer), device=layer.device), pixels)
