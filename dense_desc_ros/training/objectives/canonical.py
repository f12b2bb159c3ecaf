"""Descriptors by classification of canonical surface coordinates.

Every vertex of a lattice in the canonical cube has a key, and one more stands for what is no
object; a descriptor is to be like the keys about its point. Sources: keys of surface points,
Neverova et al., "Continuous Surface Embeddings" (NeurIPS 2020); coordinates as classes, Wang et
al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size Estimation"
(CVPR 2019).

What a point is called does not have to be agreed upon here, as it has between pairs of views: from
scratch this learns sides of objects several times as fast, so it is where such losses start from.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch

CORNERS = torch.tensor(list(itertools.product((0, 1), repeat=3)))  # of a cell


@dataclass(frozen=True)
class CanonicalConfig:
    """Settings of the objective.

    Attributes:
        cells: of the lattice, along each side of the canonical cube.
        temperature: of the softmax over cosine similarities.
    """

    cells: int = 8
    temperature: float = 0.07

    def __post_init__(self) -> None:
        require_positive(self, "cells", "temperature")


class CanonicalObjective(nn.Module):
    """Where on the object each feature is, and whether on it at all, by cross-entropy.

    The keys are of use in training only. The batch holds `canonical` (B, 2, H, W, 3), NaN off the
    object.
    """

    def __init__(self, config: CanonicalConfig, descriptor_dim: int) -> None:
        super().__init__()
        self.config = config
        vertices = (config.cells + 1) ** 3
        self.keys = nn.Parameter(torch.randn(vertices + 1, descriptor_dim))

    def forward(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; "error" is the median distance to the likeliest vertex, cube sides."""
        truth = at_features(batch["canonical"].flatten(0, 1), network.config.output_stride)
        on_object = torch.isfinite(truth).all(dim=-1)
        with torch.autocast(features.device.type, enabled=False):
            features = functional.normalize(features.float(), dim=1).permute(0, 2, 3, 1)
            similarities = features @ functional.normalize(self.keys, dim=1).T
            log_likelihoods = (similarities / self.config.temperature).log_softmax(dim=-1)
            found, points = log_likelihoods[on_object], truth[on_object].float()
            position = lattice_cross_entropy(found[:, :-1], points, self.config.cells)
            background = _mean(-log_likelihoods[~on_object][:, -1])
            loss = _mean(position) + background
        likeliest = vertex(found[:, :-1].argmax(dim=1), self.config.cells)
        error = (likeliest - points).norm(dim=1)
        return {
            "loss": loss,
            "background": background,
            "error": error.median() if len(error) else torch.zeros(()),
        }


def lattice_cross_entropy(log_likelihoods: Tensor, points: Tensor, cells: int) -> Tensor:
    """Cross-entropy (N,) with the trilinear weights of the eight vertices about each point.

    Args:
        log_likelihoods: (N, (cells + 1)³) of the vertices, the last axis the fastest.
        points: (N, 3) coordinates in [0, 1].
        cells: of the lattice along each side.
    """
    scaled = points.clamp(0, 1) * cells
    low = scaled.floor().clamp(max=cells - 1)
    share = (scaled - low)[:, None]  # of the upper vertex, along each axis
    corners = CORNERS.to(points.device)
    weights = torch.where(corners == 1, share, 1 - share).prod(dim=2)
    x, y, z = (low.long()[:, None] + corners).unbind(dim=2)
    indices = (x * (cells + 1) + y) * (cells + 1) + z
    return -(weights * log_likelihoods.gather(1, indices)).sum(dim=1)


def vertex(index: Tensor, cells: int) -> Tensor:
    """Coordinates (N, 3) in [0, 1] of the lattice's vertices of these numbers (N,)."""
    side = cells + 1
    return torch.stack([index // side**2, index // side % side, index % side], dim=1) / cells


def at_features(images: Tensor, stride: int) -> Tensor:
    """Values (B, h, w, C) of images (B, H, W, C) at the pixels next to the centres of features."""
    middle = stride // 2
    return images[:, middle::stride, middle::stride]


def _mean(values: Tensor) -> Tensor:
    """Zero of none, since a batch may show no object, or nothing else."""
    return values.sum() / max(len(values), 1)
