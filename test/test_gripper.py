"""The gripper around boxes, rods and walls of known size, and the points seen around a grasp."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.gripper import Gripper, GripperFit, Unfit, fit_gripper
from dense_desc_ros.grasping.visible import VisibleSurface
from dense_desc_ros.rgbd_frame import RgbdFrame

GRIPPER = Gripper()
CLEARANCE = 0.01
HERE = np.eye(4)  # the scenes below are given in the frame of the wanted grasp
DENSITY = 250_000  # points per m² of surface: 2 mm apart


def moved(turn=0.0, x=0.0, y=0.0, z=0.0):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", turn, degrees=True).as_matrix()
    T[:3, 3] = x, y, z
    return T


def scene(*parts, noise=0.001, seed=0):
    points = np.concatenate(parts)
    return points + np.random.default_rng(seed).normal(0, noise, points.shape)


def box(x, y, z, seed=0):
    """Points (N, 3) on top and sides of a box, from and to along each axis; z is downwards."""
    rng = np.random.default_rng(seed)
    low, high = np.array([x, y, z]).T
    faces = []
    for axis, side in (2, low), (0, low), (0, high), (1, low), (1, high):
        area = np.prod(np.delete(high - low, axis))
        face = rng.uniform(low, high, (int(DENSITY * area), 3))
        face[:, axis] = side[axis]
        faces.append(face)
    return np.concatenate(faces)


def rod(radius, height, seed=0):
    """Points (N, 3) on a standing cylinder that begins a height above the finger tips."""
    rng = np.random.default_rng(seed)
    count = int(DENSITY * 2 * math.pi * radius * 0.06)
    angle, z = rng.uniform(0, 2 * math.pi, count), rng.uniform(-height, 0.06 - height, count)
    side = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    top = side * np.sqrt(rng.uniform(size=(count, 1)))
    top[:, 2] = -height
    return np.concatenate([side, top])


def table(z):
    return np.random.default_rng(1).uniform([-0.15, -0.15, z], [0.15, 0.15, z], (22_000, 3))


def bar(width, y=0.0, height=0.02):
    return box((-0.05, 0.05), (y - width / 2, y + width / 2), (-height, 0.02))


def is_free(points, fit):
    """Whether at most a few points are more than 4 mm inside fingers and palm, box by box."""
    inner = 0.004
    local = (points - fit.T_camera_grasp[:3, 3]) @ fit.T_camera_grasp[:3, :3]
    opening = GRIPPER.max_width if math.isnan(fit.opening_width) else fit.opening_width
    centres = [[0, s * (opening + GRIPPER.finger_thickness) / 2, -0.0225] for s in (-1, 1)]
    sizes = [[GRIPPER.finger_width, GRIPPER.finger_thickness, GRIPPER.finger_length]] * 2
    centres += [[0, 0, -GRIPPER.finger_length - GRIPPER.palm_height / 2]]
    sizes += [[GRIPPER.palm_depth, GRIPPER.palm_width, GRIPPER.palm_height]]
    return all(
        np.count_nonzero((abs(local - c) < np.array(s) / 2 - inner).all(axis=1)) <= 5
        for c, s in zip(centres, sizes, strict=True)
    )


@pytest.mark.parametrize("width", [0.008, 0.04, 0.06])
@pytest.mark.parametrize("seed", range(3))
def test_the_gripper_opens_as_wide_as_the_object_and_its_clearance(width, seed):
    points = scene(bar(width), table(0.02), seed=seed)
    fit = fit_gripper(points, HERE, GRIPPER)
    np.testing.assert_array_equal(fit.T_camera_grasp, HERE)
    assert abs(fit.opening_width - (width + CLEARANCE)) < 0.002


def test_an_object_that_barely_fits_is_grasped_fully_open_and_a_wider_one_is_not():
    assert fit_gripper(scene(bar(0.072)), HERE, GRIPPER).opening_width == GRIPPER.max_width
    refused = fit_gripper(scene(bar(0.095), table(0.02), noise=0), HERE, GRIPPER)
    assert refused == Unfit(
        "too wide: the object is 95 mm wide between the fingers, the gripper opens 80 mm"
    )


@pytest.mark.parametrize(
    ("taught", "expected"), [(0.065, 0.065), (0.03, 0.04 + CLEARANCE), (0.2, GRIPPER.max_width)]
)
def test_a_taught_width_is_kept_unless_the_object_or_the_gripper_does_not_allow_it(
    taught, expected
):
    fit = fit_gripper(scene(bar(0.04)), HERE, GRIPPER, taught)
    assert fit.opening_width == pytest.approx(expected, abs=0.002)


def test_the_gripper_opens_wider_around_an_object_beside_its_middle():
    fit = fit_gripper(scene(bar(0.03, y=0.01)), HERE, GRIPPER)
    np.testing.assert_array_equal(fit.T_camera_grasp, HERE)
    assert fit.opening_width == pytest.approx(0.05 + CLEARANCE, abs=0.002)


def test_an_object_too_wide_for_that_is_taken_in_the_middle():
    points = scene(bar(0.06, y=-0.012))
    fit = fit_gripper(points, HERE, GRIPPER)
    np.testing.assert_allclose(fit.T_camera_grasp, moved(y=-0.012), atol=0.001)
    assert fit.opening_width == pytest.approx(0.06 + CLEARANCE, abs=0.002)


def test_a_wall_beside_the_object_is_avoided_by_a_turn_about_the_approach():
    wall = box((-0.08, 0.08), (0.03, 0.04), (-0.06, 0.02))
    points = scene(rod(0.02, height=0.03), wall, table(0.02))
    fit = fit_gripper(points, HERE, GRIPPER)
    assert isinstance(fit, GripperFit)
    np.testing.assert_allclose(fit.T_camera_grasp[:3, 2], [0, 0, 1], atol=1e-12)
    assert abs(fit.T_camera_grasp[0, 1]) > math.sin(math.radians(30))
    assert fit.opening_width == pytest.approx(0.04 + CLEARANCE, abs=0.003)
    assert is_free(points, fit)


def test_finger_tips_in_the_table_are_drawn_back_but_never_off_the_object():
    fit = fit_gripper(scene(bar(0.04), table(-0.006)), HERE, GRIPPER)
    np.testing.assert_allclose(fit.T_camera_grasp, moved(z=-0.005), atol=1e-12)
    flat = scene(bar(0.04, height=0.009), table(-0.008))
    refused = fit_gripper(flat, HERE, GRIPPER)
    assert isinstance(refused, Unfit)


def test_a_tall_object_hits_the_palm_unless_the_fingers_can_be_drawn_back():
    fit = fit_gripper(scene(bar(0.04, height=0.049)), HERE, GRIPPER)
    np.testing.assert_allclose(fit.T_camera_grasp, moved(z=-0.005), atol=1e-12)
    refused = fit_gripper(scene(bar(0.04, height=0.07)), HERE, GRIPPER)
    assert isinstance(refused, Unfit)
    assert refused.reason.startswith("collision: palm, ")


def test_where_nothing_is_between_the_fingers_the_width_stays_unknown():
    surface = scene(table(0.0))
    fit = fit_gripper(surface, HERE, GRIPPER)
    np.testing.assert_array_equal(fit.T_camera_grasp, HERE)
    assert math.isnan(fit.opening_width)
    assert fit_gripper(surface, HERE, GRIPPER, 0.05).opening_width == 0.05


@pytest.mark.parametrize("points", [np.empty((0, 3)), np.full((500, 3), np.nan), bar(0.04)[:10]])
def test_too_few_points_say_nothing(points):
    for taught in math.nan, 0.05:
        fit = fit_gripper(points, HERE, GRIPPER, taught)
        np.testing.assert_array_equal(fit.T_camera_grasp, HERE)
        np.testing.assert_equal(fit.opening_width, taught)


SCENES = [
    scene(bar(0.04), table(0.02)),
    scene(bar(0.06, y=-0.012)),
    scene(rod(0.02, height=0.03), box((-0.08, 0.08), (0.03, 0.04), (-0.06, 0.02))),
    scene(bar(0.03), box((0.015, 0.1), (-0.1, 0.1), (-0.09, 0.02))),
]


@given(
    index=st.integers(0, len(SCENES) - 1),
    rotvec=st.tuples(*[st.floats(-3, 3)] * 3),
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_what_is_found_moves_with_the_scene_and_is_a_rigid_motion(index, rotvec, shift):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    T[:3, 3] = shift
    here = fit_gripper(SCENES[index], HERE, GRIPPER)
    there = fit_gripper(SCENES[index] @ T[:3, :3].T + T[:3, 3], T, GRIPPER)
    np.testing.assert_allclose(there.T_camera_grasp, T @ here.T_camera_grasp, atol=1e-9)
    assert there.opening_width == pytest.approx(here.opening_width, abs=1e-9)
    rotation = there.T_camera_grasp[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) > 0
    assert is_free(SCENES[index], here)


@pytest.mark.parametrize("size", [0, -0.01, math.nan, math.inf])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InvalidInputError, match="positive and finite"):
        Gripper(finger_length=size)


SMALL = PinholeCamera(70.0, 72.0, 39.5, 29.5, 80, 60)


def frame_of(depth, camera=SMALL):
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    return RgbdFrame(image, depth.astype(np.float32), camera)


@given(
    centre=st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-0.3, 1.5)),
    radius=st.floats(0.01, 0.8),
)
def test_the_points_within_a_ball_are_found_wherever_it_is(centre, radius):
    """Against all points of the image: a slope, which passes near the camera."""
    pixels = np.stack(np.meshgrid(np.arange(80), np.arange(60)), axis=-1)
    depth = 0.25 * np.exp(0.013 * pixels[..., 0])
    depth[10:20, 30:50] = np.nan
    frame = frame_of(depth)
    points = SMALL.back_project(pixels, frame.depth)
    expected = points[np.linalg.norm(points - centre, axis=2) <= radius]
    found = VisibleSurface(frame).points(centre, radius)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_flying_pixels_are_no_points_but_edges_are():
    """Two walls with flying pixels between them, also where they meet the image's border."""
    depth = np.full((60, 80), 0.9)
    depth[:, :40] = 0.5
    depth[:, 40] = 0.7
    depth[5, 5] = 0.6
    found = VisibleSurface(frame_of(depth)).points((0, 0, 0.7), 2.0)
    assert len(found) == 60 * 79 - 1
    assert set(found[:, 2]) == {np.float32(0.5), np.float32(0.9)}


def test_of_a_large_image_an_even_choice_is_taken():
    camera = PinholeCamera(900.0, 900.0, 639.5, 479.5, 1280, 960)
    frame = frame_of(np.full((960, 1280), 0.4), camera)
    found = VisibleSurface(frame).points((0, 0, 0.4), 0.17)
    assert 10_000 < len(found) < 20_000
    angles = np.arctan2(found[:, 1], found[:, 0])
    counts, _ = np.histogram(angles, bins=8)
    assert counts.min() > 0.9 * counts.max()
