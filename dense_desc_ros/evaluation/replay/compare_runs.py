"""Runs of `dense-desc replay`, read back as arrays, and what several of them share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.pck import DIAGONAL, ROUNDING, THRESHOLDS
from dense_desc_ros.evaluation.replay.answers import Answers, read_answers
from dense_desc_ros.evaluation.replay.measures import MEASURES, Measures, read_measures
from dense_desc_ros.evaluation.replay.report import RESULTS
from dense_desc_ros.evaluation.replay.run import DESCRIPTION, FRAMES
from dense_desc_ros.grasping.grasp import Grasp

UNITS = ("px", "mm", "deg")


class Key(NamedTuple):
    """What tells a frame: the name and the size of its recording, and its stamp."""

    bag: str
    bag_bytes: int
    stamp_ns: int


@dataclass(frozen=True)
class Run:
    """The answers of a replay for F frames and N references, in order of time.

    Attributes:
        folder: where it is.
        about: `weights`, `fingerprint`, and what else tells how it was run.
        names: of the references.
        keys: of the frames.
        lines: (F,) which line of the run's files each frame is.
        bags: (F,) number of the recording.
        frames: (F,) number of the frame in it.
        seconds: (F,) in it.
        scenes: (F,) see `StillScenes`.
        sizes: (F, 2) width and height, pixels.
        latency_ms: (F,) of the whole of a frame.
        found: (F, N), whether there was a grasp.
        scores: (F, N).
        poses: (F, N, 4, 4), T_camera_point; NaN where there was no grasp.
        truth: (F, N, 2) true pixel; NaN if hidden or not known.
        visible: (F, N) 1 or 0 as the truth tells, else NaN.
        errors: unit -> (F, N) distance to the truth; NaN if there is none.
    """

    folder: Path
    about: dict[str, Any]
    names: list[str]
    keys: list[Key]
    lines: npt.NDArray[np.int64]
    bags: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    seconds: FloatArray
    scenes: npt.NDArray[np.int64]
    sizes: FloatArray
    latency_ms: FloatArray
    found: npt.NDArray[np.bool_]
    scores: FloatArray
    poses: FloatArray
    truth: FloatArray
    visible: FloatArray
    errors: dict[str, FloatArray]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def pck(self) -> FloatArray:
        """(F, N) share of k = 1...100 px for which an answer is right; NaN where none should be."""
        scale = DIAGONAL / np.hypot(*self.sizes.T)[:, None]
        errors = np.where(self.found, self.errors["px"] * scale, np.inf)
        curve = (errors[..., None] <= THRESHOLDS + ROUNDING).mean(axis=-1)
        return np.where(self.visible == 1, curve, np.nan)

    def take(self, keys: Sequence[Key], names: Sequence[str]) -> "Run":
        """Only some frames and references, in that order."""
        place = {key: n for n, key in enumerate(self.keys)}
        rows = np.array([place[key] for key in keys])
        columns = [self.names.index(name) for name in names]
        per_frame = ("lines", "bags", "frames", "seconds", "scenes", "sizes", "latency_ms")
        per_answer = ("found", "scores", "poses", "truth", "visible")
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in per_frame}
        chosen |= {name: getattr(self, name)[rows][:, columns] for name in per_answer}
        errors = {unit: values[rows][:, columns] for unit, values in self.errors.items()}
        return replace(self, names=list(names), keys=list(keys), errors=errors, **chosen)


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        DataError: it is no folder of a replay, or the replay did not come to its end.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: give what `dense-desc replay --out` wrote")
    if not (folder / DESCRIPTION).is_file():
        raise DataError(
            f"{folder} is no run of `dense-desc replay`: there is no {DESCRIPTION} in it"
        )
    unfinished = f"{folder} is not finished: go on with `dense-desc replay ... --resume`"
    for name in (FRAMES, RESULTS, MEASURES):
        if not (folder / name).is_file():
            raise DataError(f"{unfinished} ({name} is missing)")
    described, results = read_json(folder / DESCRIPTION), read_json(folder / RESULTS)
    try:
        bags = [(str(bag["name"]), int(bag["bytes"])) for bag in described["bags"]]
        names = list(results["references"])
        about = {key: str(results[key]) for key in ("weights", "fingerprint")}
        about |= {key: described[key] for key in ("selection", "settings", "registered")}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"cannot read {folder}: {DESCRIPTION} or {RESULTS} is of something else, or of another "
            f"version ({error!r})"
        ) from error
    rows = _Rows(bags, names)
    answers, measures = read_answers(folder / FRAMES), read_measures(folder / MEASURES)
    for line, (answer, measure) in enumerate(zip_longest(answers, measures)):
        if answer is None or measure is None:
            raise DataError(f"{unfinished} ({MEASURES} is not of as many frames as {FRAMES})")
        try:
            rows.add(line, answer, measure)
        except (KeyError, IndexError, ValueError) as error:
            raise DataError(f"cannot read {folder}: line {line + 1} is wrong: {error!r}") from error
    if not rows.keys:
        raise DataError(f"{unfinished} ({FRAMES} is empty)")
    return rows.to_run(folder, about)


class _Rows:
    """Gathers a run, frame by frame."""

    def __init__(self, bags: list[tuple[str, int]], names: list[str]) -> None:
        self._bags, self._names = bags, names
        self.keys: list[Key] = []
        self._values: dict[str, list[Any]] = {}

    def add(self, line: int, answers: Answers, measures: Measures) -> None:
        by_name = answers.by_name()
        found = [by_name[name] for name in self._names]
        truth = [measures.truth.get(name) for name in self._names]
        nowhere = np.full((4, 4), np.nan)
        self.keys.append(Key(*self._bags[answers.bag], answers.stamp_ns))
        values: dict[str, Any] = {
            "lines": line,
            "bags": answers.bag,
            "frames": answers.frame,
            "seconds": answers.seconds,
            "scenes": measures.scene,
            "sizes": (measures.width, measures.height),
            "latency_ms": 1e3 * answers.timings.total,
            "found": [isinstance(each, Grasp) for each in found],
            "scores": [each.score for each in found],
            "poses": [
                each.found.T_camera_point if isinstance(each, Grasp) else nowhere for each in found
            ],
            "truth": [
                (np.nan, np.nan) if not each or not each.pixel else each.pixel for each in truth
            ],
            "visible": [np.nan if each is None else each.pixel is not None for each in truth],
        }
        for unit in UNITS:
            values[unit] = [np.nan if not each else each.errors.get(unit, np.nan) for each in truth]
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def to_run(self, folder: Path, about: dict[str, Any]) -> Run:
        arrays = {name: np.array(values) for name, values in self._values.items()}
        errors = {unit: arrays.pop(unit) for unit in UNITS}
        return Run(folder, about, self._names, self.keys, errors=errors, **arrays)


def share(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Runs reduced to the frames and references that all of them have, and what is left out.

    Raises:
        InvalidInputError: there is no such frame, or no such reference.
    """
    notes = []
    names = [name for name in runs[0].names if all(name in run.names for run in runs)]
    if not names:
        listed = "; ".join(f"{run.folder}: {', '.join(run.names)}" for run in runs)
        raise InvalidInputError(f"the runs have no reference in common: {listed}")
    unique = [[key for key, count in Counter(run.keys).items() if count == 1] for run in runs]
    everywhere = set(unique[0]).intersection(*unique[1:])
    if not everywhere:
        listed = "; ".join(f"{run.folder}: {', '.join(_bags(run))}" for run in runs)
        raise InvalidInputError(
            f"the runs have no frame in common, of the same recording and stamp: {listed}"
        )
    for run, keys in zip(runs, unique, strict=True):
        if others := [name for name in run.names if name not in names]:
            notes.append(f"only in some runs, not compared: {', '.join(others)} of {run.folder}")
        if repeated := len(run.keys) - len(keys):
            notes.append(f"{repeated} frames of {run.folder} have a stamp that others have as well")
        if missing := len(keys) - len(everywhere):
            notes.append(f"{missing} of {len(run)} frames of {run.folder} are not in all runs")
    shared = [run.take([k for k in runs[0].keys if k in everywhere], names) for run in runs]
    shared, left_out = _with_same_truth(shared)
    if left_out:
        notes.append(f"the runs were not held against the same truth for {left_out} points")
    return shared, notes + _differences(shared)


def _with_same_truth(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """The runs without the truth that is not the same in all, and how many points that is of."""
    first = runs[0]
    same, known = np.isfinite(first.visible), np.isfinite(first.visible)
    for run in runs[1:]:
        places = np.isclose(first.truth, run.truth, equal_nan=True).all(axis=-1)
        same = same & (first.visible == run.visible) & places
        known = known | np.isfinite(run.visible)
    kept = [
        replace(
            run,
            visible=np.where(same, run.visible, np.nan),
            errors={unit: np.where(same, values, np.nan) for unit, values in run.errors.items()},
        )
        for run in runs
    ]
    return kept, int((known & ~same).sum())


def _bags(run: Run) -> list[str]:
    return [f"{name} ({size} bytes)" for name, size in dict.fromkeys(k[:2] for k in run.keys)]


def _differences(runs: Sequence[Run]) -> list[str]:
    """What differs beside the weights, so that other differences may come from that."""
    first, notes = runs[0], []
    for run in runs[1:]:
        for what in ("settings", "registered"):
            before, after = first.about[what], run.about[what]
            for key in sorted(before.keys() | after.keys()):
                values = before.get(key), after.get(key)
                if values[0] != values[1] and (what == "settings" or key in run.names):
                    text = f"{key} is {values[0]} in {first.folder}, {values[1]} in {run.folder}"
                    notes.append(f"{what} differ: {text}")
    return notes
