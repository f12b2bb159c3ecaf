"""The surface at a pixel, against Open3D's ray casting of shapes seen by a poor camera."""

import numpy as np
import open3d as o3d
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import InvalidInputError, MissingDepthError
from dense_desc_ros.grasping.straight import point_frame
from dense_desc_ros.grasping.surface import fit_surface, measure_points
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(400.0, 410.0, 159.5, 119.5, 320, 240)
IMAGE = np.zeros((240, 320, 3), np.uint8)


def cast(*meshes):
    """Depth (H, W), NaN where nothing is hit, and normals (H, W, 3) of legacy Open3D meshes."""
    scene = o3d.t.geometry.RaycastingScene()
    for mesh in meshes:
        scene.add_triangles(o3d.t.geometry.TriangleMesh.from_legacy(mesh))
    grid = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)
    directions = CAMERA.rays(grid)
    rays = np.concatenate([np.zeros_like(directions), directions], axis=-1).astype(np.float32)
    hit = scene.cast_rays(o3d.core.Tensor(rays))
    depth = hit["t_hit"].numpy()
    return np.where(np.isfinite(depth), depth, np.nan), hit["primitive_normals"].numpy()


def plane(tilt_x, tilt_y, distance=0.8):
    mesh = o3d.geometry.TriangleMesh.create_box(4, 4, 0.01).translate([-2, -2, 0])
    mesh.rotate(mesh.get_rotation_matrix_from_xyz([tilt_x, tilt_y, 0]), center=[0, 0, 0])
    return mesh.translate([0, 0, distance])


def ball(x, y, z, radius):
    mesh = o3d.geometry.TriangleMesh.create_sphere(radius, resolution=100)
    return mesh.translate([x, y, z])


def as_measured(depth, rng, noise=0.001, holes=0.1):
    measured = depth + rng.normal(0, noise, depth.shape) * depth**2
    measured[rng.random(depth.shape) < holes] = np.nan
    return measured.astype(np.float32)


@given(
    tilt_x=st.floats(-0.9, 0.9),
    tilt_y=st.floats(-0.9, 0.9),
    u=st.floats(20, 300),
    v=st.floats(20, 220),
    seed=st.integers(0, 100),
)
def test_on_a_plane_point_and_normal_are_those_of_the_plane(tilt_x, tilt_y, u, v, seed):
    depth, normals = cast(plane(tilt_x, tilt_y))
    normal = normals[120, 160] * -np.sign(normals[120, 160, 2])
    ray = CAMERA.rays((u, v))
    # What is seen at a steep angle or from afar is measured too poorly to ask for much.
    assume(-normal @ ray / np.linalg.norm(ray) > np.cos(np.radians(65)))
    assume(depth[round(v), round(u)] < 1.3)
    frame = RgbdFrame(IMAGE, as_measured(depth, np.random.default_rng(seed)), CAMERA)
    patch = fit_surface(frame, (u, v))
    expected = ray * (normal @ CAMERA.back_project((160, 120), depth[120, 160])) / (normal @ ray)
    assert np.linalg.norm(patch.point - expected) < 0.002
    assert np.degrees(np.arccos(np.clip(patch.normal @ normal, -1, 1))) < 12
    np.testing.assert_allclose(CAMERA.project(patch.point), (u, v), atol=1e-6)


def test_on_a_ball_the_normal_points_outwards():
    centre = np.array([0.02, -0.01, 0.6])
    depth, _ = cast(ball(*centre, 0.05))
    frame = RgbdFrame(IMAGE, as_measured(depth, np.random.default_rng(0)), CAMERA)
    patch = fit_surface(frame, CAMERA.project(centre) + [8, -5])
    outwards = (patch.point - centre) / np.linalg.norm(patch.point - centre)
    assert abs(np.linalg.norm(patch.point - centre) - 0.05) < 0.002
    assert patch.normal @ outwards > np.cos(np.radians(8))


@pytest.mark.parametrize("side", [-1, 1])
def test_at_an_edge_the_surface_of_the_pixel_is_taken_not_a_mean_of_both(side):
    """Two walls, 0.5 m and 0.9 m away, and flying pixels between them where they meet."""
    depth = np.full((240, 320), 0.9, np.float32)
    depth[:, :160] = 0.5
    depth[:, 159:161] = 0.7
    frame = RgbdFrame(IMAGE, depth, CAMERA)
    patch = fit_surface(frame, (160 + 2.5 * side, 100))
    assert patch.point[2] == pytest.approx(0.5 if side < 0 else 0.9, abs=1e-3)


def test_a_mask_chooses_the_surface():
    depth = np.full((240, 320), 0.9, np.float32)
    depth[:, :160] = 0.5
    depth[:, 157:161] = np.nan
    mask = np.zeros((240, 320), bool)
    mask[:, 158:] = True
    frame = RgbdFrame(IMAGE, depth, CAMERA)
    assert fit_surface(frame, (158, 100)).point[2] == pytest.approx(0.5, abs=1e-3)
    assert fit_surface(frame, (158, 100), mask).point[2] == pytest.approx(0.9, abs=1e-3)


def test_a_click_outside_the_mask_is_told_so_even_where_depth_is_missing():
    depth = np.full((240, 320), np.nan, np.float32)
    mask = np.zeros((240, 320), bool)
    with pytest.raises(InvalidInputError, match="outside the mask"):
        fit_surface(RgbdFrame(IMAGE, depth, CAMERA), (157, 100), mask)


def test_a_small_hole_is_bridged_and_a_large_one_refused():
    depth = np.full((240, 320), 0.8, np.float32)
    depth[98:103, 98:103] = 0
    patch = fit_surface(RgbdFrame(IMAGE, depth, CAMERA), (100, 100))
    assert patch.point[2] == pytest.approx(0.8, abs=1e-4)
    depth[80:120, 80:120] = np.inf
    with pytest.raises(MissingDepthError, match="no depth within"):
        fit_surface(RgbdFrame(IMAGE, depth, CAMERA), (100, 100))


@pytest.mark.parametrize("pixel", [(-1, 0), (320, 10), (10, 240), (np.nan, 1)])
def test_a_pixel_outside_the_image_is_refused(pixel):
    frame = RgbdFrame(IMAGE, np.ones((240, 320), np.float32), CAMERA)
    with pytest.raises(InvalidInputError, match="outside"):
        fit_surface(frame, pixel)


def test_many_points_at_once_are_measured_through_noise_and_holes():
    depth, _ = cast(plane(0.4, -0.3))
    frame = RgbdFrame(IMAGE, as_measured(depth, np.random.default_rng(0)), CAMERA)
    pixels = np.random.default_rng(1).uniform((0, 0), (319, 239), (200, 2))
    points = measure_points(frame, pixels)
    np.testing.assert_allclose(CAMERA.project(points), pixels, atol=1e-6)
    u, v = np.rint(pixels).astype(int).T
    assert np.abs(points[:, 2] - depth[v, u]).max() < 0.005
    many_holes = as_measured(depth, np.random.default_rng(0), holes=0.8)
    assert np.isnan(measure_points(RgbdFrame(IMAGE, many_holes, CAMERA), pixels)).mean() > 0.9
    assert measure_points(frame, np.empty((0, 2))).shape == (0, 3)


@given(tilt_x=st.floats(-0.9, 0.9), tilt_y=st.floats(-0.9, 0.9))
def test_the_frame_of_a_point_goes_into_the_surface(tilt_x, tilt_y):
    depth, _ = cast(plane(tilt_x, tilt_y))
    patch = fit_surface(RgbdFrame(IMAGE, depth.astype(np.float32), CAMERA), (160, 120))
    pose = point_frame(patch.point, -patch.normal)
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation[:, 2], -patch.normal, atol=1e-9)
    assert rotation[0, 0] > 0  # x is the camera's x, laid into the surface
    np.testing.assert_allclose(pose[:3, 3], patch.point)


@pytest.mark.parametrize("into", [(1, 0, 0), (-1, 0, 0), (0, 0, -1)])
def test_the_frame_of_a_point_is_one_whichever_way_it_goes(into):
    pose = point_frame(np.array([0.1, 0.2, 0.7]), np.array(into, dtype=float))
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_array_equal(pose[:3, 2], into)
    np.testing.assert_array_equal(pose[:3, 3], [0.1, 0.2, 0.7])
