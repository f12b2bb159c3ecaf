"""Files of data sets, read so that whatever is wrong with one is said with its name."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from dense_desc_ros.errors import DataError

PNG_END = b"IEND\xaeB`\x82"
GREY_16_BITS = ("I;16", "I;16B", "I;16L", "I")


def path_inside(folder: Path, name: str) -> Path:
    """The file that a name in somebody's file means, relative to a folder.

    Raises:
        DataError: it is outside of the folder: what was downloaded has no business there. Links
            inside the folder are the user's own and may lead anywhere.
    """
    path = folder / name
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        raise DataError(f"{name!r} is outside of {folder}")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: it is missing, malformed, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def read_pixels(
    path: Path, modes: tuple[str, ...], kind: str, formats: tuple[str, ...] = ("PNG",)
) -> npt.NDArray:
    """The pixels of a picture of one of Pillow's `modes`, which `kind` describes to people.

    Raises:
        DataError: it is missing, broken, of another format, or its pixels are of another mode.
    """
    # Pillow rather than OpenCV: it raises on a truncated file, OpenCV's libpng prints to stderr.
    try:
        with Image.open(path, formats=formats) as image:
            mode = image.mode
            array = np.array(image) if mode in modes else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read image {path}: {error}") from error
    if array is None:
        raise DataError(f"{path} must be {kind}, but its pixels are of Pillow's mode {mode}")
    return array


def read_color(path: Path) -> npt.NDArray[np.uint8]:
    """A PNG or JPEG as (H, W, 3) uint8 RGB; transparency is dropped, grey is repeated.

    Raises:
        DataError: it is missing, broken, or not an 8-bit picture.
    """
    pixels = read_pixels(path, ("RGB", "RGBA", "L"), "8-bit colour", ("PNG", "JPEG"))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8)


def read_depth(path: Path, scale: float) -> npt.NDArray[np.float32]:
    """A 16-bit PNG as (H, W) float32 metres, `scale` metres to a count; 0 is NaN.

    Raises:
        DataError: it is missing, broken, or of another kind.
    """
    counts = read_pixels(path, GREY_16_BITS, "16-bit grey")
    depth = counts.astype(np.float32) * np.float32(scale)
    depth[counts <= 0] = np.nan
    return depth


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """A picture of any kind as (H, W) bool: true where its first channel is not zero.

    Raises:
        DataError: it is missing or broken.
    """
    modes = ("1", "L", "P", "RGB", "RGBA", *GREY_16_BITS)
    pixels = read_pixels(path, modes, "a mask", ("PNG", "JPEG")) != 0
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def read_rgb16(path: Path) -> npt.NDArray[np.uint16]:
    """A 16-bit RGB PNG, (H, W, 3).

    Raises:
        DataError: it is missing, broken, or of another kind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read image {path}: {error}") from error
    pixels = None
    if content.endswith(PNG_END):  # OpenCV decodes a truncated one without an error
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"cannot read image {path}: truncated or not a PNG")
    if pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"{path} must be 16-bit RGB, got {pixels.dtype} {pixels.shape}")
    return np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint16)


def numbers(table: Mapping[str, Any], key: str, count: int, path: Path) -> npt.NDArray[np.float64]:
    """The `count` numbers under a key of a JSON file's table; nested lists are flattened.

    NaN and infinity pass: whether they are an error is the caller's to say.

    Raises:
        DataError: the key is missing, or holds something else.
    """
    if key not in table:
        raise DataError(f"{path}: {key!r} is missing")
    try:
        values = np.asarray(table[key], dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {key!r} must be {count} numbers, got {table[key]!r}") from error
    if values.size != count:
        raise DataError(f"{path}: {key!r} must be {count} numbers, got {values.size}")
    return values


def number(table: Mapping[str, Any], key: str, path: Path, default: float | None = None) -> float:
    """The finite number under a key of a JSON file's table.

    Raises:
        DataError: it is missing and there is no default, or it is something else.
    """
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{path}: {key!r} must be a finite number, got {value!r}")
    return float(value)
