"""Poses of references in ray-cast scenes whose descriptors and truth are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_scene import CAMERA, View, as_measured, difference, is_rigid, look, pose
from posed_scene import ColourNetwork, Spheres

from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.grasping.aligned import SeenKeypoints
from dense_desc_ros.grasping.registered import find_registered
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.rgbd_frame import RgbdFrame

HERE = pose(0.01, -0.01, 0.4, (0.3, 0.2, 0.1))  # where the stone is when it is registered
CLICK = (165, 108)
SCALES = (0.7, 1.4)
TAUGHT = pose(0.005, -0.003, -0.01, (0.2, 0.1, 1.2))


@pytest.fixture(scope="module")
def pipeline(tiny_model, tmp_path_factory):
    """With one reference, "stone", registered without anybody giving its mask."""
    store = ReferenceStore(tmp_path_factory.mktemp("references"), tiny_model.fingerprint)
    pipeline = GraspPipeline(tiny_model, store)
    seen = look([HERE])
    frame = as_measured(seen.frame)
    pipeline.register(frame, "stone", CLICK, descriptors=seen.descriptors, T_point_grasp=TAUGHT)
    return pipeline


@pytest.fixture(scope="module")
def T_object_point(pipeline):
    seen = look([HERE])
    registration = pipeline.register(
        as_measured(seen.frame), "same", CLICK, descriptors=seen.descriptors
    )
    pipeline.store.remove("same")
    return np.linalg.inv(HERE) @ registration.T_camera_point


def find(pipeline, view, **changes):
    pipeline.settings = replace(PipelineSettings(), **changes)
    return pipeline.find(view.frame, view.descriptors)


def only(result):
    (grasp,), refusals = result.grasps, result.refusals
    assert refusals == []
    return grasp


def refusal(result):
    assert result.grasps == []
    return result.refusals[0]


def hidden(view, hide):
    """Something in front of the pixels (H, W) to hide, and like nothing."""
    features = view.descriptors.features.clone()
    out = torch.from_numpy(hide[2::4, 2::4])
    features[out] = torch.nn.functional.normalize(torch.randn(int(out.sum()), features.shape[2]))
    depth = np.where(hide, np.float32(0.2), view.frame.depth)
    frame = replace(view.frame, depth=depth)
    return View(frame, DescriptorMap(features, 4, 240, 320), view.mask & ~hide)


@given(
    x=st.floats(-0.08, 0.08),
    y=st.floats(-0.05, 0.05),
    z=st.floats(0.3, 0.5),
    tilt=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    turn=st.floats(-3.1, 3.1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30)
def test_a_grasp_moves_with_the_object_whatever_moves(
    pipeline, T_object_point, x, y, z, tilt, turn, seed
):
    """Object or camera: nothing but how they lie to each other can be seen."""
    there = pose(x, y, z, (*tilt, 0.0)) @ pose(rotvec=(0.0, 0.0, turn)) @ HERE
    there[:3, 3] = x, y, z
    view = look([there], seed=seed + 1)
    grasp = only(find(pipeline, view._replace(frame=as_measured(view.frame, seed))))
    assert grasp.method == "registered"
    truth = there @ T_object_point
    millimetres, degrees = difference(grasp.found.T_camera_point, truth)
    assert millimetres < 4 and degrees < 5
    assert is_rigid(grasp.found.T_camera_point) and is_rigid(grasp.T_camera_grasp)
    millimetres, degrees = difference(grasp.T_camera_grasp, truth @ TAUGHT)
    assert millimetres < 5 and degrees < 5
    assert grasp.score == pytest.approx(1, abs=0.2)
    np.testing.assert_allclose(grasp.pixel, CAMERA.project(grasp.point))


def test_what_was_registered_is_found_there_again(pipeline, T_object_point):
    view = look([HERE], seed=3)
    grasp = only(find(pipeline, view))
    millimetres, degrees = difference(grasp.T_camera_grasp, HERE @ T_object_point @ TAUGHT)
    assert millimetres < 1 and degrees < 1
    assert grasp.found.scale == 1
    assert grasp.score == pytest.approx(1, abs=0.1)
    u, v = np.rint(CAMERA.project(grasp.around)).astype(int).T
    assert len(grasp.around) > 40 and (view.mask[v, u] == 0).all()
    np.testing.assert_allclose(view.frame.depth[v, u], grasp.around[:, 2], atol=0.004)
    again = only(find(pipeline, view))
    np.testing.assert_array_equal(again.T_camera_grasp, grasp.T_camera_grasp)


@pytest.mark.parametrize("count", [2, 3])
def test_each_of_several_is_found_once(pipeline, T_object_point, count):
    there = [
        pose(x, y, z, (0.2 * i, 0.1, 1.5 * i)) @ pose(rotvec=(0.3, 0.2, 0.1))
        for i, (x, y, z) in enumerate([(-0.1, 0.03, 0.42), (0.02, -0.04, 0.4), (0.13, 0.02, 0.45)])
    ][:count]
    view = look(there, seed=1)
    for frame in view.frame, as_measured(view.frame):
        result = find(pipeline, view._replace(frame=frame), max_instances=5)
        assert len(result.grasps) == count and result.refusals == []
        scores = [grasp.score for grasp in result.grasps]
        assert scores == sorted(scores, reverse=True)
        for T in there:
            errors = [difference(g.found.T_camera_point, T @ T_object_point) for g in result.grasps]
            millimetres, degrees = min(errors)
            assert millimetres < 4 and degrees < 5
    assert len(find(pipeline, view, max_instances=1).grasps) == 1


def test_one_that_is_seen_exactly_as_registered_does_not_outshine_another(pipeline, T_object_point):
    there = pose(0.13, 0.03, 0.47, (0.2, 0.3, 1.5)) @ pose(rotvec=(0.3, 0.2, 0.1))
    view = look([HERE, there], seed=1)
    first, second = find(pipeline, view, max_instances=2).grasps
    assert difference(first.found.T_camera_point, HERE @ T_object_point)[0] < 2
    assert difference(second.found.T_camera_point, there @ T_object_point)[0] < 4


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_an_absent_object_is_not_found(pipeline, instances, seed):
    view = look([], seed=seed + 10)
    refused = refusal(find(pipeline, view, max_instances=instances))
    assert refused.name == "stone" and refused.score < 0.3 and refused.reason


@pytest.mark.parametrize("side", ["left", "right", "further right", "top", "bottom"])
def test_half_of_an_object_is_enough(pipeline, T_object_point, side):
    there = pose(0.03, 0.01, 0.42, (0.1, -0.2, 0.8)) @ pose(rotvec=(0.3, 0.2, 0.1))
    view = look([there], seed=2)
    v, u = np.mgrid[:240, :320]
    rows, columns = np.nonzero(view.mask == 0)
    middle_u, middle_v = np.median(columns), np.median(rows)
    hide = {
        "left": u < middle_u,
        "right": u > middle_u,  # 3 px before the point: less than poses may be off
        "further right": u > middle_u - 9,  # 12 px, 17 mm
        "top": v < middle_v,
        "bottom": v > middle_v + 6,  # than which the point is a little higher
    }[side]
    view = hidden(view, hide)
    result = find(pipeline, view._replace(frame=as_measured(view.frame)))
    u, v = CAMERA.project((there @ T_object_point)[:3, 3]).round().astype(int)
    assert hide[v, u] == side.endswith("right")
    if side == "further right":  # the object is found all the same
        refused = refusal(result)
        assert refused.reason.startswith("hidden") and refused.score > 0.7
        return
    grasp = only(result)
    millimetres, degrees = difference(grasp.found.T_camera_point, there @ T_object_point)
    assert millimetres < 6 and degrees < 8
    assert grasp.score > 0.75  # what is hidden says nothing


@pytest.mark.parametrize("scale", [0.75, 0.85, 1.15, 1.3])
def test_objects_of_another_size_are_found(pipeline, T_object_point, scale):
    """How large they are is only told where it is more than what matches may be off."""
    there = pose(0.03, 0.01, 0.45, (0.1, -0.2, 0.8)) @ pose(rotvec=(0.3, 0.2, 0.1))
    view = look([there], [scale], seed=2)
    grasp = only(find(pipeline, view._replace(frame=as_measured(view.frame))))
    assert is_rigid(grasp.found.T_camera_point) and is_rigid(grasp.T_camera_grasp)
    if abs(scale - 1) > 0.2:
        assert grasp.found.scale == pytest.approx(scale, abs=0.04)
    resized = T_object_point.copy()
    resized[:3, 3] *= scale
    millimetres, degrees = difference(grasp.found.T_camera_point, there @ resized)
    assert millimetres < 4 and degrees < 5


def test_objects_of_impossible_size_are_refused(pipeline):
    there = pose(0.0, 0.0, 0.6, (0.1, -0.2, 0.8)) @ pose(rotvec=(0.3, 0.2, 0.1))
    view = look([there], [2.0], seed=2)
    reason = refusal(find(pipeline, view, min_score=-1)).reason
    assert "scale" in reason or "inliers" in reason or "agree" in reason
    view = look([there], [1.3], seed=2)
    assert "out of the range 0.9 to 1.1" in refusal(find(pipeline, view, scales=(0.9, 1.1))).reason
    assert only(find(pipeline, look([there], seed=2), scales=(1.0, 1.0))).found.scale == 1


@pytest.mark.parametrize("instances", [1, 3])
def test_without_depth_there_is_no_pose_and_nothing_is_nan(pipeline, T_object_point, instances):
    there = pose(0.0, 0.0, 0.45, (0.1, -0.2, 0.8)) @ HERE
    there[:3, 3] = 0.0, 0.0, 0.45
    view = look([there], seed=2)
    for impossible in (np.nan, 0.0, -1.0, np.inf):
        depth = np.where(view.mask == 0, np.float32(impossible), view.frame.depth)
        frame = replace(view.frame, depth=depth)
        refused = refusal(find(pipeline, view._replace(frame=frame), max_instances=instances))
        assert np.isfinite(refused.score) and refused.reason
        blind = replace(frame, depth=np.full_like(depth, impossible))
        assert "agree" in refusal(find(pipeline, view._replace(frame=blind))).reason
    frame = as_measured(view.frame, holes=0.3, flying=0.1)
    result = find(pipeline, view._replace(frame=frame), max_instances=instances)
    grasp = only(result)
    assert np.isfinite(grasp.T_camera_grasp).all() and np.isfinite(grasp.pixel).all()
    assert difference(grasp.found.T_camera_point, there @ T_object_point)[0] < 5


@pytest.mark.parametrize("most", [1000, 60])
def test_references_found_together_are_found_as_alone(pipeline, monkeypatch, most):
    """Of two objects, with supports of unlike sizes, in one call and in two, all at once or not."""
    monkeypatch.setattr("dense_desc_ros.grasping.registered.MOST_POINTS", most)
    first = pipeline.store.get("stone")
    support = first.support
    second = replace(
        first, support=type(support)(*(values[:20] for values in support.tensors().values()))
    )
    view = look([pose(0.02, 0.0, 0.42, (0, 0, 1)) @ pose(rotvec=(0.3, 0.2, 0.1))], seed=1)
    for count in (1, 2):
        together = find_registered(view.frame, view.descriptors, [first, second], count, SCALES)
        for reference, some in zip((first, second), together, strict=True):
            (alone,) = find_registered(view.frame, view.descriptors, [reference], count, SCALES)
            assert len(some) == len(alone) == 1
            np.testing.assert_allclose(some[0].T_camera_point, alone[0].T_camera_point, atol=1e-6)
            assert some[0].score == pytest.approx(alone[0].score, abs=1e-6)
    assert find_registered(view.frame, view.descriptors, [], 1, SCALES) == []


# By the network's keypoints: here a network that finds given colours of a coloured sphere.


def as_rgbd(posed):
    return RgbdFrame(posed.image, posed.depth, posed.camera)


@pytest.fixture(scope="module")
def spheres():
    return Spheres(radii=(0.1,), views=4, absent=1)


@pytest.fixture(scope="module")
def by_keypoints(spheres, tmp_path_factory):
    rng = np.random.default_rng(0)
    directions = rng.normal([0, -1.0, 0], 0.25, (24, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colours = [*((directions + 1) / 2), (1, 1, 1), (0, 0, 0.5)]  # the last two are nowhere
    model = DescriptorModel(ColourNetwork(colours), "l2")
    store = ReferenceStore(tmp_path_factory.mktemp("spheres"), model.fingerprint)
    return GraspPipeline(model, store, PipelineSettings(method="aligned"))


def test_keypoints_give_the_pose_too(by_keypoints, spheres):
    first, other, occluded, _, absent = (spheres[i] for i in range(5))
    middle = first.camera.project(-first.T_object_camera[:3, 3] @ first.T_object_camera[:3, :3])
    registration = by_keypoints.register(
        as_rgbd(first), "ball", middle, mask=first.mask, T_point_grasp=TAUGHT
    )
    known = registration.reference.keypoints.isfinite().all(dim=1)
    assert known[:24].sum() >= 20
    T_object_point = first.T_object_camera @ registration.T_camera_point
    radii = np.linalg.norm(
        registration.reference.keypoints[:24][known[:24]].numpy() @ T_object_point[:3, :3].T
        + T_object_point[:3, 3],
        axis=1,
    )
    np.testing.assert_allclose(radii, 0.1, atol=0.003)
    for frame in other, occluded:
        grasp = only(by_keypoints.process(as_rgbd(frame)))
        assert grasp.method == "aligned"
        truth = np.linalg.inv(frame.T_object_camera) @ T_object_point
        millimetres, degrees = difference(grasp.found.T_camera_point, truth)
        assert millimetres < 4 and degrees < 4
        np.testing.assert_allclose(
            grasp.T_camera_grasp, grasp.found.T_camera_point @ TAUGHT, atol=1e-9
        )
    refused = refusal(by_keypoints.process(as_rgbd(absent)))
    assert refused.reason
    blind = replace(as_rgbd(other), depth=np.full_like(other.depth, np.nan))
    assert "agree" in refusal(by_keypoints.process(blind)).reason


def test_keypoints_are_only_seen_on_what_is_measured_and_registered_on_the_object(
    by_keypoints, spheres
):
    first = spheres[0]
    left = np.broadcast_to(np.arange(320) < 150, (240, 320))
    depth = np.where(left, first.depth, np.nan)
    frame = replace(as_rgbd(first), depth=depth)
    model = by_keypoints.model
    seen = SeenKeypoints(model.network, frame, model.describe(first.image))
    assert (seen.pixels[:24, 0] < 152).all()
    assert np.isfinite(seen.points[:24]).all(axis=1).mean() > 0.8
    registration = by_keypoints.register(as_rgbd(first), "left", (130, 120), mask=first.mask & left)
    by_keypoints.store.remove("left")
    keypoints = registration.reference.keypoints.double().numpy()
    in_camera = keypoints @ registration.T_camera_point[:3, :3].T + registration.point
    known = np.isfinite(keypoints).all(axis=1)
    assert 4 < known.sum() < 20
    assert first.camera.project(in_camera[known])[:, 0].max() < 150
