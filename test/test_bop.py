"""BOP data sets: what is written comes back, those of others are read, broken ones are told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from full_disk import full_disk
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from posed_scene import empty, look_at, sphere

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.bop import BopFrames
from dense_desc_ros.data.bop_format import decode_canonical, encode_canonical
from dense_desc_ros.data.bop_models import add_model_info, model_info, write_model
from dense_desc_ros.data.bop_writer import Annotation, BopWriter, SceneWriter
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects import make_object
from dense_desc_ros.data.posed import NO_OBJECT, PosedFrame
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.errors import DataError

CAMERA = PinholeCamera(70.25, 71.5, 31.75, 23.5, 64, 48)
FRAME = sphere(0.1, look_at(np.array([0.1, -0.3, 0.2])), 7, CAMERA)
RIGID = [0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, 1]
WRITTEN = "train/000003"


def write(scene: SceneWriter, number: int, frame: PosedFrame) -> None:
    shown = frame.object_id != NO_OBJECT
    annotation = Annotation(
        frame.object_id,
        np.linalg.inv(frame.T_object_camera),
        frame.mask,
        frame.mask & (np.arange(CAMERA.width) < 40),
        frame.canonical,
    )
    annotations = [annotation] if shown else []
    scene.add(number, frame.image, frame.depth, CAMERA, np.eye(4), annotations)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A scene of two images with a sphere, the second partly hidden, and one without."""
    with BopWriter(tmp_path, "train").scene(3) as scene:
        write(scene, 0, FRAME)
        write(scene, 4, FRAME)
        write(scene, 5, empty(CAMERA))
    return tmp_path


@pytest.mark.parametrize("inner", ["", "train", WRITTEN])
def test_written_frames_come_back(data: Path, inner: str) -> None:
    frames = open_posed_frames(data / inner)

    assert dict(frames.groups) == {7: [0, 1]}
    assert list(frames.without_object) == [2]
    assert dict(frames.skipped) == {}
    frame = frames[0]
    visible = FRAME.mask & (np.arange(CAMERA.width) < 40)
    np.testing.assert_array_equal(frame.image, FRAME.image)
    np.testing.assert_array_equal(frame.mask, visible)
    np.testing.assert_allclose(frame.depth, FRAME.depth, atol=0.051e-3)
    np.testing.assert_allclose(frame.canonical, FRAME.canonical, atol=1e-5)
    np.testing.assert_allclose(frame.T_object_camera, FRAME.T_object_camera, atol=1e-12)
    assert (frame.camera, frame.object_id, frame.name) == (CAMERA, 7, "000003/000000")
    assert frames.visible_fraction[0] == pytest.approx(visible.sum() / FRAME.mask.sum())
    assert frames[2].object_id == NO_OBJECT
    assert not frames[2].mask.any()
    assert np.isnan(frames[2].T_object_camera).all()
    for pose, frame in zip(frames.T_object_camera, frames, strict=True):
        np.testing.assert_array_equal(pose, frame.T_object_camera)
    assert open_posed_frames(data / inner, canonical=False)[0].canonical is None
    with pytest.raises(IndexError):
        frames[3]


def test_boxes_and_counts(data: Path) -> None:
    facts = json.loads((data / WRITTEN / "scene_gt_info.json").read_text())["0"][0]
    rows, columns = np.nonzero(FRAME.mask)
    size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert facts["bbox_obj"] == [columns.min(), rows.min(), *size]
    assert facts["bbox_visib"][2] == 40 - columns.min()
    assert facts["px_count_all"] == facts["px_count_valid"] == len(rows)


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_canonical_coordinates_survive(values: list[float]) -> None:
    canonical = np.array([[values, [np.nan] * 3]], np.float32)
    back = decode_canonical(encode_canonical(canonical))
    np.testing.assert_allclose(back, canonical, atol=0.6 / 65534)


def write_blenderproc(root: Path) -> Path:
    """A scene as BlenderProc writes it: JPEG, whole millimetres, no world pose or scene_gt_info."""
    scene = root / "train_pbr" / "000000"
    for folder in ("rgb", "depth", "mask", "mask_visib"):
        (scene / folder).mkdir(parents=True)
    Image.fromarray(FRAME.image).save(scene / "rgb" / "000000.jpg", quality=95)
    millimetres = np.rint(np.nan_to_num(FRAME.depth) * 1000).astype(np.uint16)
    Image.fromarray(millimetres).save(scene / "depth" / "000000.png")
    masks = FRAME.mask, FRAME.mask & False, FRAME.mask
    for index, mask in enumerate(masks):
        name = f"000000_{index:06d}.png"
        Image.fromarray(mask).save(scene / "mask" / name)
        if index < 2:
            Image.fromarray(mask).save(scene / "mask_visib" / name)
    truth = [{"obj_id": i, "cam_R_m2c": RIGID, "cam_t_m2c": [0, 0, 300.0]} for i in (5, 6, 5)]
    (scene / "scene_gt.json").write_text(json.dumps({"0": truth}))
    camera = {"cam_K": CAMERA.matrix.ravel().tolist(), "depth_scale": 1.0}
    (scene / "scene_camera.json").write_text(json.dumps({"0": camera}))
    return scene


def test_data_of_blenderproc(tmp_path: Path) -> None:
    write_blenderproc(tmp_path)
    frames = BopFrames(tmp_path)
    assert dict(frames.groups) == {5: [0, 1]}
    assert dict(frames.skipped) == {"not visible": 1}
    for frame in frames[0], frames[1]:
        np.testing.assert_array_equal(frame.mask, FRAME.mask)
        np.testing.assert_allclose(frame.depth, FRAME.depth, atol=0.51e-3)
        np.testing.assert_allclose(frame.T_object_camera[:3, 3], [0, 0, -0.3])
        assert np.abs(frame.image.astype(int) - FRAME.image)[FRAME.mask].mean() < 6
        assert frame.canonical is None


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def apply(scene: Path) -> None:
        content = json.loads((scene / name).read_text())
        change(content)
        (scene / name).write_text(json.dumps(content))

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda scene: (scene / name).unlink()


def truth(key: str, value: Any) -> Callable[[Path], None]:
    return edit("scene_gt.json", lambda content: content["4"][0].update({key: value}))


def camera(key: str, value: Any) -> Callable[[Path], None]:
    return edit("scene_camera.json", lambda content: content["4"].update({key: value}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("rgb/000004.png"), "without colour picture"),
        (remove("depth/000004.png"), "without depth"),
        (lambda scene: [path.unlink() for path in scene.glob("mask*/000004*")], "without mask"),
        (edit("scene_camera.json", lambda content: content.pop("4")), "not in scene_camera.json"),
        (truth("cam_R_m2c", [float("nan")] * 9), "with unusable pose"),
        (truth("cam_R_m2c", [2.0, 0, 0, 0, 1, 0, 0, 0, 1]), "with unusable pose"),
        (truth("cam_t_m2c", [0, 0, float("nan")]), "with unusable pose"),
        (truth("cam_t_m2c", [0, 0, -300]), "behind the camera"),
        (camera("cam_K", [0.0] * 9), "with unusable intrinsics"),
        (camera("depth_scale", 0), "with unusable depth_scale"),
        (
            edit("scene_gt_info.json", lambda info: info["4"][0].update(px_count_visib=0)),
            "not visible",
        ),
    ],
)
def test_unusable_frames_are_counted(
    data: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(data / WRITTEN)
    frames = BopFrames(data)
    assert dict(frames.groups) == {7: [0]}
    assert dict(frames.skipped) == {reason: 1}


def test_half_written_scenes_are_counted(data: Path) -> None:
    (data / "train" / "000009" / "rgb").mkdir(parents=True)
    assert dict(BopFrames(data).skipped) == {"scenes without scene_gt.json": 1}
    (data / WRITTEN / "scene_gt.json").unlink()
    with pytest.raises(DataError, match="no usable frame: 2 scenes without scene_gt.json"):
        BopFrames(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truth("cam_R_m2c", [1, 2]), "scene_gt.json: 'cam_R_m2c' must be 9 numbers"),
        (truth("cam_t_m2c", "far"), "scene_gt.json: 'cam_t_m2c' must be 3 numbers"),
        (truth("obj_id", None), "scene_gt.json: 'obj_id'"),
        (camera("cam_K", None), "scene_camera.json: 'cam_K'"),
        (camera("depth_scale", "fine"), "scene_camera.json: 'depth_scale'"),
        (edit("scene_gt.json", lambda content: content.update({"4": 1})), "scene_gt.json: '4'"),
        (edit("scene_gt.json", lambda content: content.update(x=[])), "scene_gt.json: 'x'"),
        (edit("scene_gt_info.json", lambda info: info.update({"4": 0})), "gt_info.json: '4'"),
        (lambda scene: (scene / "scene_gt.json").write_text('{"0": ['), "scene_gt.json"),
        (lambda scene: (scene / "scene_camera.json").write_text("[]"), "scene_camera.json"),
    ],
)
def test_malformed_files_are_named(
    data: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(data / WRITTEN)
    with pytest.raises(DataError, match=message):
        BopFrames(data)


@pytest.mark.parametrize("layer", ["rgb", "depth", "mask_visib", "canonical"])
@pytest.mark.parametrize("damage", ["truncated", "smaller"])
def test_broken_pictures_are_named(data: Path, layer: str, damage: str) -> None:
    (path,) = (data / WRITTEN / layer).glob("000000*")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        (other,) = (write_smaller(data) / layer).glob("000000*")
        path.write_bytes(other.read_bytes())
    frames = BopFrames(data / "train")
    with pytest.raises(DataError, match="000003"):
        frames[0]


def write_smaller(data: Path) -> Path:
    small = PinholeCamera(40, 40, 15.5, 11.5, 32, 24)
    frame = sphere(0.1, FRAME.T_object_camera, 7, small)
    annotation = Annotation(7, np.eye(4), frame.mask, frame.mask, frame.canonical)
    with BopWriter(data, "small").scene(3) as scene:
        scene.add(0, frame.image, frame.depth, small, np.eye(4), [annotation])
    return data / "small" / "000003"


def test_folders_that_are_no_data_set(data: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        open_posed_frames(data / "nothing")
    with pytest.raises(DataError, match="not a BOP data set"):
        open_posed_frames(data / WRITTEN / "rgb")
    write_smaller(data)
    with pytest.raises(DataError, match=r"several splits \(small, train\)"):
        open_posed_frames(data)


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    writer = BopWriter(tmp_path, "train")
    with (
        full_disk(1000),
        pytest.raises(DataError, match="cannot write scene .*train/000003"),
        writer.scene(3) as scene,
    ):
        write(scene, 0, FRAME)
    assert not writer.is_complete(3)
    assert list((tmp_path / "train").iterdir()) == []


def test_models(tmp_path: Path) -> None:
    mesh = make_object("mugs", 0)
    write_model(tmp_path, 5, mesh)
    add_model_info(tmp_path, 5, model_info(mesh))
    add_model_info(tmp_path, 12, {"diameter": 1.0})

    info = json.loads((tmp_path / "models_info.json").read_text())
    assert list(info) == ["5", "12"]
    raw = trimesh.load(tmp_path / "obj_000005.ply", process=False).metadata["_ply_raw"]
    fields = raw["vertex"]["data"]
    vertices = np.stack([fields[axis] for axis in "xyz"], axis=1)
    np.testing.assert_allclose(vertices, mesh.vertices * 1000, atol=1e-4)
    np.testing.assert_array_equal(raw["face"]["data"]["vertex_indices"]["f1"], mesh.faces)
    np.testing.assert_allclose(fields["canonical_y"], mesh.canonical[:, 1], atol=1e-6)
    np.testing.assert_allclose(fields["texture_v"], 1 - mesh.uv[:, 1], atol=1e-6)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "obj_000005.png")), mesh.texture)
    spread = np.linalg.norm(vertices[:, None] - vertices[None, ::50], axis=-1)
    assert spread.max() <= info["5"]["diameter"] * (1 + 1e-6) < 1.1 * spread.max()


def test_flat_model_has_a_diameter() -> None:
    corners = np.array([(0, 0, 0), (0.03, 0, 0), (0, 0.04, 0)], float)
    info = model_info(Mesh(corners, np.array([(0, 1, 2)], np.int32)))
    assert info["diameter"] == pytest.approx(50)
    assert info["size_z"] == 0
