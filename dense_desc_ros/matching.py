"""Exact full-resolution matching, computed at feature resolution.

Descriptors are features (h, w, D) upsampled bilinearly by the stride s (half-pixel centres, as
`torch.nn.functional.interpolate(scale_factor=s, align_corners=False)` does). Bilinear upsampling is
linear, so

- the dot product of an upsampled descriptor with a reference is the upsampled map of the
  low-resolution dot products;
- the squared norm of an upsampled descriptor is a quadratic form in the inner products of its four
  neighbouring features, which are five low-resolution maps whatever the number of references.

K references against a frame cost K·h·w·D + O(K·H·W) this way, and H×W×D is never allocated.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


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


def squared_norms(features: Tensor, stride: int, height: int, width: int) -> Tensor:
    """Squared norms (H, W) of all upsampled descriptors of features (h, w, D)."""

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vecdot(a, b)

    top, bottom = features[:-1], features[1:]
    own = inner(features, features)
    right = inner(features[:, :-1], features[:, 1:])
    down = inner(top, bottom)
    diagonals = inner(top[:, :-1], bottom[:, 1:]) + inner(top[:, 1:], bottom[:, :-1])

    pixels = torch.arange(max(height, width), device=features.device, dtype=features.dtype)
    y, wy = _taps(pixels[:height], stride, features.shape[0])
    x, wx = _taps(pixels[:width], stride, features.shape[1])

    # Along the columns first: norms of, and products between, rows of interpolated features.
    wy = wy[:, None]
    vv, vw, ww = (1 - wy) ** 2, wy * (1 - wy), wy**2
    own_y = vv * own[y] + 2 * vw * down[y] + ww * own[y + 1]
    right_y = vv * right[y] + vw * diagonals[y] + ww * right[y + 1]
    # Then along the rows.
    vv, vw, ww = (1 - wx) ** 2, wx * (1 - wx), wx**2
    return vv * own_y[:, x] + 2 * vw * right_y[:, x] + ww * own_y[:, x + 1]


def dot_products(
    features: Tensor, references: Tensor, stride: int, height: int, width: int
) -> Tensor:
    """Dot products (K, H, W) of references (K, D) with all upsampled descriptors."""
    low = torch.einsum("kd,hwd->khw", references, features)
    full = functional.interpolate(
        low[None], scale_factor=stride, mode="bilinear", align_corners=False
    )
    return full[0, :, :height, :width]


def find_peaks(similarity: Tensor, count: int, radius: int) -> list[Matches]:
    """Up to `count` local maxima of each map of similarity (K, H, W), best first.

    A maximum within `radius` pixels (along both u and v) of a better one is suppressed.
    """
    neighbourhood = functional.max_pool2d(similarity[:, None], 3, stride=1, padding=1)[:, 0]
    candidates = similarity.where(similarity == neighbourhood, -torch.inf)
    return [_best_apart(maxima, count, radius) for maxima in candidates]


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
