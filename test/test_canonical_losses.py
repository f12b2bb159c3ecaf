"""Regression of canonical coordinates: its losses, and networks that start from what it found."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives.canonical import (
    CanonicalConfig,
    at_features,
    canonical_losses,
)
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.train import _make_network

CONFIG = TrainingConfig(
    twins=TwinsConfig("memory", crop=(64, 96)),
    canonical=CanonicalConfig(),
    network=NetworkConfig("resnet18", 8, 16),
    optimisation=OptimisationConfig(30, 1),
)


def half_an_object():
    """Coordinates (1, 3, 4, 6) that are known in the left half only."""
    truth = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    truth[..., 3:] = torch.nan
    return truth


def test_the_losses_are_what_their_formulas_say():
    truth, huber = half_an_object(), 0.2
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    predicted = (truth.nan_to_num(9.0) + 0.3 * noise).requires_grad_()
    objectness = noise[:, 0].clone().requires_grad_()
    error, object_loss = canonical_losses(predicted, objectness, truth, huber)

    off = (0.3 * noise)[..., :3].abs().numpy()
    expected = np.where(off < huber, 0.5 * off**2, huber * (off - 0.5 * huber)).mean() / huber
    np.testing.assert_allclose(error.item(), expected, rtol=1e-5)
    sign = np.where(np.arange(6) < 3, -1, 1)
    expected = np.log1p(np.exp(sign * noise[:, 0].numpy())).mean()
    np.testing.assert_allclose(object_loss.item(), expected, rtol=1e-5)

    (error + object_loss).backward()
    assert predicted.grad[..., :3].ne(0).all() and predicted.grad[..., 3:].eq(0).all()


def test_the_truth_costs_nothing_and_a_picture_without_object_no_error():
    truth = half_an_object()
    sure = torch.where(torch.isfinite(truth[:, 0]), 50.0, -50.0)
    assert sum(canonical_losses(truth.nan_to_num(3.0), sure, truth, 0.05)) < 1e-6
    nowhere = torch.full_like(truth, torch.nan)
    assert canonical_losses(truth.nan_to_num(0.0), -sure.abs(), nowhere, 0.05)[0] == 0


def test_truth_is_taken_next_to_the_middle_of_each_feature():
    v, u = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    found = at_features(torch.stack([u, v, u], dim=2)[None], 8)
    assert found.shape == (1, 3, 2, 3)
    assert found[0, 0, 0].tolist() == [4, 12, 20] and found[0, 1, :, 0].tolist() == [4, 12]


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
    assert history[-1] < history[0] / 4


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
