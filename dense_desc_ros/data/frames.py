"""Folders of RGB-D frames on disk: reading and writing.

NNNNNN-color.png    8-bit RGB
NNNNNN-depth.png    16-bit, millimetres, 0 where nothing was measured, registered to the colour
camera_params.json  {"img_width", "img_height", "fx", "fy", "x_offset", "y_offset"}, in pixels
points.json         optional truth: {"points": {name: [[u, v] or null, ...]}} with one entry per
                    frame, null where the point cannot be seen, and "positions" likewise with
                    [x, y, z] in the camera optical frame, metres
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dense_desc_ros.camera import FloatArray, PinholeCamera, check_image
from dense_desc_ros.data.millimetres import from_millimetres, to_millimetres
from dense_desc_ros.data.reading import read_json, read_pixels
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.files import write_atomically
from dense_desc_ros.rgbd_frame import RgbdFrame

FRAME_PERIOD_NS = 1_000_000_000
OPTICAL_FRAME = "camera_color_optical_frame"
COLOR_SUFFIX, DEPTH_SUFFIX = "-color.png", "-depth.png"
CAMERA_FILE, POINTS_FILE = "camera_params.json", "points.json"
CAMERA_KEYS = {
    "img_width": "width",
    "img_height": "height",
    "fx": "fx",
    "fy": "fy",
    "x_offset": "cx",
    "y_offset": "cy",
}

Track = list[tuple[float, ...] | None]
"""Where one named point is in each frame: (u, v) or (x, y, z), None where it is hidden."""


class FrameFolder:
    """A folder of RGB-D frames of one camera, read one at a time.

    Attributes:
        path: the folder.
        camera: intrinsics of every frame.
        points: name -> (u, v) per frame, or None where the point cannot be seen; {} without truth.
        positions: name -> (x, y, z) per frame, camera optical frame, metres, or None; may be {}.

    Raises:
        DataError: no such folder, no frames in it, a colour image without depth, or a camera or
            points file that is missing or malformed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder: give a folder of RGB-D frames")
        self._names = sorted(
            file.name.removesuffix(COLOR_SUFFIX) for file in self.path.glob(f"*{COLOR_SUFFIX}")
        )
        if not self._names:
            raise DataError(f"{self.path} has no frames: expected files like 000000{COLOR_SUFFIX}")
        for name in self._names:
            if not (self.path / f"{name}{DEPTH_SUFFIX}").is_file():
                raise DataError(f"{self.path} has {name}{COLOR_SUFFIX} but no {name}{DEPTH_SUFFIX}")
        self.camera = _read_camera(self.path / CAMERA_FILE)
        self.points, self.positions = _read_points(self.path / POINTS_FILE, len(self))

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[RgbdFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> RgbdFrame:
        """Read one frame; frames carry no time on disk, so frame i is stamped i seconds."""
        return self.read(index, index * FRAME_PERIOD_NS)

    def read(self, index: int, stamp_ns: int) -> RgbdFrame:
        """Read frame `index` (0 to len - 1) and stamp it.

        Raises:
            IndexError: no such frame.
            DataError: an image that is truncated, of another kind, or not of the camera's size.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has frames 0 to {len(self) - 1}, not {index}")
        name = self._names[index]
        image = read_pixels(self.path / f"{name}{COLOR_SUFFIX}", ("RGB",), "8-bit RGB")
        millimetres = read_pixels(
            self.path / f"{name}{DEPTH_SUFFIX}", ("I;16", "I;16B"), "16-bit grey (millimetres)"
        )
        depth = from_millimetres(millimetres)
        try:
            return RgbdFrame(image, depth, self.camera, stamp_ns, OPTICAL_FRAME)
        except InvalidInputError as error:
            raise DataError(f"{self.path}, frame {name}: {error}") from error


def write_frame(
    folder: Path, index: int, image: npt.NDArray[np.uint8], depth_m: FloatArray
) -> None:
    """Write one frame.

    Args:
        folder: made if it does not exist.
        index: number of the frame, 0 to 999999.
        image: (H, W, 3) uint8, RGB.
        depth_m: (H, W) float, metres; what is NaN, not positive or beyond 65.535 m is written as
            "not measured".

    Raises:
        InvalidInputError: arrays of other shapes or types, or an index out of range.
        OSError: the folder cannot be written to.
    """
    check_image(image)
    if depth_m.shape != image.shape[:2]:
        raise InvalidInputError(f"depth {depth_m.shape} is not of the image's {image.shape[:2]}")
    if not 0 <= index <= 999_999:
        raise InvalidInputError(f"frame number {index} is not in 0..999999")
    folder = Path(folder)
    write_atomically(folder / f"{index:06d}{DEPTH_SUFFIX}", _png(to_millimetres(depth_m)))
    # Last, since it is the colour image that makes a reader take the frame for there.
    write_atomically(folder / f"{index:06d}{COLOR_SUFFIX}", _png(image))


def write_camera(folder: Path, camera: PinholeCamera) -> None:
    """Write the intrinsics of a folder's frames; OSError when the folder cannot be written to."""
    values = {key: getattr(camera, field) for key, field in CAMERA_KEYS.items()}
    write_atomically(Path(folder) / CAMERA_FILE, json.dumps(values).encode() + b"\n")


def write_points(
    folder: Path,
    points: Mapping[str, Sequence[Sequence[float] | None]],
    positions: Mapping[str, Sequence[Sequence[float] | None]] | None = None,
) -> None:
    """Write the truth of a folder's frames, for every name one entry per frame.

    Args:
        folder: made if it does not exist.
        points: name -> (u, v) in pixels, None where the point cannot be seen.
        positions: name -> (x, y, z) in the camera optical frame, metres, or None.

    Raises:
        OSError: the folder cannot be written to.
    """
    tables = {"points": _plain(points, 2)}
    if positions is not None:
        tables["positions"] = _plain(positions, 4)
    body = ",\n".join(
        f'  "{key}": {{\n'
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
        + "\n  }"
        for key, table in tables.items()
    )
    write_atomically(Path(folder) / POINTS_FILE, f"{{\n{body}\n}}\n".encode())


def _plain(
    tracks: Mapping[str, Sequence[Sequence[float] | None]], digits: int
) -> dict[str, list[list[float] | None]]:
    return {
        name: [None if at is None else [round(float(x), digits) for x in at] for at in track]
        for name, track in tracks.items()
    }


def _png(array: npt.NDArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", compress_level=4)
    return buffer.getvalue()


def _read_camera(path: Path) -> PinholeCamera:
    values = read_json(path)
    if missing := [key for key in CAMERA_KEYS if key not in values]:
        raise DataError(f"{path} lacks {', '.join(missing)}")
    if wrong := [key for key in CAMERA_KEYS if not _is_number(values[key])]:
        raise DataError(f"{path}: {wrong[0]} must be a number, got {values[wrong[0]]!r}")
    fields = {field: float(values[key]) for key, field in CAMERA_KEYS.items()}
    try:
        return PinholeCamera(
            fields["fx"],
            fields["fy"],
            fields["cx"],
            fields["cy"],
            int(fields["width"]),
            int(fields["height"]),
        )
    except (InvalidInputError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: {error}") from error


def _read_points(path: Path, frames: int) -> tuple[dict[str, Track], dict[str, Track]]:
    if not path.exists():
        return {}, {}
    content = read_json(path)
    return (
        _tracks(path, content.get("points", {}), frames, 2),
        _tracks(path, content.get("positions", {}), frames, 3),
    )


def _tracks(path: Path, table: Any, frames: int, size: int) -> dict[str, Track]:
    if not isinstance(table, dict):
        raise DataError(f"{path}: expected an object of names, got {type(table).__name__}")
    for name, track in table.items():
        if not isinstance(track, list) or len(track) != frames:
            raise DataError(f"{path}: {name!r} must have one entry per frame ({frames})")
        if not all(at is None or _is_vector(at, size) for at in track):
            raise DataError(f"{path}: every entry of {name!r} must be {size} numbers or null")
    return {
        name: [None if at is None else tuple(map(float, at)) for at in track]
        for name, track in table.items()
    }


def _is_vector(value: Any, size: int) -> bool:
    return isinstance(value, list) and len(value) == size and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    # Bounded, so that neither infinity nor an integer too long for a float passes.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
