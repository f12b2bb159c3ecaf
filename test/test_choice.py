"""From the poses found to grasps: what is good enough, possible, and inside the workspace."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scene import CAMERA, TABLE, pose

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.choice import choose_grasps
from dense_desc_ros.grasping.grasp import Grasp, NotFound, PointPose, Refusal
from dense_desc_ros.grasping.gripper import Gripper, fit_gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.grasping.visible import VisibleSurface
from dense_desc_ros.references import Reference
from dense_desc_ros.rgbd_frame import RgbdFrame

REFERENCE = Reference("spot", torch.ones(1, 4), "f" * 64, pose(0.01, 0.02, 0.0), 0.05)
FOUND = PointPose(pose(0.1, 0.0, TABLE), np.array([200.0, 120.0]), "registered", 0.8, 9, 1.0, 0.002)
EMPTY_TABLE = RgbdFrame(
    np.zeros((240, 320, 3), np.uint8), np.full((240, 320), TABLE, np.float32), CAMERA
)


def chosen(found=FOUND, reference=REFERENCE, T_base_camera=None, frame=EMPTY_TABLE, **settings):
    """The answer for one reference, beside another that was not found."""
    surface, settings = VisibleSurface(frame), PipelineSettings(**settings)
    answers = [(reference, NotFound(0.0, "no")), (reference, found)]
    return choose_grasps(surface, answers, settings, T_base_camera)[1]


def test_the_grasp_is_the_taught_one_at_the_pose_found():
    grasp = chosen()
    assert isinstance(grasp, Grasp) and grasp.name == "spot" and grasp.opening_width == 0.05
    np.testing.assert_allclose(grasp.T_camera_grasp, pose(0.11, 0.02, TABLE))
    assert (grasp.score, grasp.method) == (0.8, "registered")
    np.testing.assert_array_equal(grasp.point, [0.1, 0, TABLE])


def test_what_was_not_found_or_is_too_unlike_is_refused():
    assert chosen(NotFound(0.1, "nothing")) == Refusal("spot", 0.1, "nothing")
    assert chosen(min_score=0.8) and isinstance(chosen(min_score=0.8), Grasp)
    assert chosen(min_score=0.81) == Refusal("spot", 0.8, "score 0.80 is below min_score 0.81")


@pytest.mark.parametrize("nearer", [0.0, 0.02, 0.04])
def test_a_point_behind_something_is_refused_and_so_is_one_out_of_the_picture(nearer):
    """The pose may well be right, by what is seen of the object around the point."""
    u, v = CAMERA.project(FOUND.T_camera_point[:3, 3]).round().astype(int)
    depth = EMPTY_TABLE.depth.copy()
    depth[v - 5 : v + 6, u - 5 : u + 6] -= nearer
    answer = chosen(frame=replace(EMPTY_TABLE, depth=depth))
    if nearer > 0.03:
        assert answer == Refusal("spot", 0.8, "hidden: something is 40 mm before the point")
    else:
        assert isinstance(answer, Grasp)
    for place in ((-0.5, 0, TABLE), (0.1, 0, -TABLE)):
        elsewhere = replace(FOUND, T_camera_point=pose(*place))
        assert chosen(elsewhere) == Refusal("spot", 0.8, "the point is out of the picture")


@pytest.mark.parametrize(("beyond", "seen"), [(3, True), (8, False)])
def test_a_point_is_seen_if_its_surface_is_within_what_poses_are_off(beyond, seen):
    """Something 20 cm before the table ends so many pixels beyond the point; 4 px are 1 cm."""
    u = round(CAMERA.project(FOUND.T_camera_point[:3, 3])[0])
    depth = EMPTY_TABLE.depth.copy()
    depth[:, : u + beyond] -= 0.2
    assert isinstance(chosen(frame=replace(EMPTY_TABLE, depth=depth)), Grasp) == seen
    # The floor beside it, far below, is no sign that the point could be seen.
    depth[:, u + beyond :] += 0.2
    assert isinstance(chosen(frame=replace(EMPTY_TABLE, depth=depth)), Refusal)


@pytest.mark.parametrize(("beyond", "taken"), [(3, True), (5, False)])
def test_a_point_may_be_as_far_out_of_the_picture_as_poses_are_off(beyond, taken):
    """4 px are 1 cm. Else chance decides of what is on the border, however well it is found."""
    right = (CAMERA.width - 0.5 + beyond - CAMERA.cx) / CAMERA.fx * TABLE
    below = (CAMERA.height - 0.5 + beyond - CAMERA.cy) / CAMERA.fy * TABLE
    for x, y in ((right, 0), (0, below)):
        answer = chosen(replace(FOUND, T_camera_point=pose(x, y, TABLE)))
        if taken:
            assert isinstance(answer, Grasp)
        else:
            assert answer == Refusal("spot", 0.8, "the point is out of the picture")


def test_grasps_out_of_the_workspace_are_refused_and_so_is_not_knowing():
    """The camera looks down from 1 m above; x of the base is the camera's -y."""
    T_base_camera = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 1], [0, 0, 0, 1]])
    place = np.array([-0.02, -0.11, 1 - TABLE])
    around = [*(place - 0.01), *(place + 0.01)]
    assert isinstance(chosen(T_base_camera=T_base_camera, workspace=around), Grasp)
    for axis in range(6):
        beside = list(around)
        beside[axis] += 0.011 if axis < 3 else -0.011
        refused = chosen(T_base_camera=T_base_camera, workspace=beside)
        assert refused.reason.startswith("out of the workspace: (-0.020, -0.110, 0.250) m")
        assert refused.score == 0.8
    assert "camera's pose is not known" in chosen(workspace=around).reason


def test_what_the_gripper_cannot_do_is_refused_for_its_reason_and_what_it_changes_is_kept():
    gripper = Gripper()
    deep = replace(REFERENCE, T_point_grasp=pose(z=0.05))
    refused = chosen(reference=deep, gripper=gripper)
    wanted = pose(0.1, 0, TABLE + 0.05)
    fit = fit_gripper(
        VisibleSurface(EMPTY_TABLE).points(wanted[:3, 3], gripper.reach), wanted, gripper, 0.05
    )
    assert refused == Refusal("spot", 0.8, fit.reason)
    # A bar 4 cm wide and 3 cm high, around whose middle the fingers close.
    depth = EMPTY_TABLE.depth.copy()
    depth[111:128, 184:219] = TABLE - 0.03
    around = replace(FOUND, T_camera_point=pose(0.1, 0, TABLE - 0.02))
    loose = replace(REFERENCE, T_point_grasp=np.eye(4), opening_width=math.nan)
    bar = replace(EMPTY_TABLE, depth=depth)
    grasp = chosen(around, loose, frame=bar, gripper=gripper)
    assert isinstance(grasp, Grasp) and grasp.opening_width == pytest.approx(0.05, abs=0.006)
    assert isinstance(chosen(reference=deep), Grasp)  # nobody asked for the gripper


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "best"},
        {"approach": "up"},
        {"min_score": 1.01},
        {"min_score": math.nan},
        {"max_instances": 0},
        {"instance_radius": 0},
        {"scales": (1.1, 1.4)},
        {"scales": (0.5, 0.9)},
        {"scales": (0.0, 1.4)},
        {"scales": (0.7, math.inf)},
        {"scales": (math.nan, 1.4)},
        {"workspace": (0, 0, 0, 1, 1)},
        {"workspace": (0, 0, 0, 1, 1, 0)},
        {"workspace": (0, 0, math.nan, 1, 1, 1)},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(InvalidInputError):
        PipelineSettings(**bad)
    PipelineSettings(scales=(1.0, 1.0), workspace=(-1, -1, 0, 1, 1, 1), min_score=1.0)
