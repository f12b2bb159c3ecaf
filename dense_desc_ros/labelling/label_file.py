"""Labels in a YAML file that `replay` reads, kept when somebody else changes them meanwhile.

The pages get and send them as JSON: {name: {"register": frame or null, "points": {"FRAME": [u, v],
or null where it is hidden}}}.
"""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.inputs import Label, TruePixel, parse_labels
from dense_desc_ros.files import write_atomically

HEADER = "# Written by dense-desc label. For dense-desc replay: --registrations and --truth.\n"

Labels = dict[str, Label]


class ChangedError(DataError):
    """A file that somebody else has changed since it was read."""


class LabelFile:
    """A file of labels.

    Args:
        path: of the file; there need not be one yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Labels, str]:
        """The labels, and the revision to give to `write`.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        content = self._content()
        try:
            table = yaml.safe_load(content)
        except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise DataError(f"cannot read {self.path}: {error}") from error
        labels = parse_labels({} if table is None else table, str(self.path))
        whole = {name: _whole(f"{self.path}: {name}", each) for name, each in labels.items()}
        return whole, _revision(content)

    def write(self, labels: Labels, revision: str | None) -> str:
        """Replace the labels; returns the new revision.

        Args:
            labels: all that the file is to hold.
            revision: of the file that is replaced; None for any.

        Raises:
            ChangedError: the file has another revision.
            DataError: it cannot be written; the old one is then untouched.
        """
        if revision is not None and _revision(self._content()) != revision:
            raise ChangedError(f"{self.path} was changed by another program, or in another window")
        table = {name: _to_yaml(label) for name, label in labels.items()}
        text = yaml.safe_dump(table, sort_keys=False, default_flow_style=None)
        content = f"{HEADER}{text}".encode()
        try:
            write_atomically(self.path, content)
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error}") from error
        return _revision(content)

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error}") from error


def to_json(labels: Labels) -> dict[str, Any]:
    """What pages get."""
    return {
        name: {
            "register": None if label.click is None else label.click.frame,
            "points": {str(frame): pixel for frame, pixel in label.track.items()},
        }
        for name, label in labels.items()
    }


def from_json(content: Any, frames: int) -> Labels:
    """What a page sent, of a recording of so many frames.

    Raises:
        DataError: it is something else.
    """
    source = "the labels of the page"
    if not isinstance(content, dict):
        raise DataError(f"{source} must be an object of names, got {type(content).__name__}")
    table = {name: _table(f"{source}: {name}", each) for name, each in content.items()}
    labels = parse_labels(table, source)
    check_frames(labels, frames, source)
    return labels


def check_frames(labels: Labels, frames: int, source: str) -> None:
    """Raise DataError if labels are of frames that a recording of so many does not have."""
    for name, label in labels.items():
        if label.track and (last := max(label.track)) >= frames:
            raise DataError(
                f"{source}: {name} is labelled on frame {last}, but the recording has {frames} "
                "frames: are the labels those of another one?"
            )


def _table(what: str, each: Any) -> dict[Any, Any]:
    """A label as it is in a file."""
    if not isinstance(each, dict) or not isinstance(points := each.get("points"), dict):
        raise DataError(f'{what} must be {{"register": ..., "points": {{...}}}}, got {each!r:.200}')
    track = {int(frame) if frame.isdecimal() else frame: at for frame, at in points.items()}
    register = each.get("register")
    if register is None:
        return track
    if type(register) is not int or track.get(register) is None:
        raise DataError(f"{what} is to be registered on frame {register!r}, where it has no point")
    return {"frame": register, "pixel": track[register]} | track


def _to_yaml(label: Label) -> dict[Any, Any]:
    click = label.click
    begin = {} if click is None else {"frame": click.frame, "pixel": list(click.pixel)}
    track = {f: None if at is None else list(at) for f, at in sorted(label.track.items())}
    return begin | track


def _whole(what: str, label: Label) -> Label:
    """A label whose click is a part of its track."""
    if label.click is None:
        return label
    frame, pixel = label.click
    track: dict[int, TruePixel] = {frame: pixel}
    track |= label.track
    if track[frame] != pixel:
        raise DataError(
            f"{what} is to be registered at {list(pixel)} of frame {frame}, but labelled there as "
            f"{track[frame]}: remove one of them"
        )
    return Label(label.click, track)


def _revision(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
