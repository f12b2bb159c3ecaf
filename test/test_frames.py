"""Frame folders: what is written comes back, and whatever is wrong with one is said in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.frames import FrameFolder, write_camera, write_frame, write_points
from dense_desc_ros.data.millimetres import from_millimetres, to_millimetres
from dense_desc_ros.errors import DataError, InvalidInputError


def test_written_frames_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    camera = PinholeCamera(61.25, 62.5, 31.5, 23.25, 64, 48)
    images = rng.integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    depths = rng.uniform(0.2, 3.0, (3, 48, 64))
    depths[:, 0] = np.nan
    for index in range(3):
        write_frame(tmp_path / "new" / "folder", index, images[index], depths[index])
    write_camera(tmp_path / "new" / "folder", camera)

    folder = FrameFolder(tmp_path / "new" / "folder")

    assert len(folder) == 3
    assert folder.camera == camera
    assert folder.points == folder.positions == {}
    for index, frame in enumerate(folder):
        assert frame.stamp_ns == index * 1_000_000_000
        np.testing.assert_array_equal(frame.image, images[index])
        np.testing.assert_allclose(frame.depth, depths[index], atol=0.5001e-3)


def test_points_and_positions_come_back(frame_folder: FrameFolder) -> None:
    points = {"cap": [(1.25, 2.5), None, (3.0, 4.0), None], "handle": [None] * 4}
    positions = {"cap": [(0.1, -0.2, 0.9), None, (0.0, 0.0, 1.0), None]}
    write_points(frame_folder.path, points, positions)

    folder = FrameFolder(frame_folder.path)

    assert folder.points == points
    assert folder.positions == positions


def test_depth_that_cannot_be_written_is_not_measured() -> None:
    depth = np.array([0.0, -1.0, np.nan, np.inf, 65.535, 65.536, 1e30, 0.0004, 0.001])
    np.testing.assert_array_equal(to_millimetres(depth), [0, 0, 0, 0, 65535, 0, 0, 0, 1])


def test_every_millimetre_survives() -> None:
    millimetres = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_millimetres(from_millimetres(millimetres)), millimetres)


def test_frames_beyond_the_last(frame_folder: FrameFolder) -> None:
    for index in (4, -1):
        with pytest.raises(IndexError):
            frame_folder[index]


@pytest.mark.parametrize(
    ("image", "depth", "index"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5)), 0),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4)), 0),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4)), 0),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), 1_000_000),
    ],
)
def test_wrong_arrays_are_not_written(
    tmp_path: Path, image: np.ndarray, depth: np.ndarray, index: int
) -> None:
    with pytest.raises(InvalidInputError):
        write_frame(tmp_path, index, image, depth)
    assert not list(tmp_path.iterdir())


def _fails(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as error:
        for _ in FrameFolder(path):
            pass
    assert "\n" not in str(error.value)


def test_folder_without_frames(tmp_path: Path) -> None:
    _fails(tmp_path / "missing", "not a folder")
    _fails(tmp_path, "no frames")


def test_colour_without_depth(frame_folder: FrameFolder) -> None:
    (frame_folder.path / "000002-depth.png").unlink()
    _fails(frame_folder.path, "no 000002-depth.png")


@pytest.mark.parametrize("name", ["000001-color.png", "000001-depth.png"])
@pytest.mark.parametrize("kept", [0, 20, 300])
def test_truncated_image(frame_folder: FrameFolder, name: str, kept: int) -> None:
    file = frame_folder.path / name
    file.write_bytes(file.read_bytes()[:kept])
    _fails(frame_folder.path, name)


@pytest.mark.parametrize(
    ("name", "pixels", "match"),
    [
        ("000001-color.png", np.zeros((48, 64), np.uint8), "8-bit RGB"),
        ("000001-color.png", np.zeros((48, 64, 4), np.uint8), "8-bit RGB"),
        ("000001-depth.png", np.zeros((48, 64), np.uint8), "16-bit"),
        ("000001-depth.png", np.zeros((48, 65), np.uint16), "depth is 65x48"),
        ("000001-color.png", np.zeros((47, 64, 3), np.uint8), "64x47"),
    ],
)
def test_image_of_another_kind(
    frame_folder: FrameFolder, name: str, pixels: np.ndarray, match: str
) -> None:
    Image.fromarray(pixels).save(frame_folder.path / name)
    _fails(frame_folder.path, match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "camera_params"),
        ("[]", "JSON object"),
        ('{"img_width": 64}', "lacks img_height, fx"),
        ("zero focal", "positive"),
        ("text focal", "must be a number"),
        ("nan focal", "must be a number"),
        ("huge focal", "must be a number"),
        ("other size", "65x48"),
    ],
)
def test_wrong_camera(frame_folder: FrameFolder, content: str, match: str) -> None:
    file = frame_folder.path / "camera_params.json"
    values = json.loads(file.read_text())
    changes = {
        "zero focal": {"fx": 0},
        "text focal": {"fx": "61"},
        "nan focal": {"fx": float("nan")},
        "huge focal": {"fx": 10**400},
        "other size": {"img_width": 65},
    }
    if content in changes:
        content = json.dumps(values | changes[content])
    file.write_text(content)
    _fails(frame_folder.path, match)


def test_missing_camera(frame_folder: FrameFolder) -> None:
    (frame_folder.path / "camera_params.json").unlink()
    _fails(frame_folder.path, "camera_params.json")


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ([], "object of names"),
        ({"cap": [None] * 3}, "one entry per frame"),
        ({"cap": 4}, "one entry per frame"),
        ({"cap": [None, None, None, [1, 2, 3]]}, "2 numbers or null"),
        ({"cap": [None, None, None, [1, "2"]]}, "2 numbers or null"),
        ({"cap": [None, None, None, [1, float("inf")]]}, "2 numbers or null"),
    ],
)
def test_wrong_points(frame_folder: FrameFolder, table: object, match: str) -> None:
    (frame_folder.path / "points.json").write_text(json.dumps({"points": table}))
    _fails(frame_folder.path, match)
