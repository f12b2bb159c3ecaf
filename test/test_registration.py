"""References made of a click, kept on disk, and added to."""

import json
import math
from dataclasses import replace

import numpy as np
import open3d as o3d
import pytest
import safetensors
import torch
from known_scene import CAMERA, as_measured, blob, difference, is_rigid, look, pose, with_a_likeness
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.errors import InvalidInputError, MissingDepthError, ReferenceStoreError
from dense_desc_ros.grasping.grasp import NotFound
from dense_desc_ros.grasping.registered import find_registered
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.references import LEAST_CONTRAST, Level, Reference, Support

HERE = pose(0.01, -0.01, 0.4, (0.3, 0.2, 0.1))
CLICK = (165, 108)
SCALES = (0.7, 1.4)


@pytest.fixture(scope="module")
def view():
    seen = look([HERE])
    return seen._replace(frame=as_measured(seen.frame, noise=0.0005, flying=0))


@pytest.fixture
def pipeline(tiny_model, tmp_path):
    return GraspPipeline(tiny_model, ReferenceStore(tmp_path, tiny_model.fingerprint))


def register(pipeline, view, **arguments):
    return pipeline.register(view.frame, "stone", CLICK, descriptors=view.descriptors, **arguments)


def apart_from_stone(points, T_object_point):
    """How far points (n, 3), in the frame of the point, are from the stone's surface."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(blob())
    on_stone = points.double().numpy() @ T_object_point[:3, :3].T + T_object_point[:3, 3]
    return scene.compute_distance(o3d.core.Tensor(on_stone.astype(np.float32))).numpy()


def test_a_reference_knows_its_point_its_surroundings_and_how_it_stands_out(pipeline, view):
    made = register(pipeline, view)
    reference = made.reference
    np.testing.assert_allclose(CAMERA.project(made.point), CLICK, atol=1e-6)
    assert is_rigid(made.T_camera_point) and made.remark == ""
    inwards = HERE[:3, 3] - made.point
    assert made.T_camera_point[:3, 2] @ inwards > 0.7 * np.linalg.norm(inwards)
    assert made.T_camera_point[0, 0] > 0  # x along the camera's
    assert made.T_camera_point[1, 1] > 0
    apart = apart_from_stone(reference.support.points, np.linalg.inv(HERE) @ made.T_camera_point)
    assert np.median(apart) < 0.001 and apart.max() < 0.004
    assert set(reference.levels) == {"registered", "straight"}
    for rest, own in reference.levels.values():
        assert 0 <= rest < 0.8 * own and own > 0.9
    # As one of the levels says: 1 for itself, 0 for the most of what is not the object.
    ((found,),) = find_registered(view.frame, view.descriptors, [reference], 1, (1.0, 1.0))
    assert found.score == pytest.approx(1, abs=1e-6)


def test_what_else_is_alike_raises_the_rest_and_another_of_the_kind_does_not_hide_it(pipeline):
    """A second stone in the picture tells nothing: it is as like as the first."""
    alone = look([pose(-0.08, 0, 0.4, (0.3, 0.2, 0.1))])
    two = look([pose(-0.08, 0, 0.4, (0.3, 0.2, 0.1)), pose(0.08, 0, 0.4, (0.3, 0.2, 0.1))])
    levels = [
        pipeline.register(v.frame, "a", (86, 115), descriptors=v.descriptors).reference.levels
        for v in (alone, two)
    ]
    # Three quarters of it are what is usual, 0.15, and the other stone reaches what the first does.
    shares = [level["registered"].rest / level["registered"].own for level in levels]
    assert 0.75 * 0.15 <= shares[0] < 0.2
    assert shares[1] == pytest.approx(0.75 * 0.15 + 0.25, rel=0.1)
    assert levels[1]["straight"].rest == pytest.approx(0.9)
    assert levels[1]["registered"].own == pytest.approx(levels[0]["registered"].own, abs=0.02)
    result = pipeline.find(two.frame, two.descriptors)
    assert len(result.grasps) == 1


def test_scores_are_measured_from_rest_to_own():
    assert Level(0.2, 0.7).score(0.7) == pytest.approx(1)
    assert Level(0.2, 0.7).score(0.2) == 0
    assert Level(0.2, 0.7).score(0.45) == pytest.approx(0.5)
    assert Level(0.6, 0.6).score(0.6 + LEAST_CONTRAST) == pytest.approx(1)
    assert Level(0.0, 0.0).score(0.0) == 0


def test_a_mask_is_the_object_and_must_hold_the_point(pipeline, view):
    mask = view.mask == 0
    left = mask & (np.arange(320) < 170)
    made = register(pipeline, view, mask=left)
    in_camera = made.reference.support.points.double().numpy() @ made.T_camera_point[:3, :3].T
    u, _ = CAMERA.project(in_camera + made.point).T
    assert 130 < u.max() < 170
    for bad, message in ((~mask, "outside the mask"), (mask[:50], "mask has shape")):
        with pytest.raises(InvalidInputError, match=message):
            register(pipeline, view, mask=bad)


def test_impossible_grasps_are_refused(pipeline, view):
    turned = pose(0.0, 0.1, 0.28, (0.1, 0.2, 0.3))
    assert np.array_equal(
        register(pipeline, view, T_point_grasp=turned).reference.T_point_grasp, turned
    )
    pipeline.store.remove("stone")
    for bad, message in (
        (pose(0.0, 0.1, 0.29), "m from the point"),
        (pose(0.0, 0.1, -150.0), "in metres"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "rotation"),
        (pose(np.nan), "finite"),
        (np.eye(3), "4x4"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            register(pipeline, view, T_point_grasp=bad)
    for bad in -0.01, math.inf:
        with pytest.raises(InvalidInputError, match="opening width"):
            register(pipeline, view, opening_width=bad)
    blind = view._replace(frame=replace(view.frame, depth=np.full((240, 320), -1.0, np.float32)))
    with pytest.raises(MissingDepthError):
        register(pipeline, blind)
    assert pipeline.store.names() == []


def test_where_only_the_point_is_measured_its_grasps_are_straight_and_this_is_said(pipeline, view):
    depth = np.full_like(view.frame.depth, np.nan)
    depth[104:113, 161:170] = look([HERE]).frame.depth[104:113, 161:170]
    made = register(pipeline, view._replace(frame=replace(view.frame, depth=depth)))
    assert "only be straight" in made.remark
    assert len(made.reference.support) == 0 and set(made.reference.levels) == {"straight"}
    (grasp,) = pipeline.find(view.frame, view.descriptors).grasps
    assert grasp.method == "straight"
    assert np.linalg.norm(grasp.point - made.point) < 0.002
    pipeline.settings = PipelineSettings(method="registered")
    (refused,) = pipeline.find(view.frame, view.descriptors).refusals
    assert "registered without" in refused.reason


# Further views of the same point.


def test_a_second_view_adds_its_surroundings_in_the_frame_of_the_first(pipeline, view):
    first = register(pipeline, view, T_point_grasp=pose(0.01), opening_width=0.04)
    T_object_point = np.linalg.inv(HERE) @ first.T_camera_point
    turned = pose(0, 0, 0.42, (0, 0.7, 0)) @ pose(rotvec=(0.3, 0.2, 0.1))
    second = look([turned], seed=5)
    # Clicked at the same point, but for a few pixels.
    pixel = CAMERA.project((turned @ T_object_point)[:3, 3]) + [3, -2]
    made = pipeline.register(
        second.frame,
        "stone",
        pixel,
        descriptors=second.descriptors,
        T_point_grasp=pose(0.2),
        append=True,
    )
    assert made.remark == ""
    np.testing.assert_allclose(CAMERA.project(made.point), pixel, atol=1e-6)
    merged = pipeline.store.get("stone")
    assert np.array_equal(merged.T_point_grasp, pose(0.01)) and merged.opening_width == 0.04
    assert merged.descriptors.shape == (2, 64)
    assert merged.support.views.unique(return_counts=True)[1].tolist() == [48, 48]
    added = merged.support.points[merged.support.views == 1]
    apart = apart_from_stone(added, T_object_point)
    assert np.median(apart) < 0.002 and apart.max() < 0.008
    for method, level in merged.levels.items():
        assert level.own >= first.reference.levels[method].own
        assert level.rest >= first.reference.levels[method].rest

    # From the far side of the second view, where the first has little to go by.
    beyond = pose(0, 0, 0.42, (0, 1.6, 0)) @ pose(rotvec=(0.3, 0.2, 0.1))
    third = look([beyond], seed=6)
    ((by_both,), (by_first,)) = find_registered(
        third.frame, third.descriptors, [merged, first.reference], 1, SCALES
    )
    millimetres, degrees = difference(by_both.T_camera_point, beyond @ T_object_point)
    assert millimetres < 5 and degrees < 5
    assert isinstance(by_first, NotFound) or by_first.inliers < by_both.inliers
    # The best of the views counts, not how many of them fit.
    assert by_both.score > 0.7
    ((again,),) = find_registered(view.frame, view.descriptors, [merged], 1, SCALES)
    assert again.score > 0.9


def test_views_are_numbered_on_and_an_unlike_one_is_only_another_descriptor(pipeline, view):
    first = register(pipeline, view)
    features = torch.randn(60, 80, 64)
    unlike = view._replace(descriptors=DescriptorMap(features, 4, 240, 320))
    made = register(pipeline, unlike, append=True)
    assert "too unlike" in made.remark
    assert made.reference.descriptors.shape == (2, 64)
    assert made.reference.support is first.reference.support
    again = register(pipeline, view, append=True)
    assert again.remark == "" and again.reference.descriptors.shape == (3, 64)
    assert again.reference.support.views.unique().tolist() == [0, 1]
    again = register(pipeline, view, append=True)
    assert again.reference.support.views.unique().tolist() == [0, 1, 2]
    points = again.reference.support.points
    np.testing.assert_allclose(points[48:], points[:48].repeat(2, 1), atol=0.001)


def test_a_likeness_in_a_further_view_does_not_say_where_its_surroundings_are(pipeline, view):
    """Nor is a view of another point taken for one of the same."""
    first = register(pipeline, view)
    T_object_point = np.linalg.inv(HERE) @ first.T_camera_point
    there = pose(-0.09, 0.0, 0.42, (0.2, 0.1, 0.8)) @ pose(rotvec=(0.3, 0.2, 0.1))
    other = pose(0.09, 0.02, 0.42, (0.1, 0.2, -0.3)) @ pose(rotvec=(0.3, 0.2, 0.1))
    seen = with_a_likeness(there, other)
    u, v = CAMERA.project((there @ T_object_point)[:3, 3])
    for pixel, remark in (((u, v), ""), ((u, v + 40), "too unlike")):
        register(pipeline, view)
        made = pipeline.register(
            seen.frame, "stone", pixel, descriptors=seen.descriptors, append=True
        )
        assert remark in made.remark and bool(remark) == bool(made.remark)
        support = made.reference.support
        assert support.views.unique().tolist() == ([0] if remark else [0, 1])
        if not remark:
            added = support.points[support.views == 1]
            assert apart_from_stone(added, T_object_point).max() < 0.008


@pytest.mark.parametrize("seed", range(6))
def test_the_same_object_has_the_same_size_in_every_further_view(pipeline, view, seed):
    """Sizes must be the same there: no rounding may make another size of it."""
    register(pipeline, view)
    rng = np.random.default_rng(seed)
    there = pose(0.02, 0.01, 0.42, rng.uniform(-0.4, 0.4, 3)) @ pose(rotvec=(0.3, 0.2, 0.1))
    seen = look([there], seed=seed + 20)
    rows, columns = np.nonzero(seen.mask == 0)
    made = pipeline.register(
        seen.frame,
        "stone",
        (np.median(columns), np.median(rows)),
        descriptors=seen.descriptors,
        append=True,
    )
    assert made.remark == ""


# On disk.


def full_reference(seed=0):
    generator = torch.Generator().manual_seed(seed)
    keypoints = torch.randn(5, 3, generator=generator)
    keypoints[2] = torch.nan
    support = Support(
        torch.randn(7, 8, generator=generator),
        torch.randn(7, 3, generator=generator),
        torch.tensor([0, 0, 0, 0, 1, 1, 1], dtype=torch.int32),
    )
    levels = {"registered": Level(0.1, 0.8), "straight": Level(0.4, 1.0)}
    return Reference(
        "mug",
        torch.randn(2, 8, generator=generator),
        "f" * 64,
        pose(0.01, 0.0, -0.02, (0.1, 0.2, 0.3)),
        0.05,
        support,
        keypoints,
        levels,
    )


def test_all_of_a_reference_is_there_after_a_restart(tmp_path):
    added = full_reference()
    ReferenceStore(tmp_path, "f" * 64).add(added)
    loaded = ReferenceStore(tmp_path, "f" * 64).get("mug")
    assert loaded.levels == added.levels
    np.testing.assert_array_equal(loaded.T_point_grasp, added.T_point_grasp)
    for ours, theirs in (
        (loaded.keypoints, added.keypoints),
        (loaded.descriptors, added.descriptors),
        *zip(loaded.support.tensors().values(), added.support.tensors().values(), strict=True),
    ):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


FULL = full_reference()


@pytest.mark.parametrize(
    "changes",
    [
        {"points": FULL.support.points[:6]},
        {"points": FULL.support.points[:, :2]},
        {"points": FULL.support.points / 0},
        {"descriptors": FULL.support.descriptors[:, :7]},
        {"descriptors": FULL.support.descriptors[:6]},
        {"descriptors": FULL.support.descriptors * torch.nan},
        {"views": FULL.support.views[:3]},
        {"views": FULL.support.views[None]},
        {"views": FULL.support.views - 1},
        {"views": FULL.support.views.float()},
        {"views": FULL.support.views * 1_000_000_000},
    ],
)
def test_a_file_whose_support_cannot_be_is_refused(tmp_path, changes):
    broken = replace(FULL, support=replace(FULL.support, **changes))
    (tmp_path / "mug.safetensors").write_bytes(broken.to_bytes())
    store = ReferenceStore(tmp_path, "f" * 64)
    assert store.names() == []
    with pytest.raises(ReferenceStoreError, match="not a readable reference"):
        store.get("mug")


@pytest.mark.parametrize(
    "keypoints", [torch.zeros(5), torch.zeros(5, 2), torch.full((5, 3), math.inf)]
)
def test_a_file_whose_keypoints_cannot_be_is_refused(tmp_path, keypoints):
    (tmp_path / "mug.safetensors").write_bytes(replace(FULL, keypoints=keypoints).to_bytes())
    assert "keypoints" in ReferenceStore(tmp_path, "f" * 64).problems["mug"]


@pytest.mark.parametrize("levels", [[], {"straight": [0.1]}, {"straight": [float("nan"), 1.0]}])
def test_a_file_with_impossible_levels_is_refused_and_the_others_are_read(tmp_path, levels):
    store = ReferenceStore(tmp_path, "f" * 64)
    for name in ("good", "bad"):
        store.add(Reference(name, torch.ones(1, 4), "f" * 64))
    path = tmp_path / "bad.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["reference"])
    description["levels"] = levels
    path.write_bytes(serialize(load_file(path), {"reference": json.dumps(description)}))
    again = ReferenceStore(tmp_path, "f" * 64)
    assert again.names() == ["good"] and "not a readable reference" in again.problems["bad"]
