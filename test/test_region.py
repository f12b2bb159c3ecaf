"""The region around a click, and the points kept of it, on ray-cast boxes and stones."""

import numpy as np
import open3d as o3d
import pytest
from known_scene import CAMERA, as_measured, blob, fourier, look, pose
from scipy.ndimage import binary_dilation, binary_erosion, label
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from dense_desc_ros.grasping.region import grow_region
from dense_desc_ros.grasping.support import POINTS, REACH, choose_support
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.references import Support
from dense_desc_ros.rgbd_frame import RgbdFrame

T_CAMERA_TABLE = pose(0, 0.02, 0.55, (2.4, 0, 0))  # seen from above, at a slant; z is up


def box_scene(*boxes, others=()):
    """A frame of boxes, given by size and place on a table; and the number of each pixel's box.

    Other legacy meshes, given in the table's frame, are numbered after them.

    Numbers are from 0; the table is -1. The third, (H, W, 3), are the normals in the table's frame.
    """
    scene = o3d.t.geometry.RaycastingScene()
    table = o3d.geometry.TriangleMesh.create_box(3, 3, 0.01).translate([-1.5, -1.5, -0.01])
    meshes = [table]
    for size, (x, y) in boxes:
        box = o3d.geometry.TriangleMesh.create_box(*size)
        meshes.append(box.translate([x - size[0] / 2, y - size[1] / 2, 0]))
    for mesh in [*meshes, *others]:
        scene.add_triangles(o3d.t.geometry.TriangleMesh.from_legacy(mesh))
    grid = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)
    directions = CAMERA.rays(grid) @ T_CAMERA_TABLE[:3, :3]
    origin = -T_CAMERA_TABLE[:3, 3] @ T_CAMERA_TABLE[:3, :3]
    rays = np.concatenate([np.broadcast_to(origin, directions.shape), directions], axis=-1)
    hit = scene.cast_rays(o3d.core.Tensor(rays.astype(np.float32)), nthreads=1)
    frame = RgbdFrame(np.zeros((240, 320, 3), np.uint8), hit["t_hit"].numpy(), CAMERA)
    number = hit["geometry_ids"].numpy().astype(np.int64) - 1
    return frame, number, hit["primitive_normals"].numpy()


def seen_from_above(*place):
    return CAMERA.project(T_CAMERA_TABLE[:3, :3] @ place + T_CAMERA_TABLE[:3, 3])


BOX = (0.08, 0.07, 0.05)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_box_ends_at_the_table(seed):
    frame, number, normals = box_scene((BOX, (0, 0)))
    if seed is not None:
        frame = as_measured(frame, seed, noise=0.0007, flying=0.003)
    region = grow_region(frame, seen_from_above(0.01, 0, 0.05), REACH)
    box = number == 0
    top = box & (normals[..., 2] > 0.9)
    assert region[binary_erosion(top, iterations=5)].all()
    assert region[top].mean() > 0.7
    assert not region[~binary_dilation(box, iterations=5)].any()
    assert region[~box].sum() < 0.1 * region.sum()
    assert label(region)[1] == 1


@pytest.mark.parametrize("seed", [None, 0])
def test_what_stands_beside_or_behind_is_something_else(seed):
    """One beside it on the table, and a tall one behind, that it hides the foot of."""
    frame, number, _ = box_scene((BOX, (0, 0)), (BOX, (0.1, 0)), ((0.1, 0.05, 0.12), (0.0, 0.075)))
    assert np.isin([0, 1, 2], number).all()
    if seed is not None:
        frame = as_measured(frame, seed, noise=0.0007, flying=0.003)
    region = grow_region(frame, seen_from_above(-0.01, -0.01, 0.05), REACH)
    assert region[number == 0].mean() > 0.4
    assert not region[~binary_dilation(number == 0, iterations=5)].any()


def test_what_bends_gently_is_one_region_up_to_its_outline():
    view = look([pose(0, 0, 0.4)])
    region = grow_region(as_measured(view.frame, noise=0.0005), (160, 120), REACH)
    stone = view.mask == 0
    assert not region[~binary_dilation(stone, iterations=3)].any()
    assert region[stone].mean() > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_what_it_stands_on_is_left_out_even_where_no_edge_is_seen(seed):
    """The top of a ball sunk into the table, 2 cm high, and no steeper than 33 degrees there."""
    ball = o3d.geometry.TriangleMesh.create_sphere(0.124, resolution=150)
    frame, number, _ = box_scene(others=[ball.translate([0, 0, 0.02 - 0.124])])
    frame = as_measured(frame, seed, noise=0.0007, flying=0.003)
    region = grow_region(frame, seen_from_above(0, 0, 0.02), REACH)
    hill = number == 0
    assert not region[~binary_dilation(hill, iterations=2)].any()
    assert region[hill].mean() > 0.4


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_side_of_an_object_is_taken_for_what_it_stands_on(seed, table):
    """A stone among flying pixels, far before the table or with nothing measured around it."""
    view = look([pose(0.01, -0.01, 0.4, (0.3, 0.2, 0.1))])
    depth = np.where(table | (view.mask == 0), view.frame.depth, np.nan)
    frame = RgbdFrame(view.frame.image, depth.astype(np.float32), CAMERA)
    region = grow_region(as_measured(frame, seed), (165, 108), REACH)
    assert region[view.mask == 0].mean() > 0.6


@pytest.mark.parametrize("radius", [0.02, 0.05, 0.1])
def test_a_region_reaches_no_farther_than_asked_for(radius):
    """The table alone would go on for ever."""
    frame, _, _ = box_scene()
    pixel = (150, 130)
    region = grow_region(frame, pixel, radius)
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), axis=-1)
    points = CAMERA.back_project(grid, frame.depth)
    apart = np.linalg.norm(points - points[130, 150], axis=2)
    assert apart[region].max() < radius + 0.003
    assert region[apart < radius - 0.003].all()


def test_a_click_into_a_hole_has_no_region_and_one_beside_it_has():
    frame, _, _ = box_scene()
    depth = frame.depth.copy()
    depth[80:160, 100:180] = np.nan
    holed = RgbdFrame(frame.image, depth, CAMERA)
    inside = grow_region(holed, (140, 120), REACH)
    assert inside.shape == (240, 320) and inside.dtype == bool and not inside.any()
    beside = grow_region(holed, (185, 120), REACH)
    assert beside.any() and not beside[84:156, 104:176].any()
    nothing = RgbdFrame(frame.image, np.full_like(depth, np.nan), CAMERA)
    assert not grow_region(nothing, (140, 120), REACH).any()


# Points kept of a region.

T_CAMERA_STONE = pose(0, 0, 0.4, (0.3, 0.2, 0.1))
T_CAMERA_POINT = pose(0.0, 0.0, 0.36, (0.1, -0.2, 0.7))


@pytest.mark.parametrize("measured", [False, True])
def test_support_lies_on_the_surface_with_its_descriptors(measured):
    view = look([T_CAMERA_STONE])
    frame = as_measured(view.frame, noise=0.0005) if measured else view.frame
    support = choose_support(frame, view.descriptors, view.mask == 0, T_CAMERA_POINT)
    assert len(support) == POINTS
    support.check(view.descriptors.features.shape[-1])
    assert support.views.tolist() == [0] * POINTS
    in_camera = support.points.double().numpy() @ T_CAMERA_POINT[:3, :3].T + T_CAMERA_POINT[:3, 3]
    on_stone = (in_camera - T_CAMERA_STONE[:3, 3]) @ T_CAMERA_STONE[:3, :3]
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(blob())
    apart = scene.compute_distance(o3d.core.Tensor(on_stone.astype(np.float32))).numpy()
    assert np.median(apart) < 0.001 and apart.max() < 0.004
    alike = (fourier(on_stone) * support.descriptors.numpy()).sum(axis=1)
    alike /= np.linalg.norm(support.descriptors.numpy(), axis=1)
    assert np.median(alike) > 0.95 and alike.min() > 0.7


def test_support_is_spread_as_evenly_as_the_farthest_points_are():
    """No point of the region is farther from the nearest chosen one than these from each other."""
    frame, _, _ = box_scene()
    region = np.zeros((240, 320), bool)
    region[100:150, 120:190] = True
    region[110:120, 130:140] = False
    point = CAMERA.back_project((150, 130), frame.depth[130, 150])
    at_point = pose(*point)
    support = choose_support(frame, look([]).descriptors, region, at_point)
    chosen = support.points.double().numpy() + point
    apart = pdist(chosen).min()
    v, u = np.mgrid[102:148, 122:188].reshape(2, -1)
    inside = ~((v >= 108) & (v < 122) & (u >= 128) & (u < 142))
    points = measure_points(frame, np.stack([u, v], axis=1)[inside].astype(float))
    nearest, _ = cKDTree(chosen).query(points)
    assert nearest.max() <= apart + 1e-6
    assert apart > 0.005
    assert np.linalg.norm(support.points[0]) < 0.002  # the point itself is among them


def test_support_is_within_reach_and_never_more_than_there_is():
    frame, _, _ = box_scene()
    everything = np.ones((240, 320), bool)
    descriptors = look([]).descriptors
    point = pose(*CAMERA.back_project((150, 130), frame.depth[130, 150]))
    support = choose_support(frame, descriptors, everything, point)
    reach = np.linalg.norm(support.points, axis=1)
    assert len(support) == POINTS and 0.8 * REACH < reach.max() < REACH
    few = np.zeros((240, 320), bool)
    few[100:108, 100:109] = True  # of which 4 x 5 are not at its border
    support = choose_support(frame, descriptors, few, point)
    assert len(support) == 20 and pdist(support.points).min() > 1e-4


def test_without_a_region_or_depth_or_in_reach_there_is_no_support():
    frame, _, _ = box_scene()
    blind = RgbdFrame(frame.image, np.full((240, 320), np.nan, np.float32), CAMERA)
    nothing, everything = np.zeros((240, 320), bool), np.ones((240, 320), bool)
    descriptors, far = look([]).descriptors, pose(0, 0, 2)
    for seen, region, point in (
        (frame, nothing, T_CAMERA_POINT),
        (blind, everything, T_CAMERA_POINT),
        (frame, everything, far),
    ):
        support = choose_support(seen, descriptors, region, point)
        assert isinstance(support, Support) and len(support) == 0
        assert support.descriptors.shape == (0, 64) and support.points.shape == (0, 3)
        support.check(64)


def bowl(bottom=0.03, rim=0.07, thickness=0.004, height=0.04, sides=60):
    """A mesh, open at the top: a flat bottom, thinner than depth tells, and a slanted wall."""
    profile = [(0, 0), (bottom, 0), (rim, height), (rim - 0.002, height), (bottom, thickness)]
    profile.append((0, thickness))
    radius, z = np.array(profile).T
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = [np.outer(radius, f(angles)) for f in (np.cos, np.sin)]
    vertices = np.stack([*rings, np.repeat(z[:, None], sides, axis=1)], axis=-1).reshape(-1, 3)
    ring, at = np.mgrid[: len(profile) - 1, :sides]
    corners = [ring * sides + at, ring * sides + (at + 1) % sides]
    corners += [corners[1] + sides, corners[0] + sides]
    a, b, c, d = (corner.ravel() for corner in corners)
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(triangles)
    )
    return mesh


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_click_on_the_thin_bottom_of_a_bowl_is_not_on_the_table(seed):
    frame, number, _ = box_scene(others=[bowl()])
    if seed is not None:
        frame = as_measured(frame, seed, noise=0.0007, flying=0.003)
    region = grow_region(frame, seen_from_above(0.01, 0.005, 0.004), REACH)
    assert not region[~binary_dilation(number == 0, iterations=4)].any()
    assert region[number == 0].mean() > 0.4
