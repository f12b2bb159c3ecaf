"""What was found, held against points that are known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from dense_desc_ros.data.frames import Track
from dense_desc_ros.evaluation.auroc import auroc

NEAR_PX = 20.0


class Sighting(NamedTuple):
    """What was answered for a reference in a frame.

    `score` of the best match; `pixel` (u, v) and `point` (x, y, z) in the camera frame, metres, of
    the grasp, or None when none was given.
    """

    score: float
    pixel: tuple[float, ...] | None
    point: tuple[float, ...] | None


@dataclass(frozen=True)
class PointResult:
    """A reference in a frame: where it should be, and how far off the answer was.

    Attributes:
        name, frame: which.
        visible: whether the truth says that it can be seen.
        found: a grasp was given.
        score: of the best match.
        error_px: distance to the truth in the image; NaN if hidden or not found.
        error_mm: distance to the truth in space; NaN if that is not known either.
    """

    name: str
    frame: int
    visible: bool
    found: bool
    score: float
    error_px: float
    error_mm: float

    @property
    def near(self) -> bool:
        """Visible, found, and within NEAR_PX of the truth."""
        return self.error_px <= NEAR_PX


def compare(
    points: Mapping[str, Track],
    positions: Mapping[str, Track],
    answers: Mapping[int, Mapping[str, Sighting]],
) -> list[PointResult]:
    """Hold answers against the truth.

    Args:
        points: name -> (u, v) per frame, None where hidden.
        positions: name -> (x, y, z) per frame, camera frame, metres; may lack names.
        answers: frame -> name -> what was answered.
    """
    results = []
    for frame, sightings in sorted(answers.items()):
        for name, sighting in sorted(sightings.items()):
            truth = points[name][frame]
            place = positions[name][frame] if name in positions else None
            results.append(
                PointResult(
                    name,
                    frame,
                    visible=truth is not None,
                    found=sighting.pixel is not None,
                    score=sighting.score,
                    error_px=_distance(sighting.pixel, truth),
                    error_mm=1e3 * _distance(sighting.point, place),
                )
            )
    return results


def summarize(results: Sequence[PointResult]) -> dict[str, Any]:
    """The figures of a comparison.

    Returns:
        `visible` and `near` (how many points, and of them found within NEAR_PX), `hidden` and
        `hidden_refused`, `median_px`, `median_mm`, `score_visible` and `score_hidden` (means),
        `auroc` (how surely the score tells visible from hidden), `points` (every single one). What
        cannot be computed is None.
    """
    seen = [r for r in results if r.visible]
    hidden = [r for r in results if not r.visible]
    scores = np.array([r.score for r in seen]), np.array([r.score for r in hidden])
    return {
        "visible": len(seen),
        "near": sum(r.near for r in seen),
        "hidden": len(hidden),
        "hidden_refused": sum(not r.found for r in hidden),
        "median_px": _or_none(_nanmedian([r.error_px for r in seen])),
        "median_mm": _or_none(_nanmedian([r.error_mm for r in seen])),
        "score_visible": _or_none(scores[0].mean()) if seen else None,
        "score_hidden": _or_none(scores[1].mean()) if hidden else None,
        "auroc": auroc(*scores) if seen and hidden else None,
        "points": [
            {k: _or_none(v) if isinstance(v, float) else v for k, v in asdict(r).items()}
            for r in results
        ],
    }


def as_table(results: Sequence[PointResult]) -> Table:
    """A row for each reference, a column for each frame: pixel error, millimetres, score."""
    frames = sorted({r.frame for r in results})
    table = Table("reference", *(f"frame {frame}" for frame in frames))
    cells = {(r.name, r.frame): _cell(r) for r in results}
    for name in sorted({r.name for r in results}):
        table.add_row(name, *(cells.get((name, frame), "") for frame in frames))
    return table


def _cell(result: PointResult) -> str:
    score = f"({result.score:.2f})"
    if not result.visible:
        return f"[dim]hidden, {'[red]found' if result.found else 'refused'} {score}"
    if not result.found:
        return f"[red]refused[/] {score}"
    error = f"{result.error_px:.0f} px"
    if math.isfinite(result.error_mm):
        error += f" {result.error_mm:.0f} mm"
    return f"[{'green' if result.near else 'red'}]{error}[/] {score}"


def _distance(a: Sequence[float] | None, b: Sequence[float] | None) -> float:
    return math.nan if a is None or b is None else math.dist(a, b)


def _nanmedian(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
