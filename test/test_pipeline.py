"""Frame in, grasps out: with a random network, which still finds a picture's shifted content."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from local_scene import CAMERA as SCENE_CAMERA
from local_scene import DEPTH, HEIGHT, WIDTH, local_model, moved, scene
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import InvalidInputError, MissingDepthError, ReferenceStoreError
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(400.0, 400.0, 191.5, 143.5, 384, 288)
SHIFT = (32, 64)  # px; a whole stride, so that features move along unchanged
STRAIGHT = PipelineSettings(method="straight", min_score=0.9)
HALF_FEATURE = 3  # px; what turning by 180° is off by with `local_model`, see there
T_base_camera = np.eye(4)
T_base_camera[:3, :3] = Rotation.from_euler("xyz", [150, 10, 20], degrees=True).as_matrix()
T_base_camera[:3, 3] = 0.1, 0.2, 1.0


@pytest.fixture
def frames():
    """A tilted textured plane, and the same with its content moved by SHIFT."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (384, 288), interpolation=cv2.INTER_CUBIC)
    depth = np.repeat(np.linspace(0.7, 0.9, 288, dtype=np.float32)[:, None], 384, axis=1)
    moved = np.roll(picture, SHIFT[::-1], axis=(0, 1))
    return RgbdFrame(picture, depth, CAMERA), RgbdFrame(moved, depth, CAMERA)


@pytest.fixture
def pipeline(tiny_model, tmp_path):
    return GraspPipeline(tiny_model, ReferenceStore(tmp_path, tiny_model.fingerprint), STRAIGHT)


@pytest.fixture(scope="module")
def exact_model():
    return local_model()


@pytest.fixture
def exact(exact_model, tmp_path):
    """A pipeline for `scene`, where a place is known to less than a pixel."""
    return GraspPipeline(exact_model, ReferenceStore(tmp_path, exact_model.fingerprint))


def turn_between(a, b):
    return np.degrees(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude())


def cards(*places):
    """Copies of a part of the scene, 64 px wide, in front of another wall; (u, v) of corners."""
    card = scene().image[64:128, 64:128]
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2)
    depth = np.full((HEIGHT, WIDTH), DEPTH + 0.1, np.float32)
    for u, v in places:
        image[v : v + 64, u : u + 64] = card
        depth[v : v + 64, u : u + 64] = DEPTH
    return scene(image=image, depth=depth)


def test_a_registered_point_is_grasped_where_it_moved(pipeline, frames):
    taught = np.eye(4)
    taught[2, 3] = -0.01
    registration = pipeline.register(
        frames[0], "corner", (150, 130), T_point_grasp=taught, opening_width=0.06
    )
    np.testing.assert_allclose(CAMERA.project(registration.point), (150, 130), atol=1e-6)
    (grasp,) = pipeline.process(frames[1]).grasps
    assert np.linalg.norm(grasp.pixel - np.add((150, 130), SHIFT)) < 16
    assert grasp.score > 0.9 and grasp.opening_width == 0.06
    depth = frames[1].depth[int(grasp.pixel[1]), int(grasp.pixel[0])]
    np.testing.assert_allclose(grasp.point, CAMERA.back_project(grasp.pixel, depth), atol=2e-3)
    assert (grasp.method, grasp.found.inliers, grasp.found.scale) == ("straight", 1, 1)
    assert grasp.found.spread == pytest.approx(grasp.found.spread_px * depth / 400, rel=0.01)
    towards = grasp.T_camera_grasp[:3, 2]
    np.testing.assert_allclose(grasp.T_camera_grasp[:3, 3], grasp.point - 0.01 * towards, atol=1e-9)
    assert towards[2] > 0.5


def test_what_gives_no_grasp_gives_a_reason(pipeline, frames):
    pipeline.register(frames[0], "corner", (150, 130))
    noise = np.random.default_rng(5).integers(0, 256, (288, 384, 3), dtype=np.uint8)
    pipeline.settings = replace(STRAIGHT, min_score=0.999)
    (refusal,) = pipeline.process(replace(frames[0], image=noise)).refusals
    assert "below min_score" in refusal.reason and refusal.score < 0.999
    blind = replace(frames[0], depth=np.full((288, 384), np.nan, np.float32))
    (refusal,) = pipeline.process(blind).refusals
    assert "no depth" in refusal.reason and refusal.score == pytest.approx(1, abs=1e-4)


def test_another_view_is_matched_too_and_names_select(pipeline, frames):
    pipeline.register(frames[0], "a", (150, 130))
    pipeline.register(frames[0], "a", (250, 100), append=True)
    pipeline.register(frames[0], "b", (90, 200))
    pipeline.settings = replace(STRAIGHT, min_score=0.99, max_instances=2)
    result = pipeline.process(frames[0])
    pixels = {(g.name, *g.pixel.tolist()) for g in result.grasps}
    assert {("a", 150, 130), ("a", 250, 100), ("b", 90, 200)} <= pixels
    only = pipeline.find(frames[0], result.descriptors, ["b"])
    assert {g.name for g in only.grasps} == {"b"}
    with pytest.raises(ReferenceStoreError, match="unknown reference 'c'"):
        pipeline.find(frames[0], result.descriptors, ["c"])


def test_without_references_there_is_nothing_to_find(pipeline, frames):
    result = pipeline.process(frames[0])
    assert result.grasps == [] and result.refusals == []


def test_a_registration_that_cannot_be_is_refused_and_stores_nothing(pipeline, frames):
    frame = frames[0]
    blind = replace(frame, depth=np.full((288, 384), np.nan, np.float32))
    outside = np.zeros((288, 384), bool)
    outside[130, 160:] = outside[120:140, 152:] = True
    for error, arguments in (
        (InvalidInputError, (frame, "a/b", (10, 10))),
        (InvalidInputError, (frame, "a", (384, 10))),
        (MissingDepthError, (blind, "a", (10, 10))),
    ):
        with pytest.raises(error):
            pipeline.register(*arguments)
    with pytest.raises(InvalidInputError, match="outside the mask"):
        pipeline.register(frame, "a", (150, 130), mask=outside)
    with pytest.raises(InvalidInputError, match="mask has shape"):
        pipeline.register(frame, "a", (150, 130), mask=outside[:5])
    assert pipeline.store.names() == []


@pytest.mark.parametrize(
    ("motion", "off"),
    [
        ({}, 0),
        ({"dx": 24, "dy": -16}, 0),
        ({"dx": -13, "dy": 6}, 0),
        ({"degrees": 20}, 1),
        ({"degrees": 90}, HALF_FEATURE),
        ({"degrees": -90}, HALF_FEATURE),
        ({"degrees": 180}, 1.5 * HALF_FEATURE),
        ({"dx": 10, "degrees": 135}, 1.5 * HALF_FEATURE),
    ],
)
def test_the_surroundings_tell_how_a_point_is_turned(exact, motion, off):
    taught = np.eye(4)
    taught[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.7]).as_matrix()
    taught[:3, 3] = 0.02, 0.01, -0.05
    registered = exact.register(
        scene(), "a", (100, 80), T_point_grasp=taught, opening_width=0.05
    ).T_camera_point
    (grasp,) = exact.process(scene(**motion)).grasps
    found = grasp.found
    assert (grasp.method, grasp.opening_width) == ("registered", 0.05)
    assert grasp.score == pytest.approx(1, abs=0.01)
    pixel = moved((100, 80), **motion)
    assert np.linalg.norm(grasp.pixel - pixel) < off + 0.6
    assert np.linalg.norm(grasp.point - SCENE_CAMERA.back_project(pixel, DEPTH)) < (
        (off + 0.6) * DEPTH / SCENE_CAMERA.fx
    )
    turn = Rotation.from_euler("z", motion.get("degrees", 0), degrees=True).as_matrix()
    assert turn_between(turn @ registered[:3, :3], found.T_camera_point) < 1.5
    np.testing.assert_allclose(grasp.T_camera_grasp, found.T_camera_point @ taught, atol=1e-9)
    assert found.inliers > 40 and found.scale == pytest.approx(1, abs=0.01)
    assert 0 < found.spread_px < 2.1 and 0 < found.spread < 0.007


def test_what_is_not_there_is_refused_by_its_score(exact):
    exact.register(cards((64, 64)), "a", (96, 96))
    (refusal,) = exact.process(cards()).refusals
    assert refusal.score < 0.3
    assert "scale" in refusal.reason or "agree" in refusal.reason
    half = cards((64, 64))
    half.image[64:88], half.depth[64:88] = cards().image[64:88], cards().depth[64:88]
    exact.settings = PipelineSettings(min_score=0.95)
    (refusal,) = exact.process(half).refusals
    assert refusal.reason == f"score {refusal.score:.2f} is below min_score 0.95"
    assert 0 < refusal.score < 0.95
    exact.settings = PipelineSettings(min_score=refusal.score - 0.01)
    assert [grasp.score for grasp in exact.process(half).grasps] == [refusal.score]


def test_each_of_several_instances_is_grasped(exact):
    exact.register(cards((64, 64)), "a", (96, 96))
    for method, tolerance in ("auto", 0.6), ("straight", 0):
        exact.settings = PipelineSettings(method, max_instances=3, min_score=0.9)
        grasps = exact.process(cards((16, 40), (140, 100))).grasps
        pixels = np.array(sorted(grasp.pixel.tolist() for grasp in grasps))
        np.testing.assert_allclose(pixels, [(48, 72), (172, 132)], atol=tolerance)
        assert [grasp.score for grasp in grasps] == sorted(g.score for g in grasps)[::-1]
    exact.settings = PipelineSettings(max_instances=3)
    assert len(exact.process(cards((16, 40))).grasps) == 1


def test_another_view_adds_its_surroundings_and_keeps_the_grasp(exact):
    first = exact.register(scene(), "a", (100, 80), opening_width=0.05)
    view = {"dx": 8, "degrees": 20}
    second = exact.register(scene(**view), "a", moved((100, 80), **view), append=True)
    assert second.remark == ""
    assert len(second.reference.support) == 2 * len(first.reference.support)
    assert len(second.reference.descriptors) == 2 and second.reference.opening_width == 0.05
    # All of the wall's points are on it, also those of the new view in the frame of the old.
    assert second.reference.support.points[:, 2].abs().max() < 0.005
    (grasp,) = exact.process(scene(dx=-20)).grasps
    assert np.linalg.norm(grasp.pixel - (80, 80)) < 1
    third = exact.register(cards(), "a", (100, 80), append=True)
    assert "too unlike the stored ones" in third.remark
    assert len(third.reference.support) == len(second.reference.support)
    assert len(third.reference.descriptors) == 3
    stored = exact.store.get("a")
    torch.testing.assert_close(stored.support.points, third.reference.support.points)


def test_without_a_surface_around_it_a_point_is_grasped_straight(exact):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[79:82, 99:102] = True
    registration = exact.register(scene(), "a", (100, 80), mask=mask)
    assert "can only be straight" in registration.remark
    (grasp,) = exact.process(scene(dx=24)).grasps
    assert grasp.method == "straight" and grasp.pixel.tolist() == [124, 80]
    for method in "registered", "aligned":
        exact.settings = PipelineSettings(method)
        (refusal,) = exact.process(scene()).refusals
        assert refusal.reason == f"it was registered without what the method {method!r} needs"


def test_straight_grasps_go_down_where_down_is_known(exact):
    exact.register(scene(), "a", (100, 80))
    exact.settings = PipelineSettings("straight", approach="gravity")
    (grasp,) = exact.process(scene(), T_base_camera).grasps
    np.testing.assert_allclose((T_base_camera @ grasp.T_camera_grasp)[:3, 2], [0, 0, -1], atol=1e-9)
    (grasp,) = exact.process(scene()).grasps
    np.testing.assert_allclose(grasp.T_camera_grasp[:3, 2], [0, 0, 1], atol=1e-6)


def test_grasps_outside_the_workspace_are_refused(exact):
    exact.register(scene(), "a", (100, 80))
    (grasp,) = exact.process(scene(), T_base_camera).grasps
    at = (T_base_camera @ grasp.T_camera_grasp)[:3, 3]
    exact.settings = PipelineSettings(workspace=(*(at - 0.01), *(at + 0.01)))
    assert len(exact.process(scene(), T_base_camera).grasps) == 1
    (refusal,) = exact.process(scene()).refusals
    assert "the camera's pose is not known" in refusal.reason
    for axis in range(3):
        shift = 0.05 * np.eye(3)[axis]
        exact.settings = PipelineSettings(workspace=(*(at + shift - 0.01), *(at + shift + 0.01)))
        (refusal,) = exact.process(scene(), T_base_camera).refusals
        assert refusal.reason.startswith("out of the workspace: (")
        assert refusal.score == pytest.approx(1, abs=0.01)


def test_grasps_for_which_there_is_no_room_are_refused(exact):
    into, before = np.eye(4), np.eye(4)
    into[2, 3], before[2, 3] = 0.03, -0.02
    exact.register(scene(), "before", (100, 80), T_point_grasp=before, opening_width=0.2)
    exact.register(scene(), "into", (150, 80), T_point_grasp=into)
    assert len(exact.process(scene()).grasps) == 2
    exact.settings = PipelineSettings(gripper=Gripper())
    result = exact.process(scene())
    assert [grasp.name for grasp in result.grasps] == ["before"]
    assert result.grasps[0].opening_width == Gripper.max_width
    assert [refusal.name for refusal in result.refusals] == ["into"]
    assert result.refusals[0].reason.startswith("too wide")


def test_poses_are_steadied_over_frames_but_not_on_request(exact):
    exact.register(scene(), "a", (100, 80))
    exact.settings = PipelineSettings(steady=True)
    exact.process(scene())
    near = scene(dx=4)
    result = exact.process(near)
    asked = exact.find(near, result.descriptors)
    shift = SCENE_CAMERA.back_project((2.0, 0.0), DEPTH) - SCENE_CAMERA.back_project(
        (0.0, 0.0), DEPTH
    )
    np.testing.assert_allclose(asked.grasps[0].point - result.grasps[0].point, shift, atol=1e-3)
    far = scene(dx=40)
    result = exact.process(far)
    np.testing.assert_allclose(
        exact.find(far, result.descriptors).grasps[0].point, result.grasps[0].point, atol=1e-9
    )


def test_a_grasp_far_from_its_point_is_a_mistake(exact):
    taught = np.eye(4)
    taught[2, 3] = -100  # millimetres
    with pytest.raises(InvalidInputError, match="give it in metres"):
        exact.register(scene(), "a", (100, 80), T_point_grasp=taught)
    assert exact.store.names() == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"method": "guess"}, "unknown method 'guess'"),
        ({"approach": "sideways"}, "unknown approach"),
        ({"min_score": 2}, "min_score"),
        ({"min_score": math.nan}, "min_score"),
        ({"max_instances": 0}, "at least 1"),
        ({"instance_radius": 0}, "at least 1"),
        ({"scales": (1.1, 2.0)}, "include 1"),
        ({"scales": (0.0, 1.0)}, "positive"),
        ({"scales": (0.5, math.inf)}, "scales"),
        ({"workspace": (0, 0, 0)}, "workspace"),
        ({"workspace": (0, 0, 0, 1, 1, 0)}, "workspace"),
        ({"workspace": (0, 0, math.nan, 1, 1, 1)}, "workspace"),
    ],
)
def test_impossible_settings_are_refused(bad, reason):
    with pytest.raises(InvalidInputError, match=reason):
        PipelineSettings(**bad)
