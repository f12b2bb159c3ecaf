"""Replays of the same recordings held against each other, frame by frame."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.evaluation.block_bootstrap import (
    MEAN,
    MEDIAN,
    RMS,
    Difference,
    Statistic,
    paired_difference,
)
from dense_desc_ros.evaluation.points import NEAR_PX
from dense_desc_ros.evaluation.replay.compare_runs import UNITS, Run

BETTER, WORSE, UNCLEAR, EQUAL = "better", "worse", "not clear", "equal"
SHOWN = 8  # frames of a comparison
APART_SECONDS = 1.0  # so that these are not all of one moment
APART_MM = 30.0  # from here on two places are more different than alike
OVERALL = "all references"


class Figure(NamedTuple):
    """A figure of a run: of which values, and whether more (1) or less (-1) of it is better.

    What has no direction, 0, is not on the same scale in two runs.
    """

    statistic: Statistic
    direction: int


FIGURES = {
    "found_rate": Figure(MEAN, 1),
    "score": Figure(MEAN, 0),
    "auc": Figure(MEAN, 1),
    "near_rate": Figure(MEAN, 1),
    "hidden_refused_rate": Figure(MEAN, 1),
    **{f"error_{unit}": Figure(MEDIAN, -1) for unit in UNITS},
    "position_spread_mm": Figure(RMS, -1),
    "orientation_spread_deg": Figure(RMS, -1),
    "latency_ms": Figure(MEDIAN, -1),
}
PER_FRAME = ("latency_ms",)  # the same for all references


def compare_runs(runs: Sequence[Run], notes: Sequence[str]) -> dict[str, Any]:
    """The figures of runs over the same frames and references, and how they differ from the first.

    Args:
        runs: what `share` returns.
        notes: likewise.

    Returns:
        `frames`, `references` (names), `notes`, `runs` (for each its folder, weights and figures)
        and `comparisons` (of each run but the first with that). Figures are by reference, and those
        of OVERALL under that name; what cannot be computed is left out. Pure JSON.
    """
    first = runs[0]
    return {
        "frames": len(first),
        "references": first.names,
        "notes": list(notes),
        "runs": [
            {
                "run": str(run.folder),
                "weights": run.about["weights"],
                "fingerprint": run.about["fingerprint"],
                "figures": _figures(run, first.scenes),
            }
            for run in runs
        ],
        "comparisons": [_comparison(first, run) for run in runs[1:]],
    }


def _figures(run: Run, scenes: npt.NDArray[np.int64]) -> dict[str, dict[str, float]]:
    values = _values(run, scenes, run.found)
    return {
        name: {
            figure: FIGURES[figure].statistic.figure(known)
            for figure, films in values.items()
            if _is_of(figure, name)
            and len(known := films[:, columns][np.isfinite(films[:, columns])])
        }
        for name, columns in _columns(run).items()
    }


def _comparison(first: Run, run: Run) -> dict[str, Any]:
    both = first.found & run.found
    before, after = (_values(each, first.scenes, both) for each in (first, run))
    differences: dict[str, dict[str, Any]] = {}
    counts, apart = {}, {}
    places_mm, angles_deg = _apart(first, run)
    for name, columns in _columns(run).items():
        differences[name] = {}
        for figure, (statistic, direction) in FIGURES.items():
            films = before[figure][:, columns], after[figure][:, columns]
            difference = paired_difference(*films, first.bags, statistic)
            if difference is not None and _is_of(figure, name):
                verdict = _verdict(difference, direction)
                differences[name][figure] = difference._asdict() | {"verdict": verdict}
        a, b = first.found[:, columns], run.found[:, columns]
        counts[name] = {
            "both": int((a & b).sum()),
            "only_first": int((a & ~b).sum()),
            "only_this": int((~a & b).sum()),
            "neither": int((~a & ~b).sum()),
        }
        if both[:, columns].any():
            apart[name] = {
                "median_mm": float(np.nanmedian(places_mm[:, columns])),
                "median_deg": float(np.nanmedian(angles_deg[:, columns])),
            }
    return {
        "run": str(run.folder),
        "against": str(first.folder),
        "differences": differences,
        "found": counts,
        "apart": apart,
        "most_different": _most_different(first, run),
    }


def _columns(run: Run) -> dict[str, list[int]]:
    """Name -> columns of its values, of OVERALL and of each reference."""
    each = {name: [column] for column, name in enumerate(run.names)}
    return {OVERALL: list(range(len(run.names)))} | each


def _is_of(figure: str, name: str) -> bool:
    return name == OVERALL or figure not in PER_FRAME


def _values(
    run: Run, scenes: npt.NDArray[np.int64], steady: npt.NDArray[np.bool_]
) -> dict[str, FloatArray]:
    """Figure -> the values (F, N) that it is of, NaN where there are none.

    Spreads are about the middle of a still scene, of those answers that are `steady` (F, N).
    """
    hidden = np.where(run.visible == 0, ~run.found, np.nan)
    near = np.where(run.visible == 1, run.found & (run.errors["px"] <= NEAR_PX), np.nan)
    places, angles = _deviations(run.poses, scenes, steady)
    return {
        "found_rate": run.found.astype(float),
        "score": run.scores,
        "auc": run.pck,
        "near_rate": near,
        "hidden_refused_rate": hidden,
        **{f"error_{unit}": values for unit, values in run.errors.items()},
        "position_spread_mm": places,
        "orientation_spread_deg": angles,
        "latency_ms": np.broadcast_to(run.latency_ms[:, None], run.found.shape),
    }


def _deviations(
    poses: FloatArray, scenes: npt.NDArray[np.int64], steady: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """How far poses (F, N, 4, 4) are from the middle of their scene, mm and degrees (F, N)."""
    places, angles = np.full(steady.shape, np.nan), np.full(steady.shape, np.nan)
    for scene in np.unique(scenes):
        in_scene = np.flatnonzero(scenes == scene)
        for column in range(steady.shape[1]):
            rows = in_scene[steady[in_scene, column]]
            if len(rows) < 2:
                continue
            points = poses[rows, column, :3, 3]
            places[rows, column] = 1e3 * np.linalg.norm(points - np.median(points, axis=0), axis=1)
            turns = Rotation.from_matrix(poses[rows, column, :3, :3])
            angles[rows, column] = np.degrees((turns.mean().inv() * turns).magnitude())
    return places, angles


def _apart(first: Run, run: Run) -> tuple[FloatArray, FloatArray]:
    """How far the poses of two runs are from each other, mm and degrees; NaN without both."""
    both = first.found & run.found
    places, angles = np.full(both.shape, np.nan), np.full(both.shape, np.nan)
    a, b = first.poses[both], run.poses[both]
    if both.any():
        places[both] = 1e3 * np.linalg.norm(a[:, :3, 3] - b[:, :3, 3], axis=1)
        turns = Rotation.from_matrix(a[:, :3, :3]).inv() * Rotation.from_matrix(b[:, :3, :3])
        angles[both] = np.degrees(turns.magnitude())
    return places, angles


def _verdict(difference: Difference, direction: int) -> str | None:
    """Whether the second run is better, as surely as the interval tells."""
    if direction == 0 or difference.low is None or difference.high is None:
        return None
    if difference.low == difference.high == 0:
        return EQUAL
    if difference.low <= 0 <= difference.high:
        return UNCLEAR
    return BETTER if difference.value * direction > 0 else WORSE


def _most_different(first: Run, run: Run) -> list[dict[str, Any]]:
    """The frames in which the runs differ most, and the reference for which they do."""
    amount = disagreement(first, run)
    chosen: list[int] = []
    for row in np.argsort(-amount.max(axis=1), kind="stable"):
        if amount[row].max() <= 0 or len(chosen) == SHOWN:
            break
        if all(
            first.bags[row] != first.bags[other]
            or abs(first.seconds[row] - first.seconds[other]) >= APART_SECONDS
            for other in chosen
        ):
            chosen.append(int(row))
    return [
        {
            "bag": int(first.bags[row]),
            "frame": int(first.frames[row]),
            "stamp_ns": first.keys[row].stamp_ns,
            "seconds": float(first.seconds[row]),
            "reference": first.names[amount[row].argmax()],
            "disagreement": float(amount[row].max()),
        }
        for row in chosen
    ]


def disagreement(first: Run, run: Run) -> FloatArray:
    """(F, N) from 0, the same, to 1: one is right and the other wrong, or only one found anything.

    Where the truth is known, the difference of their shares of k = 1...100 px for which they are
    right; else by how far the poses are apart, 1/2 for APART_MM.
    """
    places = _apart(first, run)[0]
    one_found = (first.found != run.found).astype(float)
    amount = np.where(np.isfinite(places), places / (places + APART_MM), one_found)
    by_truth = np.abs(first.pck - run.pck)
    return np.where(np.isfinite(by_truth), by_truth, amount)
