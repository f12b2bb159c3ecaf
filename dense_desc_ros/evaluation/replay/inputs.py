"""What a replay is told about a recording: clicks to register, and where points really are."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.grasp_messages import matrix_from_values
from dense_desc_ros.names import check_name
from dense_desc_ros.pointing import parse_pixel

LIMITED = ("found", "auc")


class Click(NamedTuple):
    """A point to register: frame, numbered over the whole first recording, and pixel (u, v)."""

    frame: int
    pixel: tuple[float, float]


class Label(NamedTuple):
    """Where to register a point, if that is told, and where it is by frame, None where hidden."""

    click: Click | None
    track: dict[int, "TruePixel"]


TruePixel = tuple[float, float] | None
Truth = Mapping[str, Mapping[int, TruePixel]]
"""Name -> frame, numbered as of a Click -> pixel (u, v), or None where the point is hidden."""


def parse_click(text: str) -> tuple[str, Click]:
    """The name and the click of a text like "mug=0:320.5,240".

    Raises:
        InvalidInputError: it is not like that, or has an impossible name.
    """
    if not (match := re.fullmatch(r"(.*)=(\d+):(.*)", text)):
        raise InvalidInputError(f"{text!r} is not NAME=FRAME:U,V, like mug=0:320,240")
    name, frame, pixel = match.groups()
    return check_name(name), Click(int(frame), parse_pixel(pixel))


def read_clicks(path: Path) -> dict[str, Click]:
    """The clicks of a YAML file: {name: {frame: N, pixel: [u, v]}}, see `read_labels`.

    Raises:
        DataError: it cannot be read, or is not like that.
    """
    clicks = {name: label.click for name, label in read_labels(path).items()}
    if missing := [name for name, click in clicks.items() if click is None]:
        raise DataError(f"{path}: {missing[0]} has no frame and pixel, {{frame: N, pixel: [u, v]}}")
    return {name: click for name, click in clicks.items() if click is not None}


def read_truth(path: Path) -> Truth:
    """The truth of a YAML file: {name: {FRAME: [u, v], or null where it is not visible}}.

    Raises:
        DataError: it cannot be read, or is not like that, see `read_labels`.
    """
    truth = {name: label.track for name, label in read_labels(path).items()}
    if empty := [name for name, track in truth.items() if not track]:
        raise DataError(f"{path}: {empty[0]} must be {{FRAME: [u, v] or null}}, but names no frame")
    return truth


def read_labels(path: Path) -> dict[str, Label]:
    """What is known of each point: clicks, truth, or both in one file.

    {name: {frame: N, pixel: [u, v], FRAME: [u, v], FRAME: null where it is not visible}}

    Raises:
        DataError: it cannot be read, or is not like that.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return parse_labels(content, str(path))


def parse_labels(content: Any, source: str) -> dict[str, Label]:
    """As `read_labels`, of what is in a file, or came from the `source`."""
    if not isinstance(content, dict):
        raise DataError(f"{source} must be a table of names, got {type(content).__name__}")
    labels = {}
    for key, value in content.items():
        try:
            name = check_name(str(key))
        except InvalidInputError as error:
            raise DataError(f"{source}: {error}") from error
        labels[name] = _label(f"{source}: {name}", value)
    return labels


def parse_limit(text: str) -> tuple[str, float]:
    """The figure and its least value of a text like "found=0.95".

    Raises:
        InvalidInputError: it is not like that.
    """
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if name not in LIMITED or not 0 <= value <= 1:
        raise InvalidInputError(f"{text!r} is not {' or '.join(f'{x}=0.95' for x in LIMITED)}")
    return name, value


def parse_pose(text: str) -> FloatArray:
    """The pose (4, 4) of a text like "[x, y, z, qx, qy, qz, qw]", metres.

    Raises:
        InvalidInputError: it is not like that.
    """
    try:
        return matrix_from_values([float(value) for value in yaml.safe_load(text)])
    except (yaml.YAMLError, TypeError, ValueError, InvalidInputError) as error:
        raise InvalidInputError(f"{text!r} is not [x, y, z, qx, qy, qz, qw]: {error}") from error


def _label(what: str, value: Any) -> Label:
    if not isinstance(value, dict):
        raise DataError(
            f"{what} must be {{frame: N, pixel: [u, v]}} or {{N: [u, v] or null}}, got {value!r}"
        )
    clicked = value.keys() & {"frame", "pixel"}
    if len(clicked) == 1:
        raise DataError(f"{what} has {clicked.pop()}, but frame and pixel go together")
    click = Click(_frame(what, value["frame"]), _pixel(what, value["pixel"])) if clicked else None
    track = {
        _frame(what, frame): None if pixel is None else _pixel(what, pixel)
        for frame, pixel in value.items()
        if frame not in ("frame", "pixel")
    }
    return Label(click, track)


def _frame(what: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise DataError(f"{what}: a frame must be a number from 0, got {value!r}")
    return value


def _pixel(what: str, value: Any) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(each) in (int, float) and math.isfinite(each) for each in value)
    ):
        raise DataError(f"{what}: a pixel must be [u, v], got {value!r}")
    return float(value[0]), float(value[1])
