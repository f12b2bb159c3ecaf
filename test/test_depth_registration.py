"""Registered depth against rays that are cast from the colour camera, at boxes."""

import cv2
import numpy as np
import open3d as o3d
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from known_scene import pose

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.depth_registration import JUMP, register_depth
from dense_desc_ros.errors import InvalidInputError

DEPTH_CAMERA = PinholeCamera(190.0, 192.0, 158.6, 119.3, 320, 240)
COLOR_CAMERA = PinholeCamera(455.0, 454.0, 321.2, 178.4, 640, 360)
REACH = 4  # px of the colour image from which a depth may come: half a square, and rounding


def boxes() -> o3d.t.geometry.RaycastingScene:
    """Boxes of several depths, two of them turned, before a wall that leans back."""
    scene = o3d.t.geometry.RaycastingScene()
    for size, place in (
        ((4.0, 4.0, 0.1), pose(0, 0, 1.3, (0.5, 0.3, 0))),
        ((0.2, 0.15, 0.1), pose(-0.15, 0.0, 0.6, (0.2, 0.5, 0.1))),
        ((0.05, 0.5, 0.05), pose(0.1, 0.0, 0.5, (0, 0, 0.3))),
        ((0.15, 0.15, 0.15), pose(0.2, 0.1, 0.9, (0.7, -0.7, 0))),
    ):
        box = o3d.t.geometry.TriangleMesh.create_box(*size).translate([-s / 2 for s in size])
        scene.add_triangles(box.transform(place))
    return scene


SCENE = boxes()


def cast(camera: PinholeCamera, T_world_camera: FloatArray, pixels: FloatArray) -> FloatArray:
    """Exact depths (...) at pixels (..., 2); NaN where nothing is."""
    directions = camera.rays(pixels) @ T_world_camera[:3, :3].T
    origins = np.broadcast_to(T_world_camera[:3, 3], directions.shape)
    rays = np.concatenate([origins, directions], axis=-1).astype(np.float32)
    depth = SCENE.cast_rays(o3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy()
    return np.where(np.isfinite(depth), depth, np.nan)


def grid(camera: PinholeCamera) -> FloatArray:
    u, v = np.meshgrid(np.arange(float(camera.width)), np.arange(float(camera.height)))
    return np.stack([u, v], axis=-1)


def slants(depth: FloatArray) -> np.ndarray:
    """By which share of it the depth (h, w) changes at most between neighbours near a pixel."""
    change = np.zeros(depth.shape)
    change[:, 1:] = np.abs(np.diff(depth, axis=1))
    change[1:] = np.maximum(change[1:], np.abs(np.diff(depth, axis=0)))
    return cv2.dilate(change / depth, np.ones((5, 5), np.uint8))


def around(values: np.ndarray, largest: bool) -> np.ndarray:
    """The largest or smallest value within REACH of each pixel."""
    kernel = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    return (cv2.dilate if largest else cv2.erode)(values, kernel)


ROLLS = st.sampled_from([0.0, 0.05, 0.8, np.pi / 2, np.pi])


@settings(max_examples=25, deadline=None)
@given(
    shift=st.tuples(st.floats(-0.06, 0.06), st.floats(-0.06, 0.06), st.floats(-0.05, 0.05)),
    tilt=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    roll=ROLLS,
    size=st.sampled_from([1.0, 0.5, 0.3]),
)
@example(shift=(0, 0, 0), tilt=(0, 0.0078125), roll=0.8, size=0.3)  # spaced by 1.007 px
@example(shift=(0, 0, 0), tilt=(0, 0.044921875), roll=0.8, size=0.3)  # a corner between rays
def test_depth_is_what_the_colour_camera_sees(
    shift: tuple[float, ...], tilt: tuple[float, float], roll: float, size: float
) -> None:
    camera = COLOR_CAMERA.resized(round(640 * size), round(360 * size))
    T_color_depth = pose(*shift) @ pose(rotvec=(0, 0, roll)) @ pose(rotvec=(*tilt, 0))
    T_depth_color = np.linalg.inv(T_color_depth)
    depth = cast(DEPTH_CAMERA, np.eye(4), grid(DEPTH_CAMERA))
    truth = cast(camera, T_depth_color, grid(camera)).astype(np.float32)

    found = register_depth(depth.astype(np.float32), DEPTH_CAMERA, camera, T_color_depth)

    # What the depth camera sees of that, away from the border of its image.
    points = camera.back_project(grid(camera), truth) @ T_depth_color[:3, :3].T
    points += T_depth_color[:3, 3]
    there = DEPTH_CAMERA.project(points)
    inside = ((there > 1) & (there < [318, 238])).all(-1)
    in_sight = inside & (np.abs(cast(DEPTH_CAMERA, np.eye(4), there) - points[..., 2]) < 0.002)
    in_sight[[0, -1]] = in_sight[:, [0, -1]] = False  # what is around there is not all in the image
    all_in_sight = around(in_sight.astype(np.uint8), largest=False) == 1
    assert all_in_sight.mean() > 0.1
    # Where surfaces are slanted so much that they might be jumps, gaps between pixels stay open.
    column, row = np.rint(there[all_in_sight]).astype(int).T
    surface = slants(depth)[row, column] < JUMP
    assert surface.mean() > 0.5
    # Elsewhere the background does not show through, and nothing else is far off anywhere.
    nearest, farthest = (around(truth, largest)[all_in_sight] for largest in (False, True))
    off = 0.002 + 0.5 * nearest / camera.fx  # a corner may be half a pixel from the next ray
    assert not (found[all_in_sight] < nearest - off).any()
    assert not (found[all_in_sight] > farthest + off)[surface].any()
    # No pinholes.
    assert np.isfinite(found[all_in_sight][surface]).all()
    # Depths of points that were measured, and no mixture of them.
    measured = DEPTH_CAMERA.back_project(grid(DEPTH_CAMERA), depth).reshape(-1, 3)
    moved = np.sort(measured @ T_color_depth[2, :3] + T_color_depth[2, 3])
    moved = moved[np.isfinite(moved)]
    values = found[np.isfinite(found)]
    place = np.clip(np.searchsorted(moved, values), 1, len(moved) - 1)
    gap = np.minimum(np.abs(values - moved[place - 1]), np.abs(values - moved[place]))
    assert gap.max() < 1e-5
    assert (found.shape, found.dtype) == (truth.shape, np.float32)


def test_a_pixel_covers_the_square_it_takes_and_hides_what_is_behind() -> None:
    depth_camera = PinholeCamera(10.0, 10.0, 3.5, 2.5, 8, 6)
    camera = depth_camera.resized(24, 18)
    for behind in 2.0, np.nan:
        depth = np.full((6, 8), behind, np.float32)
        depth[2, 4] = 1.0
        expected = np.repeat(np.repeat(depth, 3, axis=0), 3, axis=1)
        found = register_depth(depth, depth_camera, camera, np.eye(4))
        np.testing.assert_array_equal(found, expected)
        # 0.1 m to the right is 3 px at 1 m and less at 2 m. The edge of the image stays empty.
        moved = register_depth(depth, depth_camera, camera, pose(x=0.1))
        np.testing.assert_array_equal(np.argwhere(moved == 1), np.argwhere(expected == 1) + [0, 3])
        assert np.isnan(moved[:, 0]).all()


@pytest.mark.parametrize("downwards", [False, True])
def test_steps_that_are_drawn_apart_leave_no_holes(downwards: bool) -> None:
    steps = np.ones(100)
    steps[40:84:4] = 1 + 0.75 * JUMP
    depth = np.linspace(0.4, 0.42, 100)[:, None] * np.cumprod(steps)
    depth_camera = PinholeCamera(600.0, 600.0, 49.5, 49.5, 100, 100)
    camera = PinholeCamera(600.0, 600.0, 199.5, 49.5, 250, 100)
    T_color_depth = pose(x=-0.1)
    if downwards:
        depth, T_color_depth = depth.T, pose(y=-0.1)
        camera = PinholeCamera(600.0, 600.0, 49.5, 199.5, 100, 250)

    found = register_depth(depth, depth_camera, camera, T_color_depth)

    measured = np.isfinite(found.T if downwards else found)
    after_first, before_last = (
        np.maximum.accumulate(m, axis=1) for m in (measured, measured[:, ::-1])
    )
    between = after_first & before_last[:, ::-1]
    assert (between.sum(1) > 115).all()  # drawn out from 100
    assert measured[between].all()


@pytest.mark.parametrize(
    "camera", [DEPTH_CAMERA, PinholeCamera(600.1, 599.7, 321.7, 0.0, 320, 240)]
)
def test_the_same_camera_gets_its_depth_back(camera: PinholeCamera) -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.1, 9, (240, 320)).astype(np.float32)
    depth[50:100] = np.linspace(0.5, 0.6, 320)
    invalid = rng.choice([np.nan, 0, -1, np.inf], (240, 320))
    depth = np.where(rng.random(depth.shape) < 0.1, invalid, depth).astype(np.float32)
    found = register_depth(depth, camera, camera, np.eye(4))
    expected = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
    np.testing.assert_array_equal(found, expected)


def test_what_is_behind_the_colour_camera_or_beside_it_is_not_seen() -> None:
    depth = np.full((240, 320), 0.5, np.float32)
    for T in (pose(z=-0.6), pose(rotvec=(0, np.pi, 0)), pose(x=50.0)):
        assert np.isnan(register_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, T)).all()


@pytest.mark.parametrize(
    ("T", "match"),
    [
        (np.eye(3), "finite 4x4"),
        (np.full((4, 4), np.nan), "finite 4x4"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "rotation and a translation"),
        (np.diag([1000.0, 1000.0, 1000.0, 1.0]), "rotation and a translation"),
        (np.ones((4, 4)), "rotation and a translation"),
    ],
)
def test_a_pose_that_is_none(T: np.ndarray, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        register_depth(np.ones((240, 320)), DEPTH_CAMERA, COLOR_CAMERA, T)


def test_depth_of_another_size_than_its_camera() -> None:
    with pytest.raises(InvalidInputError, match=r"\(120, 160\) .* 320x240"):
        register_depth(np.ones((120, 160)), DEPTH_CAMERA, COLOR_CAMERA, np.eye(4))
