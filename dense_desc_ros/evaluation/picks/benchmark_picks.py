"""How often objects are picked at the point that was taught, in the simulated cell.

Stopped or killed, it goes on where it was: each pick is a file.
"""

import json
import math
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

from dense_desc_ros.data.images import read_image, write_image
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.benchmark_grasp import FIRST_UNSEEN
from dense_desc_ros.evaluation.picks.trial import Trial, Trials, teach
from dense_desc_ros.evaluation.resuming import begin
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.picking.settings import PickSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.sim.anatomy import TAUGHT
from dense_desc_ros.sim.cell import Cell, CellSettings

Picture = npt.NDArray[np.uint8]
RUN, RESULTS, PICTURES = "run.json", "results.json", "picks.png"
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
    out: Path,
    scenes: int = 100,
    seed: int = 0,
    category: str = "caps",
    conditions: Sequence[str] = (MAIN.name,),
    resume: bool = False,
) -> dict[str, Any]:
    """Teach a grasp on one object by a click, then pick others, and judge by the truth.

    A pick succeeds if an object of the category was lifted by 10 cm and is still between the
    fingers a second later.

    Args:
        model: finds the grasps.
        out: folder of results.json, a picture of picks, and a folder for each condition with a
            file and a picture for each pick.
        scenes: of each condition; each has another object.
        seed: fixes the scenes.
        category: of objects, one of those that there are taught grasps for.
        conditions: names of CONDITIONS.
        resume: go on with what is in `out`; there may be more scenes or other conditions than
            there were.

    Returns:
        `success_rate`, `semantic_error_mm_median` (where the fingers closed, to where the taught
        grasp is on that object) and `failures` (reason -> count) of the first condition, and the
        same for each of `conditions`, with the `seconds` that each phase takes (simulated) and
        `looking_s` (real).

    Raises:
        InvalidInputError: no scene, an unknown condition or category, or `out` was begun with
            another seed, category or other weights.
        DataError: this machine cannot render, `out` holds a benchmark already and is not to be
            resumed, or it cannot be written.
    """
    _check(model, scenes, category, conditions)
    run = {"weights": model.fingerprint, "seed": seed, "category": category}
    begin(out / RUN, run, resume)
    rows, files = [], []
    with Progress(console=Console(stderr=True)) as progress:
        for name in conditions:
            task = progress.add_task(name, total=scenes)
            trials: list[dict[str, Any]] = []
            for file in _trials(model, CONDITIONS[name], scenes, seed, category, out / name):
                files.append(file)
                trials.append(read_json(file))
                done = sum(trial["success"] for trial in trials)
                progress.update(task, advance=1, description=f"{name}: {done} of {len(trials)}")
            rows.append(_figures(CONDITIONS[name], trials))
    first = {key: rows[0][key] for key in ("success_rate", "semantic_error_mm_median", "failures")}
    result = {**first, **run, "scenes": scenes, "conditions": rows}
    write_atomically(out / RESULTS, json.dumps(result, indent=1).encode())
    write_image(out / PICTURES, _side_by_side([_picture_of(file) for file in files[:SHOWN]]))
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
    model: DescriptorModel, condition: Condition, scenes: int, seed: int, category: str, out: Path
) -> Iterator[Path]:
    """Files of picks, one after another; those that are there already first."""
    files = [out / f"{number:04d}.json" for number in range(1, scenes + 1)]
    done = [file for file in files if file.is_file()]
    yield from done
    if len(done) == scenes:
        return
    settings = CellSettings(depth_noise=condition.depth_noise)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark_picks_") as folder,
        Cell(settings) as cell,
    ):
        store = ReferenceStore(folder, model.fingerprint)
        pipeline = GraspPipeline(model, store, PipelineSettings(method=condition.method))
        cell.reset(seed, category, 1, 0, FIRST_UNSEEN)
        lesson = teach(cell, pipeline, next(iter(TAUGHT[category])))
        for number, file in enumerate(files, start=1):
            if file in done:
                continue
            which = FIRST_UNSEEN if condition.same else FIRST_UNSEEN + number
            cell.reset(seed + number, category, 1, condition.distractors, which)
            trial = Trials(cell, pipeline, lesson, SETTINGS).run()
            write_image(_picture_of(file), _framed(cell.view_outside(PICTURE_SIZE), trial.success))
            write_atomically(file, json.dumps(_record(trial), indent=1).encode())
            yield file


def _picture_of(file: Path) -> Path:
    return file.with_suffix(".png")


def _framed(picture: Picture, success: bool) -> Picture:
    color = GOOD if success else BAD
    inner = picture[BORDER:-BORDER, BORDER:-BORDER]
    sides = (BORDER, BORDER, BORDER, BORDER)
    return np.asarray(cv2.copyMakeBorder(inner, *sides, cv2.BORDER_CONSTANT, value=color), np.uint8)


def _record(trial: Trial) -> dict[str, Any]:
    return {
        "success": trial.success,
        "failure": trial.failure,
        "message": trial.result.message,
        "error_mm": trial.error_mm if math.isfinite(trial.error_mm) else None,
        "seconds": trial.seconds,
        "looking_s": trial.looking_s,
    }


def _figures(condition: Condition, trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    errors = [trial["error_mm"] for trial in trials if trial["error_mm"] is not None]
    seconds = [trial["seconds"] for trial in trials]
    return {
        "condition": condition.name,
        "method": condition.method,
        "picks": len(trials),
        "success_rate": sum(trial["success"] for trial in trials) / len(trials),
        "semantic_error_mm_median": statistics.median(errors) if errors else None,
        "failures": dict(Counter(trial["failure"] for trial in trials if not trial["success"])),
        "seconds": {
            phase: statistics.median(each[phase] for each in seconds if phase in each)
            for phase in sorted({phase for each in seconds for phase in each})
        },
        "looking_s": statistics.median(trial["looking_s"] for trial in trials),
    }


def _side_by_side(files: Sequence[Path]) -> Picture:
    shown = [read_image(file) for file in files]
    shown += [np.full_like(shown[0], 255)] * (-len(shown) % COLUMNS)
    rows = [np.hstack(shown[start : start + COLUMNS]) for start in range(0, len(shown), COLUMNS)]
    return np.vstack(rows)
