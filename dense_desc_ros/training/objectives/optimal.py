"""Optimal descriptors: regression to the Laplacian eigenmaps of the object's surface.

Source: Kupcsik et al., "Supervised Training of Dense Object Nets using Optimal Descriptors for
Industrial Robotic Applications" (AAAI 2021), by Belkin, Niyogi, "Laplacian Eigenmaps for
Dimensionality Reduction and Data Representation" (2003). Of all embeddings Y of a surface's points
that are centred, uncorrelated and of one variance, the one with the least Σ w_ij ‖y_i - y_j‖²
maps neighbours next to each other; it is made of the first eigenvectors of the graph's Laplacian.

The surface is that of the canonical coordinates, so that all instances of a category share the
embedding, and data sets without meshes will do. Its points are those that the pictures show.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.configuration import require_positive
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.errors import DataError
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.canonical import at_features

FRAMES = 64  # that show the surface
CELL = 0.03  # of the canonical cube, in which points of the surface become one
NEIGHBOURS = 8  # in the graph
SHIFT = -1e-4  # below zero, the least eigenvalue: so the shifted Laplacian has an inverse
INTERPOLATED = 3  # points about a place


@dataclass(frozen=True)
class OptimalConfig:
    """Settings of the objective.

    Attributes:
        background: weight of what is off the object, whose descriptor is to be zero.
    """

    background: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "background")


class OptimalObjective(nn.Module):
    """Mean squared error on the object, and off it.

    The batch holds `canonical` (B, 2, H, W, 3), NaN off the object.

    Args:
        config: settings.
        points: (P, 3) canonical coordinates of the surface.
        descriptor_dim: D, less than P - 1.
    """

    def __init__(self, config: OptimalConfig, points: FloatArray, descriptor_dim: int) -> None:
        super().__init__()
        self.config = config
        self.points: Tensor
        self.descriptors: Tensor
        self.register_buffer("points", torch.from_numpy(points).float())
        embedding = laplacian_eigenmaps(points, descriptor_dim)
        self.register_buffer("descriptors", torch.from_numpy(embedding).float())

    def forward(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; the two terms are given too."""
        canonical = at_features(batch["canonical"].flatten(0, 1), network.config.output_stride)
        on_object = torch.isfinite(canonical).all(dim=-1)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float().permute(0, 2, 3, 1)
            target = self.target(canonical[on_object].float())
            surface = _mean((features[on_object] - target).square().sum(dim=1))
            background = _mean(features[~on_object].square().sum(dim=1))
        loss = surface + self.config.background * background
        return {"loss": loss, "surface": surface, "background": background}

    def target(self, canonical: Tensor) -> Tensor:
        """Descriptors (N, D) at canonical coordinates (N, 3), between those of the points."""
        # The other mode is too coarse for points that are nearly at the place.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(canonical, self.points, compute_mode=exact)
        distances, nearest = distances.topk(INTERPOLATED, largest=False)
        weights = 1 / (distances + 1e-6)
        weights = weights / weights.sum(dim=1, keepdim=True)
        return (weights[..., None] * self.descriptors[nearest]).sum(dim=1)


def surface_points(path: str) -> FloatArray:
    """Canonical coordinates (P, 3) of the surface that a data set shows, one in each cell.

    Raises:
        DataError: it has no canonical coordinates.
    """
    frames = open_posed_frames(path)
    shown = [i for views in frames.groups.values() for i in views]
    seen = []
    for index in shown[:: max(len(shown) // FRAMES, 1)]:
        frame = frames[index]
        if frame.canonical is None:
            raise DataError(f"{frame.name} has no canonical coordinates: optimal needs them")
        seen.append(frame.canonical[frame.mask & np.isfinite(frame.canonical).all(axis=-1)])
    points = np.concatenate(seen).astype(np.float64)
    if not len(points):
        raise DataError(f"{path} shows no surface with canonical coordinates")
    _, first = np.unique((points / CELL).astype(int), axis=0, return_index=True)
    return points[first]


def laplacian_eigenmaps(points: FloatArray, dim: int) -> FloatArray:
    """Embedding (P, dim) of points (P, 3) on a surface; two of them are 1 apart, root mean square.

    The columns are eigenvectors L y = λ D y of the least eigenvalues above zero, of the graph of
    nearest neighbours with weights that fall off with the distance like a Gaussian; L = D - W.

    Raises:
        DataError: fewer points than the dimension needs.
    """
    if len(points) < dim + 2:
        raise DataError(f"{len(points)} points of a surface are too few for D = {dim}")
    weights = _neighbour_graph(points)
    degrees = diags_array(weights.sum(axis=1))
    start = np.random.default_rng(0).normal(size=len(points))  # ARPACK's own is random
    values, vectors = eigsh(
        (degrees - weights).tocsc(), dim + 1, degrees.tocsc(), sigma=SHIFT, v0=start
    )
    vectors = vectors[:, np.argsort(values)[1:]]  # the first is constant
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(dim)])
    return (vectors - vectors.mean(axis=0)) / vectors.std(axis=0) / np.sqrt(2 * dim)


def _neighbour_graph(points: FloatArray) -> csr_array:
    """Symmetric weights (P, P) of nearest neighbours; parts are joined where they are nearest."""
    count = len(points)
    distances, nearest = cKDTree(points).query(points, min(NEIGHBOURS + 1, count))
    width = np.median(distances[:, 1:])
    rows = np.repeat(np.arange(count), nearest.shape[1] - 1)
    values = np.exp(-((distances[:, 1:].ravel() / width) ** 2) / 2)
    one_way = coo_array((values, (rows, nearest[:, 1:].ravel())), (count, count)).tocsr()
    graph = one_way.maximum(one_way.T)
    if connected_components(graph)[0] > 1:
        bridges = minimum_spanning_tree(csr_array(cdist(points, points))).tocoo()
        kept = coo_array((np.exp(-0.5) + 0 * bridges.data, bridges.coords), (count, count)).tocsr()
        graph = graph.maximum(kept).maximum(kept.T)
    return csr_array(graph)


def _mean(values: Tensor) -> Tensor:
    """Zero of none, since a batch may show no object, or nothing else."""
    return values.sum() / max(len(values), 1)
