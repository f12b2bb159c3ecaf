"""The figures of a replay, gathered frame by frame: a few numbers of each are kept, no pictures."""

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.evaluation import points
from dense_desc_ros.evaluation.pck import auc, pck, pixel_errors
from dense_desc_ros.evaluation.points import PointResult
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.evaluation.replay.inputs import TruePixel
from dense_desc_ros.grasping.grasp import Grasp, Refusal
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.rgbd_frame import RgbdFrame

JUMP = 0.03  # m from one frame of a still scene to the next
PERCENTILES = (50, 90, 99)
LISTS = ("refusals", "pck")  # figures of a reference that are no numbers
PARTS = ("preprocess", "forward", "matching", "grasp", "total")  # of Timings


class ReferenceFigures:
    """What is known of one reference.

    Attributes:
        name: of the reference.
        scores: of its best match in each frame.
        found: for each frame, whether a grasp was given.
        errors: of what should be seen, pixels of a 640x480 image; infinite if nothing was found.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.scores = array("f")
        self.found = array("b")
        self.errors = array("d")
        self._refusals: Counter[str] = Counter()
        self._results: list[PointResult] = []
        self._scene = -1
        self._points: list[FloatArray] = []
        self._previous: FloatArray | None = None
        self._still, self._squares, self._jumps = 0, 0.0, 0

    def add(self, answer: Grasp | Refusal, scene: int) -> None:
        """Add the answer for the next frame, which belongs to a scene of `StillScenes`."""
        if scene != self._scene:
            self._close_scene()
            self._scene = scene
        self.scores.append(answer.score)
        self.found.append(isinstance(answer, Grasp))
        if isinstance(answer, Refusal):
            self._refusals[kind_of(answer.reason)] += 1
            self._previous = None
            return
        if self._previous is not None:
            self._jumps += bool(np.linalg.norm(answer.point - self._previous) > JUMP)
        self._previous = answer.point
        self._points.append(answer.point)

    def compare(
        self, answer: Grasp | Refusal, truth: TruePixel, frame: RgbdFrame, number: int
    ) -> PointResult:
        """Hold the answer for a frame of that number against the true pixel, None if hidden."""
        error_px = error_mm = math.nan
        if truth is not None:
            error = math.inf
            if isinstance(answer, Grasp):
                place = measure_points(frame, np.array([truth]))[0]
                error_px = math.dist(answer.pixel, truth)
                error_mm = 1e3 * math.dist(answer.point, place)
                size = frame.camera.height, frame.camera.width
                error = float(pixel_errors(answer.pixel, np.array(truth), *size))
            self.errors.append(error)
        is_found = isinstance(answer, Grasp)
        result = PointResult(
            self.name, number, truth is not None, is_found, answer.score, error_px, error_mm
        )
        self._results.append(result)
        return result

    def summarize(self) -> dict[str, Any]:
        """The figures; what cannot be computed is None, and those of the truth may be missing."""
        self._close_scene()
        spread = 1e3 * math.sqrt(self._squares / self._still) if self._still else None
        figures = {
            "found_rate": sum(self.found) / len(self.found),
            "score_median": float(np.median(self.scores)),
            "position_spread_mm": spread,
            "still_frames": self._still,
            "jumps": self._jumps,
            "refusals": dict(self._refusals.most_common()),
        }
        if self._results:
            truth = points.summarize(self._results)
            del truth["points"]
            figures |= truth
            curve = pck(self.errors) if self.errors else None
            figures["auc"] = None if curve is None else auc(curve)
            figures["pck"] = None if curve is None else curve.tolist()
        return figures

    def _close_scene(self) -> None:
        """Add what a still scene tells; one frame alone tells nothing."""
        if len(self._points) > 1:
            places = np.array(self._points)
            self._squares += float(((places - np.median(places, axis=0)) ** 2).sum())
            self._still += len(places)
        self._points, self._previous = [], None


class ReplayFigures:
    """What is known of a replay.

    Args:
        names: of the references.

    Attributes:
        references: figures by name.
        seconds: of each frame, since the beginning; recordings follow on each other.
        coverage: share of each frame's pixels that have a depth.
        milliseconds: PARTS -> what each frame took.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.references = {name: ReferenceFigures(name) for name in names}
        self.seconds, self.coverage = array("d"), array("f")
        self.milliseconds = {part: array("f") for part in PARTS}
        self._begin, self._bag = 0.0, 0

    def add(
        self, answers: Answers, frame: RgbdFrame, scene: int, truth: Mapping[str, TruePixel]
    ) -> dict[str, PointResult]:
        """Add the answers for the next frame.

        Args:
            answers: of every reference.
            frame: what was seen.
            scene: the number that `StillScenes` gives it.
            truth: name -> pixel, None where hidden, of those that are known in this frame.

        Returns:
            name -> how the answer compares with the truth, of the same.
        """
        found, results = answers.by_name(), {}
        for name, figures in self.references.items():
            answer = found[name]
            figures.add(answer, scene)
            if name in truth:
                results[name] = figures.compare(answer, truth[name], frame, answers.frame)
        if answers.bag != self._bag:
            self._bag, self._begin = answers.bag, self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(self._begin + answers.seconds)
        self.coverage.append(answers.depth_coverage)
        for part in PARTS:
            self.milliseconds[part].append(1e3 * getattr(answers.timings, part))
        return results

    def summarize(self) -> dict[str, Any]:
        """`frames`, `references` (name -> figures), `depth_coverage` (the median), `latency_ms`."""
        return {
            "frames": len(self.seconds),
            "references": {name: each.summarize() for name, each in self.references.items()},
            "depth_coverage": float(np.median(self.coverage)),
            "latency_ms": {
                part: {
                    f"p{percentile}": float(np.percentile(values, percentile))
                    for percentile in PERCENTILES
                }
                for part, values in self.milliseconds.items()
            },
        }


def as_rows(references: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of references as rows of a table, all with the same keys."""
    keys = dict.fromkeys(key for each in references.values() for key in each if key not in LISTS)
    return [
        {"reference": name, **{key: each.get(key) for key in keys}}
        for name, each in references.items()
    ]


def kind_of(reason: str) -> str:
    """A reason without its numbers, so that like reasons are counted together."""
    return re.sub(r"-?\d+(\.\d+)?", "…", reason)


def shortfalls(figures: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """Which references fall short of the limits, see `replay_inputs.parse_limit`, in words.

    Args:
        figures: what `ReplayFigures.summarize` returns.
        limits: figure -> least value. A figure that could not be computed falls short.
    """
    problems = []
    for name, reference in figures["references"].items():
        for figure, least in limits.items():
            value = reference.get({"found": "found_rate"}.get(figure, figure))
            if value is None or value < least:
                text = "unknown" if value is None else f"{value:.3f}"
                problems.append(f"{name}: {figure} is {text}, less than {least:g}")
    return problems
