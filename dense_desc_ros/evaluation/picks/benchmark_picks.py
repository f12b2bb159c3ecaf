"""How often objects are picked at the point that was taught, in the simulated cell."""

import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from dense_desc_ros.data.images import write_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.benchmark_grasp import FIRST_UNSEEN
from dense_desc_ros.evaluation.picks.trial import Trial, Trials, teach
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.picking.settings import PickSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.sim.anatomy import TAUGHT
from dense_desc_ros.sim.cell import Cell, CellSettings

Picture = npt.NDArray[np.uint8]
RESULTS, PICTURES = "results.json", "picks.png"
COLUMNS, SHOWN = 6, 24  # picks in the picture
PICTURE_SIZE = (320, 240)
GOOD, BAD, BORDER = (40, 200, 40), (230, 50, 30), 4  # colours, and px
SETTINGS = PickSettings(speed=0.5, straight_speed=0.15)


@dataclass(frozen=True)
class Condition:
    """What is picked, and how it is found.

    Attributes:
        name: of the condition.
        method: one of grasp.METHODS.
        same: the object that was taught on; else others, all of them unseen in trainings.
        distractors: other things around it.
        depth_noise: depth as a camera measures it.
    """

    name: str
    method: str = "registered"
    same: bool = False
    distractors: int = 0
    depth_noise: bool = True


MAIN = Condition("unseen")
CONDITIONS = {
    each.name: each
    for each in (
        MAIN,
        Condition("same", same=True),
        Condition("clutter", distractors=5),
        Condition("exact-depth", depth_noise=False),
        Condition("straight", method="straight"),
        Condition("aligned", method="aligned"),
    )
}


def benchmark_picks(
    model: DescriptorModel,
    scenes: int = 100,
    seed: int = 0,
    category: str = "caps",
    conditions: Sequence[str] = (MAIN.name,),
    out: Path | None = None,
) -> dict[str, Any]:
    """Teach a grasp on one object by a click, then pick others, and judge by the truth.

    A pick succeeds if an object of the category was lifted by 10 cm and is still between the
    fingers a second later.

    Args:
        model: finds the grasps.
        scenes: of each condition; each has another object.
        seed: fixes the scenes.
        category: of objects, one of those that there are taught grasps for.
        conditions: names of CONDITIONS.
        out: folder for results.json and a picture of picks.

    Returns:
        `success_rate`, `semantic_error_mm_median` (where the fingers closed, to where the taught
        grasp is on that object) and `failures` (reason -> count) of the first condition, and the
        same for each of `conditions`, with the `seconds` that each phase takes (simulated) and
        `looking_s` (real).

    Raises:
        InvalidInputError: no scene, or an unknown condition or category.
        DataError: this machine cannot render.
    """
    _check(model, scenes, category, conditions)
    console = Console(stderr=True)
    rows, pictures = [], []
    with Progress(console=console) as progress:
        for name in conditions:
            task = progress.add_task(name, total=scenes)
            trials = []
            for trial, picture in _trials(model, CONDITIONS[name], scenes, seed, category):
                trials.append(trial)
                pictures.append(picture)
                done = sum(each.success for each in trials)
                progress.update(task, advance=1, description=f"{name}: {done} of {len(trials)}")
            rows.append(_figures(CONDITIONS[name], trials))
    first = {key: rows[0][key] for key in ("success_rate", "semantic_error_mm_median", "failures")}
    result = {**first, "category": category, "scenes": scenes, "seed": seed, "conditions": rows}
    if out is not None:
        _write(out, result, pictures)
    return result


def _check(model: DescriptorModel, scenes: int, category: str, conditions: Sequence[str]) -> None:
    if scenes < 1:
        raise InvalidInputError(f"at least one scene is needed, got {scenes}")
    if category not in TAUGHT:
        raise InvalidInputError(f"no grasp is taught for {category!r}: use one of {list(TAUGHT)}")
    if unknown := [name for name in conditions if name not in CONDITIONS]:
        raise InvalidInputError(f"no condition {unknown[0]!r}: there are {', '.join(CONDITIONS)}")
    if "aligned" in conditions and not model.config.network.keypoints:
        raise InvalidInputError("the condition aligned needs weights with keypoints")


def _trials(
    model: DescriptorModel, condition: Condition, scenes: int, seed: int, category: str
) -> Iterator[tuple[Trial, Picture]]:
    """Picks, one after another, each with a picture of how it ended."""
    settings = CellSettings(depth_noise=condition.depth_noise)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark_picks_") as folder,
        Cell(settings) as cell,
    ):
        store = ReferenceStore(folder, model.fingerprint)
        pipeline = GraspPipeline(model, store, PipelineSettings(method=condition.method))
        cell.reset(seed, category, 1, 0, FIRST_UNSEEN)
        lesson = teach(cell, pipeline, next(iter(TAUGHT[category])))
        for number in range(1, scenes + 1):
            which = FIRST_UNSEEN if condition.same else FIRST_UNSEEN + number
            cell.reset(seed + number, category, 1, condition.distractors, which)
            trial = Trials(cell, pipeline, lesson, SETTINGS).run()
            yield trial, _framed(cell.view_outside(PICTURE_SIZE), trial.success)


def _framed(picture: Picture, success: bool) -> Picture:
    color = GOOD if success else BAD
    inner = picture[BORDER:-BORDER, BORDER:-BORDER]
    sides = (BORDER, BORDER, BORDER, BORDER)
    return np.asarray(cv2.copyMakeBorder(inner, *sides, cv2.BORDER_CONSTANT, value=color), np.uint8)


def _figures(condition: Condition, trials: Sequence[Trial]) -> dict[str, Any]:
    errors = [trial.error_mm for trial in trials if np.isfinite(trial.error_mm)]
    phases = {phase for trial in trials for phase in trial.seconds}
    return {
        "condition": condition.name,
        "method": condition.method,
        "picks": len(trials),
        "success_rate": sum(trial.success for trial in trials) / len(trials),
        "semantic_error_mm_median": statistics.median(errors) if errors else None,
        "failures": dict(Counter(trial.failure for trial in trials if not trial.success)),
        "seconds": {
            phase: statistics.median(t.seconds[phase] for t in trials if phase in t.seconds)
            for phase in sorted(phases)
        },
        "looking_s": statistics.median(trial.looking_s for trial in trials),
    }


def _write(out: Path, result: dict[str, Any], pictures: Sequence[Picture]) -> None:
    try:
        write_atomically(out / RESULTS, json.dumps(result, indent=2).encode())
    except OSError as error:
        raise DataError(f"cannot write {out / RESULTS}: {error}") from error
    shown = list(pictures[:SHOWN])
    shown += [np.full_like(shown[0], 255)] * (-len(shown) % COLUMNS)
    rows = [np.hstack(shown[start : start + COLUMNS]) for start in range(0, len(shown), COLUMNS)]
    write_image(out / PICTURES, np.vstack(rows))
