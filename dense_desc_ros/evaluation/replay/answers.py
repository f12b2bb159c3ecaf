"""What the pipeline answered for the frames of a replay, as lines of JSON."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError
from dense_desc_ros.grasping.grasp import Grasp, PointPose, Refusal
from dense_desc_ros.pipeline import FrameResult, Timings


@dataclass(frozen=True)
class Answers:
    """The answers for one frame.

    Attributes:
        bag: number of the recording, from 0.
        frame: number of the frame in it, from 0.
        stamp_ns, seconds: its stamp, and its time of recording since the recording's beginning.
        depth_coverage: share of the pixels that have a depth.
        grasps, refusals: see `FrameResult`.
        timings: what differs from run to run.
    """

    bag: int
    frame: int
    stamp_ns: int
    seconds: float
    depth_coverage: float
    grasps: list[Grasp]
    refusals: list[Refusal]
    timings: Timings

    @classmethod
    def of(cls, bag: int, recorded: RecordedFrame, result: FrameResult) -> "Answers":
        """The answers that a result holds."""
        return cls(
            bag,
            recorded.number,
            recorded.frame.stamp_ns,
            recorded.seconds,
            recorded.frame.depth_coverage,
            result.grasps,
            result.refusals,
            result.timings,
        )

    def to_line(self) -> str:
        """One line of JSON, exact; what is NaN becomes null."""
        values = vars(self) | {
            "grasps": [_without_around(grasp) for grasp in self.grasps],
            "refusals": [vars(refusal) for refusal in self.refusals],
            "timings": vars(self.timings),
        }
        return json.dumps(_plain(values), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> "Answers":
        """What `to_line` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else, or a part of that.
        """
        values = json.loads(line)
        grasps = [_grasp(each) for each in values.pop("grasps")]
        refusals = [Refusal(**each) for each in values.pop("refusals")]
        timings = Timings(**values.pop("timings"))
        return cls(**values, grasps=grasps, refusals=refusals, timings=timings)

    def by_name(self) -> dict[str, Grasp | Refusal]:
        """The best grasp of each reference, or why there is none."""
        answers: list[Grasp | Refusal] = [*self.refusals, *reversed(self.grasps)]
        return {each.name: each for each in answers}


def read_answers(path: Path) -> Iterator[Answers]:
    """The answers in a file, one line at a time.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                yield Answers.from_line(line)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def cut_unfinished(path: Path) -> Answers | None:
    """Take a line that was only written in part off the end of a file; returns the last whole one.

    Raises:
        DataError: the file cannot be read or written.
    """
    last, end = None, 0
    try:
        with path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                last, end = Answers.from_line(line), end + len(line)
            file.truncate(end)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot go on with {path}: {error}") from error
    return last


def _without_around(grasp: Grasp) -> dict[str, Any]:
    """Its fields; the points around are many, and known from the reference and the pose."""
    fields = vars(grasp) | {"found": vars(grasp.found)}
    del fields["around"]
    return fields


def _grasp(values: dict[str, Any]) -> Grasp:
    found = values["found"]
    arrays = {name: np.array(found[name]) for name in ("T_camera_point", "pixel")}
    width = values["opening_width"]
    return Grasp(
        values["name"],
        PointPose(**found | arrays),
        np.array(values["T_camera_grasp"]),
        math.nan if width is None else width,
    )


def _plain(value: Any) -> Any:
    """What JSON has: lists for arrays, and null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and math.isnan(value) else value
