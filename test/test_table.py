"""The rendered table: its depth, checked by other means, and its truth."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import open3d
import pytest

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.sim.depth_sensor import measure
from dense_desc_ros.sim.layout import GAP, camera_pose, footprint, place_objects
from dense_desc_ros.sim.objects import TableObject, make_objects
from dense_desc_ros.sim.scene import CAMERA, TABLE_SIZE, Place, TableScene
from dense_desc_ros.sim.shapes import Mesh, box, box_uv, disc, ellipsoid, lathe, tube
from dense_desc_ros.sim.table import TOLERANCE, arrange, render_table

FRAMES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> FrameFolder:
    return render_table(tmp_path_factory.mktemp("table") / "frames", FRAMES, seed=3)


@pytest.fixture(scope="module")
def objects() -> list[TableObject]:
    return make_objects(3)


@pytest.fixture(scope="module")
def scene(objects: list[TableObject]) -> Iterator[TableScene]:
    with TableScene(objects, 3) as scene:
        yield scene


def test_points_project_to_their_pixels(folder: FrameFolder) -> None:
    assert 8 <= len(folder.points) <= 12
    assert folder.points.keys() == folder.positions.keys()
    for name, track in folder.points.items():
        for pixel, position in zip(track, folder.positions[name], strict=True):
            assert (pixel is None) == (position is None)
            if pixel is not None:
                assert folder.camera.contains(pixel)
                np.testing.assert_allclose(folder.camera.project(position), pixel, atol=0.1)


def test_measured_depth_agrees_with_the_truth(folder: FrameFolder) -> None:
    differences = []
    for index, frame in enumerate(folder):
        assert 0.01 < np.isnan(frame.depth).mean() < 0.1
        for name, track in folder.points.items():
            if track[index] is not None:
                u, v = np.round(track[index]).astype(int)
                differences.append(frame.depth[v, u] - folder.positions[name][index][2])
    assert np.isnan(differences).mean() < 0.2
    assert np.nanmax(np.abs(differences)) < TOLERANCE + 0.008
    assert abs(np.nanmedian(differences)) < 0.002


def test_what_is_hidden_and_what_is_not(folder: FrameFolder) -> None:
    seen = np.array([[pixel is not None for pixel in track] for track in folder.points.values()])
    assert seen[:, 0].all()  # references are registered on the first frame
    assert not seen[:, 2].all()  # an object is missing
    assert not seen[:, 3].all()  # something stands in front of something
    assert seen.mean() > 0.7


def test_objects_really_move(folder: FrameFolder) -> None:
    for track in folder.points.values():
        pixels = np.array([pixel for pixel in track if pixel is not None])
        assert np.linalg.norm(np.diff(pixels, axis=0), axis=1).min(initial=np.inf) > 5


def test_the_same_seed_gives_the_same_bytes(folder: FrameFolder, tmp_path: Path) -> None:
    again = render_table(tmp_path / "again", 1, seed=3)
    for file in ("000000-color.png", "000000-depth.png", "camera_params.json"):
        assert (again.path / file).read_bytes() == (folder.path / file).read_bytes()
    assert again.points == {name: track[:1] for name, track in folder.points.items()}


def ray_cast(
    objects: list[TableObject], places: dict[str, Place], T_table_camera: FloatArray
) -> FloatArray:
    """Depth (H, W) of the same geometry by Open3D, infinite where neither object nor table is."""
    width, depth = TABLE_SIZE
    x, y = width / 2, depth / 2
    top = np.array([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)])
    surfaces = [(top, np.array([(0, 1, 2), (0, 2, 3)]))]
    for each in objects:
        if each.name in places:
            for part in each.parts:
                surfaces.append((places[each.name].to_table(part.mesh.vertices), part.mesh.faces))
    caster = open3d.t.geometry.RaycastingScene()
    for vertices, faces in surfaces:
        seen = (vertices - T_table_camera[:3, 3]) @ T_table_camera[:3, :3]
        caster.add_triangles(
            open3d.core.Tensor(seen.astype(np.float32)),
            open3d.core.Tensor(faces.astype(np.uint32)),
        )
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = CAMERA.rays(np.dstack([u, v]))  # z is 1, so the distance along a ray is the depth
    rays = np.dstack([np.zeros_like(rays), rays]).astype(np.float32)
    return caster.cast_rays(open3d.core.Tensor(rays))["t_hit"].numpy()


def test_depth_is_that_of_ray_casting(scene: TableScene, objects: list[TableObject]) -> None:
    rng = np.random.default_rng(5)
    places, pose = place_objects(rng, objects), camera_pose(rng)
    scene.arrange(places, pose)
    rendered, cast = scene.depth(), ray_cast(objects, places, pose)
    on_table = np.isfinite(cast)
    assert on_table.mean() > 0.9
    # Beside edges the two may fall on different sides within the same pixel.
    filled = np.where(on_table, cast, 10).astype(np.float32)
    smooth = cv2.dilate(filled, np.ones((3, 3))) - cv2.erode(filled, np.ones((3, 3))) < 0.01
    compared = on_table & smooth
    assert compared.mean() > 0.85
    assert np.abs(rendered - cast)[compared].max() < 0.002
    assert np.abs(rendered - cast)[compared].mean() < 0.0002


def test_points_lie_on_the_surface(objects: list[TableObject]) -> None:
    for each in objects:
        caster = open3d.t.geometry.RaycastingScene()
        for part in each.parts:
            caster.add_triangles(
                open3d.core.Tensor(part.mesh.vertices.astype(np.float32)),
                open3d.core.Tensor(part.mesh.faces.astype(np.uint32)),
            )
        points = np.array(list(each.points.values()), dtype=np.float32).reshape(-1, 3)
        assert caster.compute_distance(open3d.core.Tensor(points)).numpy().max(initial=0) < 1e-5


def test_every_kind_of_frame_is_found(scene: TableScene, objects: list[TableObject]) -> None:
    for index, present in ((0, len(objects)), (1, len(objects)), (2, len(objects) - 1)):
        found = arrange(scene, objects, np.random.default_rng([11, index]), index)
        assert len(found.places) == present


def test_objects_do_not_touch(objects: list[TableObject]) -> None:
    for seed in range(20):
        places = place_objects(np.random.default_rng(seed), objects)
        discs = [footprint(each, places[each.name]) for each in objects]
        for i, mine in enumerate(discs):
            for other in discs[:i]:
                gaps = np.linalg.norm(mine[:, None, :2] - other[None, :, :2], axis=-1)
                assert np.all(gaps - mine[:, None, 2] - other[None, :, 2] >= GAP)


def test_footprints_cover_their_objects(objects: list[TableObject]) -> None:
    for each in objects:
        for part in each.parts:
            to_discs = np.linalg.norm(
                part.mesh.vertices[:, None, :2] - each.footprint[None, :, :2], axis=-1
            )
            assert (to_discs - each.footprint[:, 2]).min(axis=1).max() < GAP / 2


@pytest.mark.parametrize(
    "mesh",
    [
        box((0.1, 0.2, 0.3)),
        lathe([(0.03, 0.0), (0.04, 0.1)]),
        ellipsoid((0.1, 0.2, 0.3)),
        disc(0.1),
        tube([(np.sin(a), 0, np.cos(a)) for a in np.linspace(0, 3, 20)], 0.1),
    ],
)
def test_faces_are_turned_like_their_normals(mesh: Mesh) -> None:
    corners = mesh.vertices[mesh.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.sum(facing * mesh.normals[mesh.faces].mean(axis=1), axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1)


def test_texture_coordinates_of_shapes() -> None:
    can = lathe([(0.03, 0.0), (0.03, 0.1)])
    np.testing.assert_allclose(can.point_at(0.5, 0.0), (0, -0.03, 0.1), atol=1e-9)
    np.testing.assert_allclose(can.point_at(0.75, 1.0), (0.03, 0, 0), atol=1e-9)
    np.testing.assert_allclose(disc(0.1).point_at(0.5, 0.75), (0, -0.05, 0), atol=1e-9)
    cube = box((0.2, 0.4, 0.6))
    np.testing.assert_allclose(cube.point_at(*box_uv("front", 0.5, 0.5)), (0, -0.2, 0.3), atol=1e-9)
    np.testing.assert_allclose(cube.point_at(*box_uv("top", 0.5, 0.5)), (0, 0, 0.6), atol=1e-9)
    left, right = (cube.point_at(*box_uv("top", u, 0.1)) for u in (0.1, 0.9))
    assert left[0] < right[0]
    assert left[1] > 0


def test_noise_grows_with_the_square_of_the_depth() -> None:
    rng = np.random.default_rng(0)
    spread = []
    for distance in (0.5, 1.0, 2.0):
        exact = np.full((CAMERA.height, CAMERA.width), distance, np.float32)
        measured = measure(exact, CAMERA, rng)
        assert 0.005 < np.isnan(measured).mean() < 0.02
        assert abs(np.nanmean(measured) - distance) < 0.001
        spread.append(np.nanstd(measured))
    np.testing.assert_allclose(spread[1:] / np.array(spread[:-1]), 4, rtol=0.1)


def test_background_hidden_from_the_second_imager() -> None:
    exact = np.full((CAMERA.height, CAMERA.width), 1.0, np.float32)
    exact[200:280, 300:340] = 0.7
    missing = np.isnan(measure(exact, CAMERA, np.random.default_rng(0)))[210:270]
    assert missing[:, 289:300].all()
    assert missing[:, 275:285].mean() < 0.1
    assert missing[:, 343:353].mean() < 0.1
    assert missing[:, 303:337].mean() < 0.1


@pytest.mark.parametrize(("frames", "seed"), [(0, 0), (-1, 0), (1001, 0), (1, -1)])
def test_numbers_out_of_range(tmp_path: Path, frames: int, seed: int) -> None:
    with pytest.raises(InvalidInputError):
        render_table(tmp_path / "frames", frames, seed)


def test_what_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    for out in (tmp_path, tmp_path / "precious"):
        with pytest.raises(DataError, match="exists already"):
            render_table(out, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["precious"]


def test_machine_that_cannot_render() -> None:
    code = (
        "import json\n"
        "from dense_desc_ros.errors import DataError\n"
        "try:\n    import dense_desc_ros.sim.table\n"
        "except DataError as error:\n    print(json.dumps(str(error)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MUJOCO_GL": "nothing"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "libegl1" in json.loads(done.stdout)
