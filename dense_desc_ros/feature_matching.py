"""Where references are among the features: coarser than in the image, for many at a time.

Similarities of K references with the features (K, h, w) are computed once for a frame. All places,
everywhere or near some pixel, are read from them.
"""

import torch
from torch import Tensor

from dense_desc_ros.matching import ROUNDING, Matches, local_maxima

MAPS = 32  # at a time, so that what is computed of them stays in the processor's cache
SOFTNESS, SOFTEST = 0.16, 0.05  # see `find_near`


def find_everywhere(similarity: Tensor, count: int, stride: int) -> Matches:
    """Up to `count` local maxima of each map (K, h, w), best first.

    Their pixels (K, count, 2) are those of the maxima of parabolas through the neighbouring
    features, in u and in v; scores (K, count) are the features' own, -inf where there are fewer.
    """
    height, width = similarity.shape[1:]
    if count == 1:
        places = _argmax(similarity.flatten(1))[:, None]
        scores = similarity.flatten(1).gather(1, places)
    else:
        most = min(count, height * width)
        some = [local_maxima(maps).flatten(1).topk(most) for maps in similarity.split(MAPS)]
        scores, places = (torch.cat(parts) for parts in zip(*some, strict=True))
    x, y = places % width, places // width
    beside = [(x - 1, y), (x, y - 1), (x + 1, y), (x, y + 1)]
    # Beyond the border is what is before it: where a neighbour is missing the offset is 0.
    indices = [_reflected(v, height) * width + _reflected(u, width) for u, v in beside]
    values = similarity.flatten(1).gather(1, torch.cat(indices, dim=1))
    before, after = values.unflatten(1, (2, 2, -1)).permute(1, 0, 3, 2)
    slope, bend = after - before, 2 * scores[..., None] - before - after
    offset = torch.where(bend > ROUNDING, slope / (2 * bend), 0).nan_to_num(0).clamp(-0.5, 0.5)
    pixels = (torch.stack([x, y], dim=2) + offset + 0.5) * stride - 0.5
    return Matches(pixels, scores)


def find_near(
    similarity: Tensor, of_map: Tensor, pixels: Tensor, radius: int, stride: int
) -> Matches:
    """The place near each pixel where a map is greatest, between the features.

    The mean of the features' places, weighted by exp(similarity / τ): where the surface looks alike
    in all directions this strays less than the single best place. τ is SOFTNESS times the greatest
    similarity less their mean, and at most SOFTEST: where they hardly fall, those that are a little
    less alike must count less, too. At the border the window is moved inside.

    Args:
        similarity: (K, h, w).
        of_map: (n,) which of the K maps each is looked for in.
        pixels: (n, 2) around which; also off the image.
        radius: how far, in features, along u and v.
        stride: pixels per feature.

    Returns:
        `pixels` (n, 2), and `scores` (n,) of the best features.
    """
    height, width = similarity.shape[1:]
    nearest = ((pixels + 0.5) / stride - 0.5).round().long()
    x, y = (
        _span(middle, radius, size)
        for middle, size in zip(nearest.unbind(dim=1), (width, height), strict=True)
    )
    indices = (of_map[:, None] * height + y)[:, :, None] * width + x[:, None]
    around = similarity.take(indices)  # (n, rows, columns)
    values, greatest = around.flatten(1), around.amax(dim=(1, 2))
    softness = (SOFTNESS * (greatest - values.mean(dim=1))).clamp(ROUNDING, SOFTEST)
    weights = (values / softness[:, None]).softmax(dim=1).view_as(around)
    at = [(weights.sum(dim=along) * places).sum(dim=1) for along, places in ((1, x), (2, y))]
    return Matches((torch.stack(at, dim=1) + 0.5) * stride - 0.5, greatest)


def _span(middle: Tensor, radius: int, size: int) -> Tensor:
    """Indices (n, 2 · radius + 1) around each of (n,), moved to lie in 0 … size - 1; or all."""
    span = min(2 * radius + 1, size)
    first = (middle - radius).clamp(0, size - span)
    return first[:, None] + torch.arange(span, device=middle.device)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices from -1 to `size`, the outermost ones moved inside."""
    last = size - 1
    return (last - (last - index.abs()).abs()).clamp_min(0)


def _argmax(rows: Tensor) -> Tensor:
    """Where each row (K, n) is greatest, (K,). On a CPU NumPy is ten times as fast as PyTorch."""
    return rows.argmax(dim=1) if rows.is_cuda else torch.from_numpy(rows.numpy().argmax(axis=1))
