"""Our matching beside the usual one, in one run: same answers, less time."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.matching import Matches

Answer = TypeVar("Answer")


def match_usual_way(descriptors: DescriptorMap, references: Tensor) -> tuple[Matches, Tensor]:
    """Upsample to H×W×D and compare there; the matches, and the similarity maps (K, H, W)."""
    features = descriptors.features.permute(2, 0, 1)[None]
    full = functional.interpolate(
        features, scale_factor=descriptors.stride, mode="bilinear", align_corners=False
    )[0, :, : descriptors.height, : descriptors.width].permute(1, 2, 0)
    if descriptors.metric == "cosine":
        unit = functional.normalize(references, dim=1)
        similarity = (functional.normalize(full, dim=-1) @ unit.T).permute(2, 0, 1)
    else:
        similarity = torch.stack(
            [(full - reference).square().sum(dim=-1).neg().exp() for reference in references]
        )
    scores, indices = similarity.flatten(1).max(dim=1)
    pixels = torch.stack([indices % descriptors.width, indices // descriptors.width], dim=1)
    return Matches(pixels.float(), scores), similarity


@torch.inference_mode()
def benchmark_matching(
    dims: Sequence[int] = (64, 512),
    references: int = 16,
    size: tuple[int, int] = (480, 640),
    stride: int = 8,
    metric: str = "cosine",
    repeats: int = 5,
    seed: int = 0,
) -> dict:
    """Time both ways on smooth random descriptors; each repeat runs one after the other.

    Returns:
        `results`, a row for each D: `d`, `references`, `metric`, `ours_ms`, `usual_ms` (medians),
        `speedup`, `max_pixel_difference`, `max_similarity_difference`.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for dim in dims:
        features = _smooth_features(dim, size, stride, generator)
        pixels = torch.rand(references, 2, generator=generator) * torch.tensor([size[1], size[0]])
        wanted = DescriptorMap(features, stride, *size, metric).sample(pixels - 0.5)
        # Noise, as between two views of a point: its own descriptor would match trivially.
        wanted = wanted + 0.1 * torch.randn(wanted.shape, generator=generator) / dim**0.5
        ours_s, usual_s = [], []
        for _ in range(repeats):
            # A new map each time: what is computed once a frame is part of the time.
            descriptors = DescriptorMap(features, stride, *size, metric)
            ours, seconds = _timed(partial(descriptors.match, wanted))
            ours_s.append(seconds)
            (usual, full), seconds = _timed(partial(match_usual_way, descriptors, wanted))
            usual_s.append(seconds)
        ours_ms, usual_ms = (1e3 * float(torch.tensor(s).median()) for s in (ours_s, usual_s))
        rows.append(
            {
                "d": dim,
                "references": references,
                "metric": metric,
                "ours_ms": ours_ms,
                "usual_ms": usual_ms,
                "speedup": usual_ms / ours_ms,
                "max_pixel_difference": float((ours.pixels - usual.pixels).abs().max()),
                "max_similarity_difference": float(
                    (descriptors.similarity(wanted) - full).abs().max()
                ),
            }
        )
    return {"results": rows}


def _smooth_features(
    dim: int, size: tuple[int, int], stride: int, generator: torch.Generator
) -> Tensor:
    height, width = (-(-n // stride) for n in size)
    coarse = torch.randn(1, dim, height // 3 + 1, width // 3 + 1, generator=generator) / dim**0.5
    smooth = functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return smooth[0].permute(1, 2, 0).contiguous()


def _timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    start = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - start
