"""Rendered data sets: exact layers that agree with the pictures, and runs that go on."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.correspondences import by_geometry
from dense_desc_ros.data.generate import generate
from dense_desc_ros.data.generate_scene import GenerateConfig
from dense_desc_ros.data.mesh import write_obj
from dense_desc_ros.data.objects import make_object
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.data.rendering.cycles import CyclesConfig
from dense_desc_ros.data.rendering.mujoco_renderer import FINER, MujocoRenderer
from dense_desc_ros.data.rendering.raycast import RayCaster
from dense_desc_ros.data.rendering.scene import SURFACE_PIXELS, Body, Scene, Surface, View
from dense_desc_ros.errors import DataError, InvalidInputError

CAMERA = PinholeCamera(301.0, 299.0, 155.3, 124.6, 320, 240)
SMALL = GenerateConfig("mugs", instances=2, views=5, clutter=True, size=(160, 120))


def look_at(eye, target):
    """Pose (4, 4) of a camera at `eye` that looks at `target`, the world upright in its image."""
    z = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    x = np.cross(z, (0, 0, 1))
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3] = np.stack([x, np.cross(z, x), z, eye], axis=1)
    return pose


@pytest.fixture(scope="module")
def bright_cap():
    """A cap of one colour on a black table, in light from everywhere: no shadow, no shade."""
    cap = make_object("caps", 0)
    white = type(cap)(cap.vertices, cap.faces, cap.uv, np.full((8, 8, 3), 255, np.uint8))
    black = np.zeros((SURFACE_PIXELS, SURFACE_PIXELS, 3), np.uint8)
    plain = Surface(0, 0.0, 1.0, (1.0, 1.0, 1.0))
    T_world_cap = np.eye(4)
    T_world_cap[:3, 3] = (0.05, -0.02, 0.0)
    pose = look_at((0.35, -0.3, 0.45), (0.03, 0, 0.05))
    view = View(CAMERA, pose, (T_world_cap,), (), (1.0, 1.0, 1.0), plain, plain)
    return Scene((Body(white, 0.0),), (black,)), view


def test_masks_agree_with_the_picture_to_a_fraction_of_a_pixel(bright_cap):
    scene, view = bright_cap
    with MujocoRenderer(scene, CAMERA.width, CAMERA.height) as renderer:
        coverage = renderer.color(view).mean(axis=2) / 255
    mask = RayCaster(scene).layers(view).mask_visib
    coverage /= np.median(coverage[mask])
    assert coverage[~cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)].max() < 0.1
    assert coverage[cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)].min() > 0.9
    grid = np.mgrid[: CAMERA.height, : CAMERA.width]
    centres = [(grid * weights).sum(axis=(1, 2)) / weights.sum() for weights in (coverage, mask)]
    np.testing.assert_allclose(*centres, atol=0.1)


def test_depth_agrees_with_the_rasteriser(bright_cap):
    scene, view = bright_cap
    with MujocoRenderer(scene, CAMERA.width, CAMERA.height) as renderer:
        fine = renderer.depth(view)
    layers = RayCaster(scene).layers(view)
    blocks = fine.reshape(CAMERA.height, FINER, CAMERA.width, FINER)
    smooth = np.ptp(blocks, axis=(1, 3)) < 0.004  # away from edges
    assert smooth.mean() > 0.8
    difference = np.abs(blocks.mean(axis=(1, 3)) - layers.depth)[smooth]
    assert np.quantile(difference, 0.99) < 1e-3


def test_canonical_coordinates_agree_with_the_picture_to_half_a_pixel(bright_cap):
    """Of a cap whose colours are two of its canonical coordinates."""
    scene, view = bright_cap
    cap = make_object("caps", 0)
    u, v = np.meshgrid(np.arange(256), np.arange(256))
    ramps = np.stack([u, v, np.zeros_like(u)], axis=-1).astype(np.uint8)
    painted = replace(cap, uv=cap.canonical[:, :2].astype(float), texture=ramps)
    scene = replace(scene, bodies=(Body(painted, 0.0),))
    with MujocoRenderer(scene, CAMERA.width, CAMERA.height) as renderer:
        color = (renderer.color(view)[..., :2] + 0.5) / 256
    layers = RayCaster(scene).layers(view)
    inside = cv2.erode(layers.mask_visib.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert inside.sum() > 2000
    down, right = np.gradient(layers.canonical, axis=(0, 1))
    for axis in (0, 1):
        slopes = [layers.canonical[..., axis], right[..., axis], down[..., axis]]
        # Where the cap hides parts of itself, coordinates jump.
        smooth = inside & (np.abs(slopes[1]) < 0.02) & (np.abs(slopes[2]) < 0.02)
        terms = np.stack([each[smooth] for each in slopes], axis=1).astype(float)
        (gain, *shift), *_ = np.linalg.lstsq(terms, color[..., axis][smooth])
        assert np.hypot(*shift) / gain < 0.5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated") / "mugs"
    assert generate(SMALL, out).frames == 10
    return out


def test_frames_of_a_data_set_fit_together(data):
    frames = open_posed_frames(data)
    assert sorted(len(views) for views in frames.groups.values()) == [4, 4]
    assert len(frames.without_object) == 2  # one view in five
    errors = []
    for views in frames.groups.values():
        for a, b in zip(views, views[1:], strict=False):
            a, b = frames[a], frames[b]
            v, u = np.nonzero(a.mask & np.isfinite(a.depth))
            pixels, visible = by_geometry(a, b, np.stack([u, v], axis=1))
            at_b = b.canonical[tuple(np.rint(pixels[visible]).astype(int).T[::-1])]
            errors += np.linalg.norm(a.canonical[v, u][visible] - at_b, axis=1).tolist()
    assert len(errors) > 200
    assert np.nanmedian(errors) < 0.03  # about a pixel of these pictures


def test_what_is_there_is_kept_and_the_rest_comes_out_the_same(data, tmp_path):
    again = tmp_path / "again"
    assert generate(SMALL, again, workers=2).scenes_kept == 0
    scenes = sorted(path.name for path in (again / "train").iterdir())
    (again / "train" / scenes[0]).rename(again / "train" / f"{scenes[0]}.unfinished")
    assert generate(SMALL, again).scenes_kept == 1
    for path in sorted((data / "train").rglob("*.*")):
        assert path.read_bytes() == (again / path.relative_to(data)).read_bytes(), path
    assert (again / "contact_sheet.png").stat().st_size > 1000
    assert json.loads((again / "generate.json").read_text())["seed"] == 0


def test_other_settings_do_not_go_on(data):
    with pytest.raises(InvalidInputError, match=r"'seed' was 0.*not 5"):
        generate(GenerateConfig("mugs", 2, views=5, clutter=True, size=(160, 120), seed=5), data)
    with pytest.raises(DataError, match="not a data set begun here"):
        generate(SMALL, data / "models")


def test_from_above_cameras_look_down_on_upright_objects(tmp_path):
    config = GenerateConfig("mugs", instances=1, views=8, from_above=True, size=(64, 48))
    generate(config, tmp_path / "out")
    frames = open_posed_frames(tmp_path / "out")
    views = np.array([frames.T_object_camera[i][:3, :3] for i in range(len(frames))])
    assert len(views) == 8 and (views[:, 2, 2] < -0.95).all()  # the optical axis, in the object
    assert np.ptp(np.arctan2(views[:, 1, 0], views[:, 0, 0])) > 2  # turned by any angle


def test_objects_may_be_a_folder_of_meshes(tmp_path):
    for instance in (0, 1):
        write_obj(make_object("mugs", instance), tmp_path / "meshes", f"mug{instance}")
    config = GenerateConfig(str(tmp_path / "meshes"), instances=2, views=1, size=(64, 48))
    generate(config, tmp_path / "out")
    frames = open_posed_frames(tmp_path / "out")
    assert len(frames) == 2 and frames[0].canonical is None and frames[0].mask.any()


def test_cycles_without_blender_says_what_to_install(tmp_path):
    config = GenerateConfig("mugs", instances=1, views=1, renderer="cycles")
    with pytest.raises(DataError, match="bpy"):
        generate(config, tmp_path / "out", cycles=CyclesConfig("/usr/bin/false"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objects": "spoons"}, "spoons"),
        ({"instances": 0}, "instance"),
        ({"views": 0}, "views"),
        ({"renderer": "povray"}, "povray"),
    ],
)
def test_impossible_settings_are_refused(changes, message, tmp_path):
    with pytest.raises((InvalidInputError, DataError), match=message):
        generate(GenerateConfig(**({"objects": "mugs"} | changes)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
