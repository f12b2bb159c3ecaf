"""Exact full-resolution matching, computed at feature resolution.

Descriptors are features (h, w, D) upsampled bilinearly by the stride s (half-pixel centres, as
`torch.nn.functional.interpolate(scale_factor=s, align_corners=False)` does). Bilinear upsampling is
linear, so

- the dot product of an upsampled descriptor with a reference is the upsampled map of the
  low-resolution dot products;
- the squared norm of an upsampled descriptor is a quadratic form in the inner products of its four
  neighbouring features, which are five low-resolution maps whatever the number of references.

K references against a frame cost K·h·w·D + O(K·H·W) this way, and H×W×D is never allocated.

The pixels between four neighbouring features make a *cell*: (h + 1) × (w + 1) of them, s × s
pixels each, the outer ones half outside the image. A pixel's descriptor f = Σ wᵢ fᵢ is a mean of
the features at the corners of its cell, so for any reference r, with c the best corner's value:

- cosine: r·f / |f| ≤ max(c, 0) · (Σ wᵢ |fᵢ|) / |f|;
- l2: 2 r·f - |f|² ≤ c + (Σ wᵢ |fᵢ|² - |f|²).

The greatest of the last factors or terms in a cell, its *slack*, does not depend on the reference,
and is small where neighbours are alike. `find_best` looks only into the cells whose bound reaches
above the best pixel seen so far, and so finds the best pixel of the whole image exactly while
looking at a few hundred.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

FIRST_CELLS = 8
ROUNDING = 1e-6


class Matches(NamedTuple):
    """Where each reference was found: `pixels` (K, 2) as (u, v), and `scores` (K,)."""

    pixels: Tensor
    scores: Tensor


class _Taps(NamedTuple):
    """For coordinates on one axis: the left of the two features beside, and the right's weight."""

    left: Tensor
    weight: Tensor


def _taps(coordinates: Tensor, stride: int, count: int) -> _Taps:
    feature = ((coordinates + 0.5) / stride - 0.5).clamp(0, count - 1)
    left = feature.floor().clamp(max=count - 2)
    return _Taps(left.long(), feature - left)


def at_least_two(features: Tensor) -> Tensor:
    """Repeat the only row or column of features (h, w, D): every pixel has four neighbours."""
    height, width = features.shape[:2]
    return features.expand(max(height, 2), max(width, 2), -1)


def sample(features: Tensor, pixels: Tensor, stride: int) -> Tensor:
    """Descriptors (K, D) at sub-pixel positions (K, 2) of features (h, w, D)."""
    x, wx = _taps(pixels[:, 0], stride, features.shape[1])
    y, wy = _taps(pixels[:, 1], stride, features.shape[0])
    wx, wy = wx[:, None], wy[:, None]
    top = torch.lerp(features[y, x], features[y, x + 1], wx)
    bottom = torch.lerp(features[y + 1, x], features[y + 1, x + 1], wx)
    return torch.lerp(top, bottom, wy)


def squared_norms(features: Tensor, stride: int) -> Tensor:
    """Squared norms ((h + 1)·(w + 1), s²) of all upsampled descriptors of features (h, w, D).

    They come by cell, and inside a cell row by row, those outside the image too: see `as_image`.
    """
    rows, columns = (
        torch.arange(-1, n + 1, device=features.device).clamp_(0, n - 1) for n in features.shape[:2]
    )
    f = features[rows[:, None], columns]  # the border once more around it
    own = torch.linalg.vecdot(f, f)
    right = torch.linalg.vecdot(f[:, :-1], f[:, 1:])
    down = torch.linalg.vecdot(f[:-1], f[1:])
    crossing = torch.linalg.vecdot(f[:-1, :-1], f[1:, 1:]) + torch.linalg.vecdot(
        f[:-1, 1:], f[1:, :-1]
    )
    products = [own[:-1, :-1], own[:-1, 1:], own[1:, :-1], own[1:, 1:]]
    products += [right[:-1], right[1:], down[:, :-1], down[:, 1:], crossing]
    a, b, c, d = _corner_weights(stride).to(features)
    weights = [a * a, b * b, c * c, d * d, 2 * a * b, 2 * c * d, 2 * a * c, 2 * b * d, 2 * a * d]
    return torch.stack(products, dim=-1).flatten(0, 1) @ torch.stack(weights)


def as_image(cells: Tensor, features: Tensor, stride: int, height: int, width: int) -> Tensor:
    """The image (H, W) of values ((h + 1)·(w + 1), s²) given by cell."""
    rows, columns = features.shape[0] + 1, features.shape[1] + 1
    grid = cells.unflatten(1, (stride, stride)).unflatten(0, (rows, columns))
    image = grid.transpose(1, 2).flatten(2).flatten(0, 1)
    margin = stride // 2
    return image[margin : margin + height, margin : margin + width]


def feature_dots(features: Tensor, references: Tensor) -> Tensor:
    """Dot products (K, h, w) of references (K, D) with features (h, w, D)."""
    return (references @ features.flatten(0, 1).T).unflatten(1, features.shape[:2])


def dot_products(
    features: Tensor, references: Tensor, stride: int, height: int, width: int
) -> Tensor:
    """Dot products (K, H, W) of references (K, D) with all upsampled descriptors."""
    full = functional.interpolate(
        feature_dots(features, references)[None],
        scale_factor=stride,
        mode="bilinear",
        align_corners=False,
    )
    return full[0, :, :height, :width]


def slacks(features: Tensor, norms: Tensor, stride: int, metric: str) -> Tensor:
    """How far values in a cell can lie above its best corner's, for each of ((h + 1)·(w + 1),).

    A factor for "cosine", a term for "l2"; `features` (h, w, D) and `norms` as for `find_best`.
    """
    own = torch.linalg.vecdot(features, features)
    padded = _repeat_border((own.sqrt() if metric == "cosine" else own)[None])
    cells = torch.arange(norms.shape[0], device=norms.device)[None]
    means = _inside(padded, cells, stride)[0]
    return (means * norms if metric == "cosine" else means - norms).amax(dim=1)


def find_best(
    dots: Tensor,
    own: Tensor,
    norms: Tensor,
    slack: Tensor,
    stride: int,
    height: int,
    width: int,
    metric: str,
) -> Matches:
    """The pixel of the image (H, W) where a value is greatest, for each reference.

    Args:
        dots: (K, h, w) dot products of K references with the features.
        own: (h, w) norms of the features themselves, of the same kind as `norms`.
        norms: ((h + 1)·(w + 1), s²) by cell; inverse norms for the metric "cosine", whose values
            are dot · norm; squared norms for "l2", whose values are 2·dot - norm.
        slack: ((h + 1)·(w + 1),) by cell, see `slacks`.
        stride, height, width: s, H and W.
        metric: "cosine" or "l2".
    """
    padded = _repeat_border(dots)
    rows, columns = padded.shape[1] - 1, padded.shape[2] - 1
    outside = _outside(rows, columns, stride, height, width).to(dots.device)
    corners = functional.max_pool2d(_repeat_border(_values(dots, own, metric)), 2, stride=1)
    bounds = _bounds(corners.flatten(1), slack, metric)
    looked_into = min(FIRST_CELLS, bounds.shape[1])
    while True:
        bound, cells = bounds.topk(min(looked_into + 1, bounds.shape[1]))
        cells = cells[:, :looked_into]
        values = _values(_inside(padded, cells, stride), norms[cells], metric)
        best, index = values.masked_fill(outside[cells], -torch.inf).flatten(1).max(dim=1)
        if looked_into == bounds.shape[1] or bool((bound[:, -1] <= best).all()):
            break
        looked_into = min(8 * looked_into, bounds.shape[1])
    cell, within = cells.gather(1, (index // stride**2)[:, None])[:, 0], index % stride**2
    u = cell % columns * stride + within % stride - stride // 2
    v = cell // columns * stride + within // stride - stride // 2
    return Matches(torch.stack([u, v], dim=1).float(), best)


def _inside(padded: Tensor, cells: Tensor, stride: int) -> Tensor:
    """Maps (K, h + 2, w + 2), `padded`, interpolated at the pixels (K, n, s²) of cells (K, n)."""
    width = padded.shape[2]
    first = cells // (width - 1) * width + cells % (width - 1)
    corners = torch.stack([first, first + 1, first + width, first + width + 1], dim=2)
    values = padded.flatten(1).gather(1, corners.flatten(1)).view(corners.shape)
    return values @ _corner_weights(stride).to(padded)


def _values(dots: Tensor, norms: Tensor, metric: str) -> Tensor:
    return dots * norms if metric == "cosine" else 2 * dots - norms


def _bounds(corners: Tensor, slack: Tensor, metric: str) -> Tensor:
    """No value in a cell (K, cells) is greater; `corners` are the greatest at its corners."""
    bounds = corners.clamp_min(0) * slack if metric == "cosine" else corners + slack
    return bounds + ROUNDING


@lru_cache(maxsize=8)
def _outside(rows: int, columns: int, stride: int, height: int, width: int) -> Tensor:
    """Which pixels (rows · columns, s²) of the cells are not on the image."""
    v, u = (torch.arange(n * stride) - stride // 2 for n in (rows, columns))
    outside = ((v < 0) | (v >= height))[:, None] | ((u < 0) | (u >= width))
    blocks = outside.unflatten(0, (rows, stride)).unflatten(2, (columns, stride))
    return blocks.transpose(1, 2).flatten(2).flatten(0, 1)


@lru_cache(maxsize=8)
def _corner_weights(stride: int) -> Tensor:
    """Bilinear weights (4, s²) of a cell's corners, left to right and down, at its pixels."""
    after = (torch.arange(stride) + 0.5) / stride
    axis = torch.stack([1 - after, after])
    return torch.einsum("iy,jx->ijyx", axis, axis).flatten(2).flatten(0, 1)


def _repeat_border(maps: Tensor) -> Tensor:
    """Maps (K, h, w) with their border once more around them, (K, h + 2, w + 2)."""
    return functional.pad(maps, (1, 1, 1, 1), mode="replicate")


def find_peaks(similarity: Tensor, count: int, radius: int) -> list[Matches]:
    """Up to `count` local maxima of each map of similarity (K, H, W), best first.

    A maximum within `radius` pixels (along both u and v) of a better one is suppressed.
    """
    return [_best_apart(maxima, count, radius) for maxima in local_maxima(similarity)]


def local_maxima(maps: Tensor) -> Tensor:
    """Maps (K, h, w) with -inf wherever one of the eight values around is greater.

    On a CPU a tenth of the time of PyTorch's own pooling.
    """
    greatest = maps
    for along in (1, 2):
        before, after = (greatest.narrow(along, i, maps.shape[along] - 1) for i in (0, 1))
        greatest = greatest.clone()
        for i, others in ((1, before), (0, after)):
            part = greatest.narrow(along, i, maps.shape[along] - 1)
            torch.maximum(part, others, out=part)
    return maps.where(maps == greatest, -torch.inf)


def _best_apart(maxima: Tensor, count: int, radius: int) -> Matches:
    width = maxima.shape[1]
    pixels: list[tuple[int, int]] = []
    scores: list[float] = []
    while len(pixels) < count:
        index = int(maxima.argmax())
        v, u = divmod(index, width)
        if maxima[v, u] == -torch.inf:
            break
        pixels.append((u, v))
        scores.append(float(maxima[v, u]))
        maxima[
            max(v - radius, 0) : v + radius + 1, max(u - radius, 0) : u + radius + 1
        ] = -torch.inf
    return Matches(
        torch.tensor(pixels, device=maxima.device).reshape(-1, 2).float(),
        torch.tensor(scores, device=maxima.device),
    )
