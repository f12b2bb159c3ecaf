"""Captures in nerfstudio's layout, made of spheres of which everything is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from posed_scene import CAMERA, look_at, sphere

from dense_desc_ros.data.correspondences import by_geometry
from dense_desc_ros.data.images import write_image
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.errors import DataError

RADIUS = 0.1
POSES = [look_at(np.array(at)) for at in ((0.1, -0.3, 0.0), (-0.1, -0.28, 0.1), (0, -0.3, 0.2))]
FRAMES = [sphere(RADIUS, pose) for pose in POSES]
MIDDLE = {"fl_x": CAMERA.fx, "fl_y": CAMERA.fy, "cx": 160.0, "cy": 120.0, "w": 320, "h": 240}


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Three frames, depth in millimetres at half the size, a mask for the last one."""
    frames: list[dict[str, Any]] = []
    for i, frame in enumerate(FRAMES):
        write_image(tmp_path / "images" / f"{i}.png", frame.image)
        millimetres = np.rint(np.nan_to_num(frame.depth) * 1000).astype(np.uint16)
        (tmp_path / "depth").mkdir(exist_ok=True)
        Image.fromarray(millimetres[::2, ::2]).save(tmp_path / "depth" / f"{i}.png")
        # Right, up and backward: OpenGL's axes of the camera, written out.
        right, down, forward, at = frame.T_object_camera[:3].T
        columns = np.stack([right, -down, -forward, at], axis=1)
        frames.append(
            {
                "file_path": f"images/{i}.png",
                "depth_file_path": f"depth/{i}.png",
                "transform_matrix": [*columns.tolist(), [0, 0, 0, 1]],
            }
        )
    write_image(tmp_path / "mask.png", np.repeat(FRAMES[2].mask[..., None] * np.uint8(255), 3, 2))
    frames[2]["mask_path"] = "mask.png"
    (tmp_path / "transforms.json").write_text(json.dumps({**MIDDLE, "frames": frames}))
    return tmp_path


def change(capture: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = capture / "transforms.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("inner", ["", "transforms.json"])
def test_frames_are_read(capture: Path, inner: str) -> None:
    frames = open_posed_frames(capture / inner)
    assert {number: list(each) for number, each in frames.groups.items()} == {0: [0, 1, 2]}
    assert (list(frames.without_object), dict(frames.skipped)) == ([], {})
    for i, expected in enumerate(FRAMES):
        frame = frames[i]
        assert frame.camera == CAMERA
        np.testing.assert_array_equal(frame.image, expected.image)
        np.testing.assert_allclose(frame.T_object_camera, expected.T_object_camera, atol=1e-12)
        both = np.isfinite(frame.depth) & np.isfinite(expected.depth)
        assert both.sum() > 0.97 * expected.mask.sum()
        assert np.median(np.abs(frame.depth - expected.depth)[both]) < 0.001
    assert frames[0].mask.all()
    np.testing.assert_array_equal(frames[2].mask, FRAMES[2].mask)


def test_views_agree_with_each_other(capture: Path) -> None:
    frames = open_posed_frames(capture)
    pixels = [(150.0, 120.0), (170.0, 110.0), (158.0, 140.0)]
    found, visible = by_geometry(frames[0], frames[1], pixels)
    expected, _ = by_geometry(FRAMES[0], FRAMES[1], pixels)
    assert visible.all()
    np.testing.assert_allclose(found, expected, atol=1.5)  # depth of half the size


def test_intrinsics_and_depth_unit_of_frames(capture: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["depth_unit_scale_factor"] = 0.002
        content["frames"][1]["fl_x"] = 310.0

    change(capture, edit)
    frames = open_posed_frames(capture)
    assert [frames[i].camera.fx for i in range(3)] == [300, 310, 300]
    assert np.nanmedian(frames[0].depth / FRAMES[0].depth) == pytest.approx(2, abs=0.02)


def test_distortion_is_taken_out(capture: Path) -> None:
    coefficients = {"k1": -0.2, "k2": 0.05, "p1": 0.003, "p2": -0.002, "k3": 0.01}
    points = np.array([(x, y, 1.0) for x in (-0.4, 0, 0.4) for y in (-0.3, 0, 0.3)])
    still = np.zeros(3)
    at, _ = cv2.projectPoints(
        points, still, still, CAMERA.matrix, np.array(list(coefficients.values()))
    )
    v, u = np.mgrid[0:240, 0:320]
    spots = sum(np.exp(-((u - x) ** 2 + (v - y) ** 2) / 18) for x, y in at[:, 0])
    write_image(capture / "images" / "0.png", np.repeat(255 * spots[..., None], 3, 2).astype("u1"))
    change(capture, lambda content: content.update(coefficients))

    image = open_posed_frames(capture)[0].image[..., 0].astype(float)

    for x, y in CAMERA.project(points):
        window = np.s_[round(y) - 7 : round(y) + 8, round(x) - 7 : round(x) + 8]
        weight = image[window]
        centre = (
            (weight * u[window]).sum() / weight.sum(),
            (weight * v[window]).sum() / weight.sum(),
        )
        np.testing.assert_allclose(centre, (x, y), atol=0.15)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda frame: frame.pop("depth_file_path"), "without depth"),
        (lambda frame: frame.update(depth_file_path="depth/9.png"), "without depth"),
        (lambda frame: frame.update(file_path="images/9.png"), "without colour picture"),
        (lambda frame: frame.update(mask_path="9.png"), "without its mask"),
        (
            lambda frame: frame.update(transform_matrix=[[float("nan")] * 4] * 4),
            "with unusable pose",
        ),
    ],
)
def test_unusable_frames_are_counted(
    capture: Path, edit: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    change(capture, lambda content: edit(content["frames"][1]))
    frames = open_posed_frames(capture)
    assert len(frames) == 2
    assert dict(frames.skipped) == {reason: 1}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("fl_x"), "transforms.json: 'fl_x'"),
        (lambda content: content.update(w="wide"), "transforms.json: 'w'"),
        (lambda content: content.update(fl_y=0), "transforms.json: focal lengths"),
        (lambda content: content.update(frames={}), "transforms.json: 'frames'"),
        (lambda content: content.update(frames=[]), "no usable frame: there is none at all"),
        (lambda content: content.update(camera_model="OPENCV_FISHEYE"), "'camera_model'"),
        (
            lambda content: content["frames"][0].update(transform_matrix=[1]),
            "'transform_matrix' must be 16 numbers",
        ),
        (lambda content: content["frames"][0].update(file_path=3), "'file_path' of a frame"),
    ],
)
def test_malformed_files_are_named(
    capture: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    change(capture, edit)
    with pytest.raises(DataError, match=message):
        open_posed_frames(capture)


def test_picture_of_another_size(capture: Path) -> None:
    write_image(capture / "images" / "0.png", FRAMES[0].image[:100])
    with pytest.raises(DataError, match="transforms.json: images/0.png: camera is"):
        open_posed_frames(capture)[0]


@pytest.mark.parametrize("key", ["file_path", "depth_file_path", "mask_path"])
@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png"])
def test_a_capture_cannot_reach_outside_of_its_folder(capture: Path, key: str, name: str) -> None:
    change(capture, lambda content: content["frames"][0].update({key: name}))
    with pytest.raises(DataError, match=f"transforms.json: '{key}' of a frame.*outside of"):
        open_posed_frames(capture)
