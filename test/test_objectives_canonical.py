"""Optimal descriptors and guided NT-Xent: what they aim at, and where they are least."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from posed_scene import Spheres

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.objectives import optimal
from dense_desc_ros.training.objectives.canonical import CanonicalConfig, CanonicalObjective
from dense_desc_ros.training.objectives.guided import COLDEST, GuidedConfig, GuidedObjective
from dense_desc_ros.training.objectives.ntxent import NtxentConfig, NtxentObjective
from dense_desc_ros.training.objectives.optimal import (
    OptimalConfig,
    OptimalObjective,
    laplacian_eigenmaps,
    surface_points,
)

NETWORK = SimpleNamespace(config=NetworkConfig("resnet18", 8, 4))


def sphere_points(count=1500):
    """Spread evenly over a sphere, in the cube of canonical coordinates (a Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * i / count), np.pi * (1 + 5**0.5) * i
    unit = np.stack([np.cos(azimuth), np.sin(azimuth)]) * np.sin(polar)
    return np.column_stack([*unit, np.cos(polar)]) / 2 + 0.5


def explained(targets, by):
    """Share of the variance of targets (P, 3) that is linear in columns (P, D)."""
    design = np.column_stack([by, np.ones(len(by))])
    residual = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    return 1 - residual.var() / targets.var()


def test_eigenmaps_of_a_sphere_are_its_spherical_harmonics():
    """Of degree 1, x, y and z; the next five, of degree 2, their products."""
    points = sphere_points()
    embedding = laplacian_eigenmaps(points, 8)
    centred = points - 0.5
    assert explained(centred, embedding[:, :3]) > 0.999
    products = np.column_stack([centred[:, i] * centred[:, j] for i, j in ((0, 1), (1, 2), (0, 2))])
    assert explained(products, embedding[:, :3]) < 0.1
    assert explained(products, embedding[:, 3:]) > 0.99
    np.testing.assert_allclose(embedding.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(embedding.T @ embedding * 16 / len(points), np.eye(8), atol=0.05)
    np.testing.assert_array_equal(embedding, laplacian_eigenmaps(points, 8))


def test_no_other_embedding_of_that_variance_keeps_neighbours_nearer_together():
    points = sphere_points(400)
    weights = optimal._neighbour_graph(points)
    laplacian = np.diag(weights.sum(axis=1)) - weights.toarray()
    best = laplacian_eigenmaps(points, 3)
    cost = np.trace(best.T @ laplacian @ best)
    rng = np.random.default_rng(0)
    for noise in (0.3, 1.0, 3.0):
        other = best + noise * best.std() * rng.normal(size=best.shape)
        other = np.linalg.qr(other - other.mean(axis=0))[0] * best.std() * len(points) ** 0.5
        assert np.trace(other.T @ laplacian @ other) > 1.05 * cost


def test_parts_that_do_not_touch_share_one_embedding():
    a = sphere_points(300) * 0.3
    embedding = laplacian_eigenmaps(np.concatenate([a, a + 0.6]), 4)
    assert np.isfinite(embedding).all()
    first, second = embedding[:300, 0], embedding[300:, 0]
    assert max(first.max(), second.max()) > 0 and (
        first.max() < second.min() or second.max() < first.min()
    )
    with pytest.raises(DataError, match="5 points of a surface are too few for D = 4"):
        laplacian_eigenmaps(a[:5], 4)


def test_optimal_is_nothing_at_its_targets_and_grows_with_the_distance_from_them():
    objective = OptimalObjective(OptimalConfig(background=2.0), sphere_points(500), 4)
    at_points = objective.target(objective.points[:50])
    torch.testing.assert_close(at_points, objective.descriptors[:50], atol=1e-4, rtol=0)
    canonical = torch.from_numpy(sphere_points(24)).float().reshape(1, 4, 6, 3)
    canonical[..., 3:, :] = torch.nan
    images = canonical.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    batch = {"canonical": torch.stack([images, images], dim=1)}
    target = torch.zeros(2, 4, 6, 4)
    target[..., :3, :] = objective.target(canonical[0, :, :3].reshape(-1, 3)).reshape(4, 3, 4)
    features = target.permute(0, 3, 1, 2)
    assert objective(NETWORK, features, batch)["loss"] < 1e-10
    found = objective(NETWORK, features + 0.5, batch)
    assert found["surface"].item() == pytest.approx(4 * 0.25, rel=1e-4)
    assert found["loss"].item() == pytest.approx(3 * 4 * 0.25, rel=1e-4)


def test_the_surface_is_what_the_pictures_of_a_data_set_show(monkeypatch):
    frames = Spheres(views=6, camera=PinholeCamera(120.0, 120.0, 63.5, 47.5, 128, 96))
    monkeypatch.setattr(optimal, "open_posed_frames", lambda path: frames)
    points = surface_points("memory")
    np.testing.assert_allclose(np.linalg.norm(2 * points - 1, axis=1), 1, atol=0.02)
    assert len(np.unique((points / optimal.CELL).astype(int), axis=0)) == len(points) > 500
    frames.frames = [SimpleNamespace(canonical=None, name="bare")]
    frames.groups = {0: [0]}
    with pytest.raises(DataError, match="bare has no canonical coordinates"):
        surface_points("memory")


def guided_batch():
    canonical = torch.rand(1, 2, 32, 48, 3)
    canonical[..., 24:, :] = torch.nan
    return {
        "images": torch.zeros(1, 2, 3, 32, 48, dtype=torch.uint8),
        "pixels": torch.rand(1, 2, 10, 2) * 20,
        "canonical": canonical,
    }


def test_guidance_fades_and_goes_on_where_it_was():
    objective = GuidedObjective(GuidedConfig(guidance=2.0, fade=0.5), 4, steps=8)
    features, batch = torch.randn(2, 4, 4, 6), guided_batch()
    weights = []
    for _ in range(6):
        found = objective(NETWORK, features, batch)
        weights.append(found["weight"].item())
        expected = found["contrast"] + found["weight"] * found["guidance"]
        torch.testing.assert_close(found["loss"], expected)
    assert weights == [2.0, 1.5, 1.0, 0.5, 0.0, 0.0]
    resumed = GuidedObjective(GuidedConfig(guidance=2.0, fade=0.5), 4, steps=8)
    resumed.load_state_dict(objective.state_dict())
    assert resumed(NETWORK, features, batch)["weight"] == 0
    resumed.step.fill_(1)
    resumed.eval()
    for _ in range(2):
        assert resumed(NETWORK, features, batch)["weight"] == 1.5


def test_it_is_the_sum_of_the_objectives_that_it_combines():
    config = GuidedConfig(points=10, exclusion=6.0, canonical=CanonicalConfig(cells=3))
    objective = GuidedObjective(config, 4, steps=10)
    features, batch = torch.randn(2, 4, 4, 6), guided_batch()
    ntxent = NtxentObjective(NtxentConfig(10, 0.07, 6.0))(NETWORK, features, batch)["loss"]
    canonical = CanonicalObjective(config.canonical, 4)
    canonical.load_state_dict(objective.canonical.state_dict())
    expected = ntxent + canonical(NETWORK, features, batch)["loss"]
    torch.testing.assert_close(objective(NETWORK, features, batch)["loss"], expected)


def test_the_temperature_is_learnt_within_limits():
    objective = GuidedObjective(GuidedConfig(points=10), 4, steps=10)
    optimizer = torch.optim.SGD([objective.log_temperature], 0.05)
    features, batch = torch.randn(2, 4, 4, 6), guided_batch()
    losses = []
    for _ in range(20):  # random descriptors say nothing: the warmer, the less they cost
        found = objective(NETWORK, features, batch)
        losses.append(found["contrast"].item())
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
    assert losses[-1] < losses[0] and found["temperature"] > 0.1
    with torch.no_grad():
        objective.log_temperature.fill_(-20)
    assert objective(NETWORK, features, batch)["temperature"].item() == pytest.approx(COLDEST)
    with pytest.raises(InvalidInputError, match="temperature 1.0 is not in"):
        GuidedConfig(temperature=1.0)
