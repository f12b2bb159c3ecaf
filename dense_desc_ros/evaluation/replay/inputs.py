"""What a replay is told about a recording: clicks to register, and where points really are."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.references import check_name

LIMITED = ("found", "auc")


class Click(NamedTuple):
    """A point to register: frame, numbered over the whole first recording, and pixel (u, v)."""

    frame: int
    pixel: tuple[float, float]


Truth = Mapping[str, Mapping[int, tuple[float, float] | None]]
"""Name -> frame, numbered as of a Click -> pixel (u, v), or None where the point is hidden."""


def parse_click(text: str) -> tuple[str, Click]:
    """The name and the click of a text like "mug=0:320.5,240".

    Raises:
        InvalidInputError: it is not like that, or has an impossible name.
    """
    number = r"(\d+(?:\.\d*)?)"
    if not (match := re.fullmatch(rf"(.*)=(\d+):{number},{number}", text)):
        raise InvalidInputError(f"{text!r} is not NAME=FRAME:U,V, like mug=0:320,240")
    name, frame, u, v = match.groups()
    return check_name(name), Click(int(frame), (float(u), float(v)))


def read_clicks(path: Path) -> dict[str, Click]:
    """The clicks of a YAML file: {name: {frame: N, pixel: [u, v]}}.

    Raises:
        DataError: it cannot be read, or is not like that.
    """
    clicks = {}
    for name, value in _read_table(path).items():
        if not (isinstance(value, dict) and value.keys() == {"frame", "pixel"}):
            raise DataError(f"{path}: {name} must be {{frame: N, pixel: [u, v]}}, got {value!r}")
        frame = _frame(path, name, value["frame"])
        clicks[name] = Click(frame, _pixel(path, name, value["pixel"]))
    return clicks


def read_truth(path: Path) -> Truth:
    """The truth of a YAML file: {name: {FRAME: [u, v], or null where it is not visible}}.

    Raises:
        DataError: it cannot be read, or is not like that.
    """
    truth = {}
    for name, track in _read_table(path).items():
        if not isinstance(track, dict):
            raise DataError(f"{path}: {name} must be {{FRAME: [u, v] or null}}, got {track!r}")
        truth[name] = {
            _frame(path, name, frame): None if pixel is None else _pixel(path, name, pixel)
            for frame, pixel in track.items()
        }
    return truth


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


def _read_table(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must be a table of names, got {type(content).__name__}")
    try:
        return {check_name(str(name)): value for name, value in content.items()}
    except InvalidInputError as error:
        raise DataError(f"{path}: {error}") from error


def _frame(path: Path, name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise DataError(f"{path}: a frame of {name} must be a number from 0, got {value!r}")
    return value


def _pixel(path: Path, name: str, value: Any) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(each) in (int, float) and math.isfinite(each) for each in value)
    ):
        raise DataError(f"{path}: a pixel of {name} must be [u, v], got {value!r}")
    return float(value[0]), float(value[1])
