"""Training from plain pictures: the loss, the views, and a run that learns and can be resumed."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import default_collate

from dense_desc_ros.data.augmentation import (
    AugmentationConfig,
    Picture,
    sample_pair,
    with_rarity,
)
from dense_desc_ros.data.images import find_images, write_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError, TrainingError
from dense_desc_ros.matching import sample
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training import data
from dense_desc_ros.training.config import OptimisationConfig, PicturesConfig, TrainingConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives import ntxent as ntxent_module
from dense_desc_ros.training.objectives.ntxent import (
    NtxentConfig,
    NtxentObjective,
    background_rows,
    near_features,
    ntxent,
)
from dense_desc_ros.training.objectives.sampling import sample_batch
from dense_desc_ros.training.pairs import AugmentedPairs
from dense_desc_ros.training.train import train

SCALES = (6, 12, 40)


def blobs(seed, height=240, width=320):
    """A picture of smooth coloured structure, every place different."""
    rng = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(rng.normal(0, s, (height // s, width // s, 3)), (width, height)) for s in SCALES
    )
    return np.clip(128 + 3 * noise, 0, 255).astype(np.uint8)


def test_ntxent_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 5, 4, dtype=torch.float64, generator=generator)
    negatives = torch.randn(1, 7, 4, dtype=torch.float64, generator=generator)
    excluded = torch.rand(1, 5, 7, generator=generator) < 0.3
    a, b, negatives = (x / x.norm(dim=2, keepdim=True) for x in (a, b, negatives))
    za, zb, zn = a[0].numpy(), b[0].numpy(), negatives[0].numpy()
    terms = []
    for anchors in (za, zb):
        for n in range(5):
            positive = za[n] @ zb[n] / 0.1
            others = zn[~excluded[0, n].numpy()] @ anchors[n] / 0.1
            terms.append(logsumexp([positive, *others]) - positive)
    assert ntxent(a, b, negatives, excluded, 0.1).item() == pytest.approx(np.mean(terms))


def test_ntxent_by_l2_is_its_formula():
    a, b = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    negatives = torch.randn(1, 7, 4, dtype=torch.float64)
    terms = []
    for anchors, others in ((a[0], b[0]), (b[0], a[0])):
        for anchor, other in zip(anchors.numpy(), others.numpy(), strict=True):
            far = -np.sum((negatives[0].numpy() - anchor) ** 2, axis=1) / (2 * 0.7)
            near = -np.sum((other - anchor) ** 2) / (2 * 0.7)
            terms.append(logsumexp([near, *far]) - near)
    none = torch.zeros(1, 5, 7, dtype=torch.bool)
    assert ntxent(a, b, negatives, none, 0.7).item() == pytest.approx(np.mean(terms))


@pytest.mark.parametrize("learned_scale", [False, True])
def test_ntxent_compares_as_the_network_does(learned_scale):
    network = SimpleNamespace(config=NetworkConfig("resnet18", 8, 5, learned_scale=learned_scale))
    features = torch.randn(4, 5, 4, 6)
    pixels = 8 * torch.randint(4, (2, 2, 3, 2)) + 3.5
    batch = {"images": torch.zeros(2, 2, 3, 32, 48), "pixels": pixels}
    objective = NtxentObjective(NtxentConfig(temperature=0.5))
    once, longer = (objective(network, k * features, batch)["loss"] for k in (1, 2))
    assert torch.isclose(once, longer) == (not learned_scale)


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_ntxent_gradient_agrees_with_finite_differences(pairs, monkeypatch):
    a, b, negatives = torch.randn(3, 3, 4, 3, dtype=torch.float64).requires_grad_().unbind()
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    excluded = torch.eye(4, dtype=torch.bool).expand(3, 4, 4)
    monkeypatch.setattr(ntxent_module, "MOST_LOGITS", {True: pairs * 4 * 4})
    assert torch.autograd.gradcheck(
        lambda a, b, negatives, temperature: ntxent(a, b, negatives, excluded, temperature),
        (a, b, negatives, temperature),
    )


def test_ntxent_is_least_where_counterparts_agree_and_others_differ():
    a = torch.eye(6)[None]
    own = torch.eye(6, dtype=torch.bool)[None]
    best = ntxent(a, a, a, own, 0.05)
    assert best < 1e-6 < ntxent(a, a.roll(1, dims=1), a, own, 0.05)


def test_features_near_a_pixel_are_those_whose_centre_is():
    pixels = torch.tensor([[[[3.5, 3.5]], [[27.5, 11.5]]]])  # centres of features (0, 0) and (3, 1)
    near = near_features(pixels, torch.Size([2, 4]), stride=8, radius=8.5)[0, 0]
    first, second = near[:8].reshape(2, 4), near[8:].reshape(2, 4)
    assert first.tolist() == [[True, True, False, False], [True, False, False, False]]
    assert second.tolist() == [[False, False, False, True], [False, False, True, True]]


def test_background_is_what_neither_touches_an_object_nor_is_beside_it():
    masks = torch.zeros(2, 40, 48, dtype=torch.bool)
    masks[1, 8, 15] = True  # in feature (1, 1) of 5x6
    away = torch.ones(2, 5, 6, dtype=torch.bool)
    away[1, 0:3, 0:3] = False
    expected = torch.nonzero(away.flatten())[:, 0].tolist()
    found = background_rows(masks, torch.Size([5, 6]), 60).tolist()
    assert sorted(found) == expected and len(expected) == 51
    few = background_rows(masks, torch.Size([5, 6]), 9).tolist()
    assert len(set(few)) == 9 and set(few) < set(expected)
    assert not len(background_rows(torch.ones(2, 40, 48, dtype=torch.bool), torch.Size([5, 6]), 9))


def test_backgrounds_of_all_pairs_are_negatives_of_each():
    network = SimpleNamespace(config=NetworkConfig("resnet18", 8, 4, learned_scale=True))
    torch.manual_seed(0)
    features = torch.randn(4, 4, 5, 6, dtype=torch.float64)
    centres = torch.tensor([[[[11.5, 11.5]], [[19.5, 11.5]]], [[[3.5, 3.5]], [[3.5, 3.5]]]])
    masks = torch.zeros(2, 2, 40, 48, dtype=torch.bool)
    masks[:, :, 8:16, 8:16] = True
    batch = {"images": torch.zeros(2, 2, 3, 40, 48), "pixels": centres, "masks": masks}
    objective = NtxentObjective(NtxentConfig(1, temperature=0.7, exclusion=4.0, background=1000))
    away = np.ones((4, 5, 6), bool)
    away[:, 0:3, 0:3] = False
    flat = features.float().numpy().transpose(0, 2, 3, 1).astype(float)
    background, terms = flat[away], []
    for pair, ((a, b), (c, d)) in enumerate((((1, 1), (1, 2)), ((0, 0), (0, 0)))):  # rows, columns
        own = np.ones((2, 5, 6), bool)
        own[0, a, b] = own[1, c, d] = False
        views = flat[2 * pair : 2 * pair + 2]
        points = views[0, a, b], views[1, c, d]
        for anchor, other in (points, points[::-1]):
            negatives = np.concatenate([views[own], background])
            far = -np.sum((negatives - anchor) ** 2, axis=1) / (2 * 0.7)
            near = -np.sum((other - anchor) ** 2) / (2 * 0.7)
            terms.append(logsumexp([near, *far]) - near)
    assert objective(network, features, batch)["loss"].item() == pytest.approx(np.mean(terms))


def test_batched_sampling_is_the_sampling_of_matching():
    features = torch.randn(2, 5, 6, 8)
    pixels = torch.rand(2, 20, 2) * torch.tensor([64.0, 48.0]) - 0.5
    expected = [
        sample(f.permute(1, 2, 0), p, stride=8) for f, p in zip(features, pixels, strict=True)
    ]
    torch.testing.assert_close(
        sample_batch(features, pixels, torch.Size([48, 64])),
        torch.stack(expected),
        atol=1e-5,
        rtol=0,
    )


def test_corresponding_pixels_show_the_same_place():
    """The red and green of the picture are its coordinates; views must agree on them."""
    v, u = np.mgrid[0:240, 0:320]
    places = np.stack([u * 255 / 319, v * 255 / 239, 0 * u], axis=-1).astype(np.uint8)
    picture = Picture(places, np.ones((240, 320), np.float32))
    other = Picture(np.zeros_like(places), picture.rarity)
    config = AugmentationConfig(occluders=2)
    unchanged = pytest.MonkeyPatch()
    unchanged.setattr("dense_desc_ros.data.augmentation.change_colours", lambda image, rng: image)
    try:
        for seed in range(20):
            rng = np.random.default_rng(seed)
            pair = sample_pair(picture, other, (96, 128), 64, config, rng)
            (ua, va), (ub, vb) = (p.round().astype(int).T for p in (pair.pixels_a, pair.pixels_b))
            seen_a, seen_b = pair.image_a[va, ua].astype(int), pair.image_b[vb, ub].astype(int)
            assert (
                np.abs(seen_a - seen_b).max() <= 4
            )  # half a pixel at the strongest zoom, rounding
    finally:
        unchanged.undo()


def test_objects_are_rarer_in_colour_than_what_they_lie_on():
    table = np.clip(np.random.default_rng(0).normal((150, 110, 70), 6, (240, 320, 3)), 0, 255)
    table[100:140, 50:90], table[60:120, 200:230] = (200, 30, 40), (40, 120, 200)
    rarity = with_rarity(table.astype(np.uint8)).rarity
    assert rarity[105:135, 55:85].min() > 0.8 and rarity[65:115, 205:225].min() > 0.8
    assert np.mean(rarity[150:] > 0.5) < 0.05


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for index in range(2):
        write_image(folder / f"{index}.png", blobs(index))
    cv2.imwrite(str(folder / "depth.png"), np.ones((240, 320), np.uint16))
    return folder


def small_run(pictures, steps):
    return TrainingConfig(
        pictures=PicturesConfig(str(pictures), crop=(96, 96)),
        ntxent=NtxentConfig(points=96),
        network=NetworkConfig("resnet18", 8, 16),
        optimisation=OptimisationConfig(steps),
    )


def test_depth_images_are_not_pictures_to_learn_from(pictures):
    assert [path.name for path in find_images(pictures)] == ["0.png", "1.png"]


def test_training_steps_learn_the_correspondences_they_are_shown(pictures):
    config = small_run(pictures, steps=40)
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    batch = default_collate(
        [AugmentedPairs(find_images(pictures), config, 0, 2)[i] for i in (0, 1)]
    )
    parts = module.configure_optimizers()
    losses = []
    for step in range(config.optimisation.steps):
        loss = module.training_step(batch, step)
        parts["optimizer"].zero_grad()
        loss.backward()
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) / 2


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 20])
def test_the_learning_rate_rises_and_falls_in_any_number_of_steps(steps, pictures):
    config = TrainingConfig(
        pictures=PicturesConfig(str(pictures)),
        ntxent=NtxentConfig(),
        optimisation=OptimisationConfig(steps, learning_rate=1e-3),
    )
    found = DescriptorTraining(DescriptorNetwork(config.network), config).configure_optimizers()
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert min(rates) > 0 and max(rates) <= 1e-3 and rates[-1] == min(rates)


def test_a_run_leaves_weights_and_what_tensorboard_shows(pictures, tmp_path):
    weights = train(small_run(pictures, steps=20), tmp_path / "run", workers=0, device="cpu")
    assert DescriptorModel.load(weights).describe(blobs(0)).features.isfinite().all()
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"pairs", "descriptors"} <= set(board.Tags()["images"])
    assert {"loss", "accuracy"} <= set(board.Tags()["scalars"])


def test_a_resumed_run_goes_on_where_it_stopped(pictures, tmp_path):
    config = small_run(pictures, steps=8)
    run = tmp_path / "run"
    whole = train(config, tmp_path / "whole", workers=0, device="cpu")
    with pytest.raises(DataError, match="nothing to resume"):
        train(config, run, resume=True)
    train(config, run, max_minutes=1e-4, workers=0, device="cpu")
    with pytest.raises(DataError, match="holds a run already"):
        train(config, run)
    with pytest.raises(InvalidInputError, match="other settings"):
        train(small_run(pictures, steps=9), run, resume=True)
    resumed = train(config, run, resume=True, workers=0, device="cpu")
    a, b = (DescriptorModel.load(path).describe(blobs(0)).features for path in (whole, resumed))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_a_run_that_diverges_ends_and_goes_on_from_its_checkpoint(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "EPOCH_STEPS", 4)
    config, run = small_run(pictures, steps=12), tmp_path / "run"
    losses, whole = [], NtxentObjective.__call__

    def watched(self, network, features, batch):
        values = whole(self, network, features, batch)
        losses.append(values["loss"] / (0.0 if len(losses) == 6 else 1.0))
        return values | {"loss": losses[-1]}

    monkeypatch.setattr(NtxentObjective, "__call__", watched)
    with pytest.raises(TrainingError, match=r"the loss is .* at step 8: .* lower learning_rate"):
        train(config, run, workers=0, device="cpu")
    assert [math.isfinite(loss) for loss in losses] == [True] * 6 + [False] * 2
    weights = train(config, run, resume=True, workers=0, device="cpu")
    assert len(losses) == 8 + 8  # from step 4 to step 12
    assert all(math.isfinite(loss) for loss in losses[8:])
    assert DescriptorModel.load(weights).describe(blobs(0)).features.isfinite().all()


def test_folders_without_usable_pictures_are_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        train(small_run(tmp_path / "none", steps=1), tmp_path / "run")
    with pytest.raises(DataError, match="no colour picture"):
        train(small_run(tmp_path, steps=1), tmp_path / "run")
