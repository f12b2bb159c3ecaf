"""Twin views of posed frames: exact geometry, pairs to learn from, and a run that learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from posed_scene import look_at
from scipy.spatial.transform import Rotation
from torch.utils.data import default_collate

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.colours import apply_colour_change, change_colours, draw_colour_change
from dense_desc_ros.data.correspondences import by_geometry
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.data.twin_augmentation import (
    TwinAugmentationConfig,
    augment,
    middle_of,
    plan_view,
    replace_background,
    turned_camera,
    warp,
)
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives.canonical import CanonicalConfig
from dense_desc_ros.training.objectives.keypoint import KeypointConfig, LossWeights
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.pairs import as_images
from dense_desc_ros.training.twins import TwinPairs, ValidationPairs

CAMERA = PinholeCamera(150.0, 160.0, 62.0, 50.0, 128, 96)
HALF = 0.1  # m: the object is a square tile of 0.2 m, in the plane z = 0 of its own frame


def tile(place):
    """Colour (..., 3) of places (..., 2) on the tile: smooth, and different everywhere."""
    x, y = np.moveaxis(place / HALF, -1, 0)
    waves = [x, y, np.sin(5 * x + 2) * np.cos(4 * y)]
    return np.clip(127 + 110 * np.stack(waves, axis=-1), 0, 255)


def posed_frame(eye, object_id=1):
    """The tile as a camera sees it, by intersecting rays with its plane."""
    T = look_at(np.asarray(eye, dtype=float))
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    rays = CAMERA.rays(np.stack([u, v], axis=-1)) @ T[:3, :3].T
    depth = -T[2, 3] / rays[..., 2]
    place = T[:2, 3] + depth[..., None] * rays[..., :2]
    mask = (np.abs(place) < HALF).all(axis=-1) & (depth > 0)
    return PosedFrame(
        image=np.where(mask[..., None], tile(place), 20).astype(np.uint8),
        depth=np.where(mask, depth, np.nan).astype(np.float32),
        camera=CAMERA,
        T_object_camera=T,
        mask=mask,
        canonical=np.where(
            mask[..., None], np.dstack([place / HALF / 2 + 0.5, 0 * depth]), np.nan
        ).astype(np.float32),
        object_id=object_id,
        name=f"tile {object_id}",
    )


class Tiles(list):
    """Posed frames in memory: every object from a few sides."""

    def __init__(self, objects=1, views=6):
        rng = np.random.default_rng(0)
        eyes = rng.uniform((-0.12, -0.12, 0.3), (0.12, 0.12, 0.45), (objects * views, 3))
        super().__init__(posed_frame(eye, i // views) for i, eye in enumerate(eyes))
        self.groups = {n: range(n * views, (n + 1) * views) for n in range(objects)}
        self.without_object, self.skipped = (), {}
        self.T_object_camera = [frame.T_object_camera for frame in self]


def configuration(steps=60, **changes):
    values = {
        "twins": TwinsConfig("memory", crop=(96, 128)),
        "keypoint": KeypointConfig(),
        "network": NetworkConfig("resnet18", 8, 16, keypoints=8),
        "optimisation": OptimisationConfig(steps, 1),
    }
    return TrainingConfig(**(values | changes))


NTXENT = {"keypoint": None, "ntxent": NtxentConfig(64), "network": NetworkConfig("resnet18", 8, 16)}


def object_pixels(frame, place):
    """Where the tile's places (N, 2) are in a frame, by its camera and pose alone."""
    points = np.column_stack([place, np.zeros(len(place)), np.ones(len(place))])
    return frame.camera.project((points @ np.linalg.inv(frame.T_object_camera).T)[:, :3])


@given(st.floats(0.5, 2), st.floats(-3.2, 3.2), st.floats(-20, 20), st.floats(-20, 20))
def test_cropped_scaled_and_turned_views_show_points_where_their_cameras_say(zoom, angle, du, dv):
    frame = posed_frame((0.1, -0.05, 0.35))
    camera, T_camera_view = turned_camera(
        CAMERA, (120, 100), np.array([60.0, 44.0]), np.array([du, dv]), zoom, angle
    )
    view = warp(frame, camera, T_camera_view)
    middle = camera.project(T_camera_view[:3, :3].T @ CAMERA.rays([60.0, 44.0]))
    np.testing.assert_allclose(middle, [49.5 + du, 59.5 + dv])
    place = np.random.default_rng(0).uniform(-0.9 * HALF, 0.9 * HALF, (200, 2))
    original, pixels = object_pixels(frame, place), object_pixels(view, place)
    inside = ((original > 2) & (original < (125, 93))).all(axis=1)
    inside &= ((pixels > 2) & (pixels < (97, 117))).all(axis=1)
    u, v = np.rint(pixels[inside]).astype(int).T
    seen = view.image[v, u].astype(float)
    rays = camera.rays(np.column_stack([u, v])) @ view.T_object_camera[:3, :3].T
    T = view.T_object_camera
    exact = T[:2, 3] - T[2, 3] / rays[:, 2:] * rays[:, :2]  # the place right at the whole pixel
    assert view.mask[v, u].all()
    np.testing.assert_allclose(view.canonical[v, u, :2] * 2 * HALF - HALF, exact, atol=4e-3)
    np.testing.assert_allclose(seen, tile(exact), atol=6)
    np.testing.assert_allclose(view.depth[v, u], -T[2, 3] / rays[:, 2], atol=3e-3)


def test_augmented_twins_still_correspond():
    a, b = posed_frame((0.1, 0.0, 0.35)), posed_frame((-0.1, 0.08, 0.3))
    rng = np.random.default_rng(0)
    config = TwinAugmentationConfig(rotation=3.0)
    a, b = (augment(frame, (96, 128), 1.0, config, [], rng) for frame in (a, b))
    place = np.random.default_rng(1).uniform(-0.9 * HALF, 0.9 * HALF, (100, 2))
    pixels_a, truth = object_pixels(a, place), object_pixels(b, place)
    inside = ((pixels_a > 0) & (pixels_a < (127, 95))).all(axis=1)
    found, visible = by_geometry(a, b, pixels_a[inside])
    assert visible.sum() > 50
    np.testing.assert_allclose(found[visible], truth[inside][visible], atol=1.5)


@pytest.mark.parametrize("kind", ["random_images", "noise", "masked", "own"])
def test_backgrounds_change_and_objects_do_not(kind):
    frame = posed_frame((0.02, 0.0, 0.4))
    shares = dict.fromkeys(("random_images", "noise", "masked"), 0.0)
    config = TwinAugmentationConfig(**(shares | ({} if kind == "own" else {kind: 1.0})))
    rng = np.random.default_rng(0)
    plan = plan_view(CAMERA, middle_of(frame.mask), (96, 128), 1.0, config, rng)
    assert plan.background == kind
    image = replace_background(frame.image, frame.mask, kind, [], rng)
    np.testing.assert_array_equal(image[frame.mask], frame.image[frame.mask])
    background = image[~frame.mask]
    assert (background == 20).all() == (kind == "own")
    assert (background == 0).all() == (kind == "masked")


def test_shares_of_backgrounds_must_add_up():
    with pytest.raises(InvalidInputError, match="at most 1"):
        TwinAugmentationConfig(random_images=0.7, noise=0.5)


def test_the_same_pair_is_drawn_again_for_the_same_number():
    frames, config = Tiles(), configuration()
    first, later = TwinPairs(frames, [], config, 0, 8)[5], TwinPairs(frames, [], config, 5, 1)[0]
    assert first.keys() == {"images", "intrinsics", "T_object_camera", "masks"}
    for name, value in first.items():
        torch.testing.assert_close(value, later[name])


def test_pairs_see_an_object_from_one_side_at_first_and_from_any_two_later(monkeypatch):
    name = "dense_desc_ros.training.twins.augment"
    monkeypatch.setattr(name, lambda frame, *_: frame)
    config, frames = configuration(100), Tiles(objects=2)
    trained = replace(config, initial_weights="weights.safetensors")

    def angles(first, config=config):
        pairs = TwinPairs(frames, [], config, first, 20)
        poses = [pairs[i]["T_object_camera"] for i in range(20)]
        a, b = (Rotation.from_matrix(torch.stack(poses)[:, i, :3, :3]) for i in (0, 1))
        return np.rad2deg((a.inv() * b).magnitude())

    assert angles(0).max() < 20 < angles(80).max()
    assert angles(0, trained).max() > 20


@pytest.mark.parametrize("other_instances", [0.0, 1.0])
def test_corresponding_pixels_show_the_same_place(other_instances, monkeypatch):
    name = "dense_desc_ros.data.twin_augmentation.apply_colour_change"
    monkeypatch.setattr(name, lambda image, change, rng: image)
    twins = TwinsConfig("memory", crop=(96, 128), other_instances=other_instances)
    pairs = TwinPairs(Tiles(objects=2), [], configuration(twins=twins, **NTXENT), 50, 10)
    alike = []
    for item in (pairs[i] for i in range(10)):
        assert item["pixels"].shape == (2, 64, 2)
        ua, va, ub, vb = item["pixels"].round().long().transpose(1, 2).flatten(0, 1)
        a, b = item["images"].float()
        difference = (a[:, va, ua] - b[:, vb, ub]).abs()
        # A pixel off is up to 10 levels; one at the border may be mixed with the background.
        assert difference.median() < 6
        alike.append((difference < 20).float().mean())
    assert np.mean(alike) > 0.95


def test_objects_out_of_view_are_not_learned_from():
    frames = Tiles(views=2)
    frames[:] = [replace(frame, mask=np.zeros_like(frame.mask)) for frame in frames]
    with pytest.raises(DataError, match="no two views"):
        TwinPairs(frames, [], configuration(), 0, 1)[0]
    with pytest.raises(DataError, match="no 2 pairs"):
        ValidationPairs(frames, 2)
    with pytest.raises(DataError, match="no object in two frames"):
        TwinPairs(Tiles(views=1), [], configuration(), 0, 1)


def test_validation_measures_matching_of_whole_frames():
    pairs = ValidationPairs(Tiles(), 2)
    a, b = (Tiles()[i] for i in pairs.pairs[0])
    torch.testing.assert_close(pairs[0]["images"], as_images(a.image, b.image))
    module = DescriptorTraining(DescriptorNetwork(NTXENT["network"]), configuration(**NTXENT))
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: value})
    module.on_validation_epoch_start()
    module.validation_step(default_collate([pairs[0]]), 0)
    assert 0 <= logged["validation_auc"] <= 1


def test_steps_by_keypoints_make_twin_views_agree():
    # Errors are a few centimetres, whose squares in metres are small beside the other losses.
    config = configuration(25, keypoint=KeypointConfig(LossWeights(consistency=100)))
    pairs = TwinPairs(Tiles(), [], config, 0, 2)
    batch = default_collate([pairs[0]])
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    history = []
    for _ in range(config.optimisation.steps):
        features = module.network(batch["images"][0].float() / 255)
        losses = module.objective(module.network, features, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    first, last = history[0], history[-1]
    assert last["silhouette"] < first["silhouette"] / 2
    assert last["variance"] < 0.7 * first["variance"]
    assert last["relative_pose"] < first["relative_pose"] / 2
    assert last["consistency"] < first["consistency"] / 2
    assert last["loss"] < first["loss"] / 2


@given(st.integers(0, 2**32), st.tuples(*[st.integers(70, 160)] * 3), st.booleans())
def test_colours_change_step_by_step_as_one_matrix_says(seed, colour, plain):
    """Those of plain pictures less: of four real ones, 18 of 19 points were found so, not 12."""
    image, rng = np.full((48, 64, 3), colour, np.uint8), np.random.default_rng(seed)
    if plain:
        changed, strength = change_colours(image, rng), 0.7
    else:
        changed, strength = apply_colour_change(image, draw_colour_change(rng), rng), 1.0

    def about(middle, most):
        return rng.uniform(middle - strength * most, middle + strength * most)

    rng = np.random.default_rng(seed)
    saturation = 0.0 if rng.random() < 0.05 else about(1, 0.4)
    grey = np.dot(colour, [0.299, 0.587, 0.114])
    expected = grey + saturation * (np.array(colour) - grey)
    expected = (expected - 128) * about(1, 0.35) + 128 + about(0, 35)
    expected *= [about(1, 0.12) for _ in range(3)]
    # Blurring leaves one colour alone, and noise its mean, where it is not cut off.
    unclipped = (expected > 40) & (expected < 215)
    found = changed.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(found[unclipped], expected[unclipped], atol=1.5)


def test_several_objectives_are_summed_on_the_same_views():
    config = configuration(1, ntxent=NtxentConfig(64), canonical=CanonicalConfig(2))
    batch = default_collate([TwinPairs(Tiles(), [], config, 0, 1)[0]])
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    features = module.network(batch["images"][0].float() / 255)
    losses = module.objective(module.network, features, batch)
    assert losses["loss"].item() == pytest.approx(
        sum(losses[name].item() for name in ("ntxent", "keypoint", "canonical")), rel=1e-5
    )
    assert {"accuracy", "silhouette", "background"} < losses.keys()
    losses["loss"].backward()
    learned = dict(module.named_parameters())
    assert all(parameter.grad is not None for parameter in learned.values())
    assert any(name.endswith("keys") for name in learned)  # which the optimiser gets too
