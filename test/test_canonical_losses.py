"""Classification of canonical coordinates: its loss, and networks that start from what it found."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from torch.nn import functional

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives.canonical import (
    CanonicalConfig,
    CanonicalObjective,
    at_features,
    lattice_cross_entropy,
    vertex,
)
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.train import _make_network

SHIPPED = {  # weights, the last of their trainings, its steps, and how they are used
    "caps_start": ("config/train/caps_canonical.yaml", 3600, {}),
    "caps_above": ("config/train/caps_above_keypoint.yaml", 1400, {}),
    "caps": (
        "config/train/caps_deep_end.yaml",
        1135,
        {"smoothed": True, "turns": 4, "backbone": "resnet24"},
    ),
}
CONFIG = TrainingConfig(
    twins=TwinsConfig("memory", crop=(64, 96)),
    canonical=CanonicalConfig(),
    network=NetworkConfig("resnet18", 8, 16),
    optimisation=OptimisationConfig(30, 1),
)


def test_cross_entropy_is_that_of_interpolation_between_vertices():
    cells, rng = 3, np.random.default_rng(0)
    table = rng.normal(size=(4, 4, 4))
    points = np.concatenate([rng.random((50, 3)), [[0, 0, 0], [1, 1, 1], [1, 0, 0.5]]])
    expected = RegularGridInterpolator((np.linspace(0, 1, 4),) * 3, -table)(points)
    likelihoods = torch.from_numpy(table.reshape(1, -1)).repeat(len(points), 1).requires_grad_()
    found = lattice_cross_entropy(likelihoods, torch.from_numpy(points), cells)
    np.testing.assert_allclose(found.detach(), expected, atol=1e-12)
    found.sum().backward()
    torch.testing.assert_close(-likelihoods.grad.sum(dim=1), torch.ones(len(points)).double())
    by_vertices = -likelihoods.grad @ vertex(torch.arange(64), cells).double()
    np.testing.assert_allclose(by_vertices, points, atol=1e-6)


def test_a_lattice_is_best_told_apart_by_its_own_keys_and_views_without_object_cost_little():
    network = DescriptorNetwork(CONFIG.network)
    objective = CanonicalObjective(CanonicalConfig(cells=2, temperature=0.01), descriptor_dim=16)
    points = vertex(torch.arange(24), 2).reshape(1, 4, 6, 3)
    points[..., 3:, :] = torch.nan
    indices = torch.where(points[..., 0].isfinite(), torch.arange(24).reshape(4, 6), 27)
    images = points.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    nothing = torch.full_like(images, torch.nan)
    batch = {"canonical": torch.stack([images, nothing], dim=1)}
    keys = objective.keys.detach()
    features = torch.cat([keys[indices], keys[27].expand(1, 4, 6, 16)]).permute(0, 3, 1, 2)
    values = objective(network, 7 * features, batch)
    assert values["loss"] < 1e-3 and values["error"] == 0
    assert objective(network, features.roll(1, dims=3), batch)["loss"] > 1
    assert (
        objective(network, features[[1, 1]], {"canonical": nothing[:, None].repeat(1, 2, 1, 1, 1)})[
            "loss"
        ]
        < 1e-3
    )


def test_truth_is_taken_next_to_the_middle_of_each_feature():
    v, u = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    found = at_features(torch.stack([u, v, u], dim=2)[None], 8)
    assert found.shape == (1, 2, 3, 3)
    assert found[0, 0, :, 0].tolist() == [4, 12, 20] and found[0, :, 0, 1].tolist() == [4, 12]


def test_descriptors_learn_coordinates_that_pictures_show():
    torch.manual_seed(0)
    canonical = torch.rand(1, 2, 8, 12, 3)  # a colour for each feature
    canonical[..., 6:, :] = torch.nan
    shown = canonical.flatten(0, 1).permute(0, 3, 1, 2).nan_to_num(0.0)
    images = functional.interpolate(shown, scale_factor=8)
    batch = {"canonical": canonical.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)}
    module = DescriptorTraining(DescriptorNetwork(CONFIG.network), CONFIG)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    history = []
    for _ in range(CONFIG.optimisation.steps):
        losses = module.objective(module.network, module.network(images), batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["loss"].item())
    assert history[-1] < history[0] / 2


def test_another_training_starts_from_it(tmp_path, caplog):
    torch.manual_seed(0)
    before, path = DescriptorNetwork(CONFIG.network), tmp_path / "weights.safetensors"
    DescriptorModel(before, device="cpu").save(path)
    config = replace(
        CONFIG,
        canonical=None,
        keypoint=KeypointConfig(),
        network=replace(CONFIG.network, keypoints=8),
        initial_weights=str(path),
    )
    with caplog.at_level(logging.INFO):
        after = _make_network(config, None).state_dict()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after[name], value)
    assert "from scratch: depth_head, spatial_head" in caplog.text


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_that_ship_are_of_the_training_that_their_card_names(name):
    root = Path(__file__).parent.parent
    file, steps, used = SHIPPED[name]
    model = DescriptorModel.load(root / f"models/{name}.safetensors", device="cpu")
    trained = replace(TrainingConfig.load(root / file).network, **used)
    assert model.config.network in (trained, replace(trained, keypoints=0))  # heads may be left out
    assert model.notes["steps"] == str(steps)
    assert file in (root / f"models/{name}.md").read_text()
