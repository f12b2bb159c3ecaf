"""Views made in batches, beside those that OpenCV makes one by one."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scene import Spheres
from torch.utils.data import DataLoader, default_collate

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.batched_correspondences import sample_correspondences
from dense_desc_ros.data.batched_views import view_images, view_surfaces
from dense_desc_ros.data.colours import ColourChange, apply_colour_change
from dense_desc_ros.data.correspondences import by_canonical, by_geometry
from dense_desc_ros.data.frame_tensors import FrameTensors
from dense_desc_ros.data.painting import paint
from dense_desc_ros.data.twin_augmentation import TwinAugmentationConfig, warp
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.objectives.guided import GuidedConfig
from dense_desc_ros.training.pair_plans import PairPlans
from dense_desc_ros.training.planned_views import PlannedViews
from dense_desc_ros.training.views_ahead import AHEAD, ViewsAhead

CAMERA = PinholeCamera(150.0, 150.0, 79.5, 59.5, 160, 120)
SIZE = (96, 128)


@pytest.fixture(scope="module")
def spheres():
    return Spheres(views=4, camera=CAMERA)


@pytest.fixture(scope="module")
def tensors(spheres):
    return FrameTensors.read(spheres, torch.device("cpu"), canonical=True, workers=0)


def configuration(**changes):
    augmentation = TwinAugmentationConfig(zoom=1.5, rotation=3.1, shift=0.1)
    twins = TwinsConfig("memory", SIZE, other_instances=0.5, augmentation=augmentation)
    return TrainingConfig(
        twins=replace(twins, on_device=True, **changes),
        guided=GuidedConfig(points=64),
        network=NetworkConfig("resnet18", 8, 16),
        optimisation=OptimisationConfig(10, 4),
        initial_weights="weights.safetensors",  # views of full strength
    )


def draw_plans(spheres, tensors, count=12):
    pairs = PairPlans(spheres, tensors.cameras, tensors.middles, configuration(), 0, count)
    plans = default_collate([pairs[i] for i in range(count)])
    return plans, {name: value.flatten(0, 1) for name, value in plans.items() if value.ndim > 1}


def views_by_opencv(spheres, views):
    """The same views, one by one, on their own backgrounds and in their own colours."""
    for i, index in enumerate(views["frames"]):
        frame = spheres[int(index)]
        K = views["intrinsics"][i].double().numpy()
        camera = PinholeCamera.from_matrix(K, SIZE[1], SIZE[0])
        T_object_view = views["T_object_camera"][i].double().numpy()
        yield warp(frame, camera, np.linalg.inv(frame.T_object_camera) @ T_object_view)


def test_layers_and_pictures_are_those_of_single_views(spheres, tensors):
    _, views = draw_plans(spheres, tensors)
    views["background"][:] = 3  # their own
    views["blur"][:], views["noise"][:] = 0.0, 0.0
    surfaces = view_surfaces(tensors, views, SIZE)
    images = view_images(tensors, views, surfaces.masks, torch.Generator())
    for i, view in enumerate(views_by_opencv(spheres, views)):
        mask = surfaces.masks[i].numpy()
        assert (mask == view.mask).mean() > 0.998  # rounded the other way at borders
        both = mask & view.mask
        depth, canonical = surfaces.depth[i].numpy()[both], surfaces.canonical[i].numpy()[both]
        assert np.quantile(np.abs(depth - view.depth[both]), 0.99) < 2e-3
        assert np.quantile(np.abs(canonical - view.canonical[both]), 0.99) < 0.01
        change = ColourChange(views["colours"][i].double().numpy(), 0.0, 0.0)
        expected = apply_colour_change(view.image, change, np.random.default_rng(0))
        difference = np.abs(images[i].permute(1, 2, 0).numpy().astype(int) - expected)
        assert np.quantile(difference, 0.98) <= 4 and np.median(difference) <= 1


def test_blur_and_noise_are_as_strong_as_planned(spheres, tensors):
    _, views = draw_plans(spheres, tensors)
    views["colours"][:] = torch.tensor(np.eye(3, 4, dtype=np.float32)) * 0
    views["colours"][:, :, 3] = 128.0
    views["blur"][:], views["noise"][:] = 1.0, torch.linspace(0, 10, 24)
    surfaces = view_surfaces(tensors, views, SIZE)
    images = view_images(tensors, views, surfaces.masks, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(
        images.float().std(dim=(1, 2, 3)), (views["noise"] ** 2 + 1 / 12) ** 0.5, atol=0.35
    )
    single = views_by_opencv(spheres, views)
    views["colours"][:] = torch.tensor(np.eye(3, 4, dtype=np.float32))
    views["noise"][:], views["background"][:] = 0.0, 3
    images = view_images(tensors, views, surfaces.masks, torch.Generator())
    change = ColourChange(np.eye(3, 4), 1.0, 0.0)
    for i, view in enumerate(single):
        expected = apply_colour_change(view.image, change, np.random.default_rng(0))
        difference = np.abs(images[i].permute(1, 2, 0).numpy().astype(int) - expected)
        assert np.quantile(difference, 0.98) <= 4


@pytest.mark.parametrize("kind", range(4))
def test_objects_stay_in_front_of_every_background(spheres, tensors, kind):
    _, views = draw_plans(spheres, tensors)
    views["colours"][:] = torch.tensor(np.eye(3, 4, dtype=np.float32))
    views["blur"][:], views["noise"][:] = 0.0, 0.0
    surfaces = view_surfaces(tensors, views, SIZE)
    masks = surfaces.masks[:, None].expand(-1, 3, -1, -1)
    views["background"][:] = 3
    own = view_images(tensors, views, surfaces.masks, torch.Generator())
    views["background"][:] = kind
    images = view_images(tensors, views, surfaces.masks, torch.Generator().manual_seed(0))
    torch.testing.assert_close(images[masks], own[masks])
    behind = images[~masks].float()
    assert (behind == 0).all() if kind == 2 else behind.std() > (20 if kind < 2 else 0)
    assert torch.equal(images, own) == (kind == 3)


def test_objects_are_painted_as_far_as_planned_and_nothing_else(spheres, tensors):
    _, views = draw_plans(spheres, tensors)
    assert (views["paint"] == 0).all()
    views["colours"][:] = torch.tensor(np.eye(3, 4, dtype=np.float32))
    views["blur"][:], views["noise"][:], views["background"][:] = 0.0, 0.0, 3
    surfaces = view_surfaces(tensors, views, SIZE)
    own = view_images(tensors, views, surfaces.masks, torch.Generator()).float()
    expected = paint(own, surfaces.masks, torch.full((24,), 0.5), torch.Generator().manual_seed(0))
    views["paint"][:] = 0.5
    found = view_images(tensors, views, surfaces.masks, torch.Generator().manual_seed(0)).float()
    assert (found - expected).abs().max() <= 2 and (found - own).abs().max() > 50


@pytest.mark.parametrize("canonical", [False, True])
def test_correspondences_are_those_of_single_pairs(spheres, tensors, canonical):
    plans, views = draw_plans(spheres, tensors)
    surfaces = view_surfaces(tensors, views, SIZE)
    single = list(views_by_opencv(spheres, views))
    same = [a.object_id == b.object_id for a, b in zip(single[::2], single[1::2], strict=True)]
    rows = torch.arange(len(same)) if canonical else torch.nonzero(torch.tensor(same))[:, 0]
    a, b = surfaces[2 * rows], surfaces[2 * rows + 1]
    flags = torch.full((len(rows),), canonical)
    pixels, found = sample_correspondences(a, b, flags, 64, torch.Generator().manual_seed(0))
    assert len(rows) > 3 and (found > 10).sum() > 3
    errors = []
    for row, (pixels_a, pixels_b), count in zip(rows.tolist(), pixels.numpy(), found, strict=True):
        find = by_canonical if canonical else by_geometry
        if count:
            expected, visible = find(single[2 * row], single[2 * row + 1], pixels_a)
            assert visible.mean() > 0.95
            errors.append(np.linalg.norm(pixels_b - expected, axis=1)[visible])
    assert np.quantile(np.concatenate(errors), 0.98) <= (1.5 if canonical else 0.3)


def test_batches_hold_pairs_that_share_points_and_come_again(spheres, tensors):
    plans, _ = draw_plans(spheres, tensors)
    make = PlannedViews(tensors, configuration())
    batch, again = make(plans), make(plans)
    assert batch["images"].shape == (4, 2, 3, *SIZE) and batch["images"].dtype == torch.uint8
    assert batch["pixels"].shape == (4, 2, 64, 2) and batch["canonical"].shape == (4, 2, *SIZE, 3)
    for name, value in batch.items():
        torch.testing.assert_close(value, again[name], equal_nan=True)
    canonical = batch["canonical"].flatten(0, 1)
    u, v = batch["pixels"].flatten(0, 1).round().long().unbind(dim=-1)
    at = canonical[torch.arange(8)[:, None], v, u].unflatten(0, (4, 2))
    distance = (at[:, 0] - at[:, 1]).norm(dim=-1)
    assert distance[~distance.isnan()].quantile(0.95) < 0.05
    assert distance.isnan().float().mean() < 0.05  # just beside the object


def test_views_that_show_nothing_are_an_error(spheres, tensors):
    plans, _ = draw_plans(spheres, tensors)
    nothing = replace(tensors, masks=torch.zeros_like(tensors.masks))
    with pytest.raises(DataError, match="none shows enough"):
        PlannedViews(nothing, configuration())(plans)


def test_frames_of_several_sizes_are_refused(spheres):
    odd = Spheres(views=4, camera=CAMERA)
    odd.frames[3] = Spheres(views=4, camera=replace(CAMERA, width=150)).frames[3]
    with pytest.raises(DataError, match="frame 3 is 150x120"):
        FrameTensors.read(odd, torch.device("cpu"), canonical=True, workers=0)


def test_frames_that_do_not_fit_and_backgrounds_that_would_not_be_used_are_refused(
    spheres, monkeypatch
):
    def full(*_, **__):
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patched, pytest.raises(DataError, match="8 frames of 160x120"):
        patched.setattr(torch, "empty", full)
        FrameTensors.read(spheres, torch.device("cpu"), canonical=True, workers=0)
    with pytest.raises(InvalidInputError, match="only for on_device: false"):
        configuration(backgrounds="pictures")


def test_turned_views_of_a_plan_keep_their_points(spheres, tensors):
    """`view_to_frame` and the view's camera and pose say the same."""
    _, views = draw_plans(spheres, tensors)
    rays = torch.linalg.inv(views["intrinsics"]) @ torch.tensor([40.0, 30.0, 1.0])
    for i, index in enumerate(views["frames"]):
        frame = spheres[int(index)]
        T = np.linalg.inv(frame.T_object_camera) @ views["T_object_camera"][i].double().numpy()
        expected = frame.camera.project(T[:3, :3] @ rays[i].double().numpy())
        found = views["view_to_frame"][i] @ torch.tensor([40.0, 30.0, 1.0])
        np.testing.assert_allclose(found[:2], expected, atol=1e-2)


def numbered(count, made, broken=-1):
    """Batches made ahead of `count` plans, all that were begun in `made`; one may be broken."""

    def make(plans):
        made.append(int(plans["number"]))
        if made[-1] == broken:
            raise DataError("none shows enough")
        return {"images": plans["number"] + 100}

    plans = [{"number": torch.tensor(i)} for i in range(count)]
    return ViewsAhead(DataLoader(plans, batch_size=None), make, torch.device("cpu"))


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_batches_made_ahead_come_in_order(count):
    made = []
    ahead = numbered(count, made)
    for _ in range(2):  # epochs
        assert [int(batch["images"]) - 100 for batch in ahead] == list(range(count))
    assert len(ahead) == count and made == 2 * list(range(count))


def test_a_batch_that_cannot_be_made_ends_the_run_with_its_reason():
    found = iter(numbered(5, [], broken=2))
    assert [int(next(found)["images"]) for _ in range(2)] == [100, 101]
    with pytest.raises(DataError, match="none shows enough"):
        next(found)


def test_a_run_that_stops_early_leaves_no_batches_behind():
    made, before = [], threading.active_count()
    found = iter(numbered(20, made))
    next(found)
    assert threading.active_count() == before + 1
    found.close()  # waits for those that are begun
    assert made == list(range(1 + AHEAD)) and threading.active_count() == before
