"""Generating data sets: one scene per instance and hundred views, several at a time."""

import json
import multiprocessing
import os
import queue
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.bop_writer import BopWriter, write_camera
from dense_desc_ros.data.contact_sheet import write_contact_sheet
from dense_desc_ros.data.generate_scene import (
    SCENE_VIEWS,
    GenerateConfig,
    SceneJob,
    set_up_worker,
    write_scene,
)
from dense_desc_ros.data.instances import Instances
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.data.rendering.cycles import CyclesConfig, check_cycles
from dense_desc_ros.data.rendering.sampling import FOCAL_WIDTH
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.files import write_atomically

SETTINGS_FILE = "generate.json"


@dataclass(frozen=True)
class GenerateResult:
    """Frames written now, scenes that were there already, and seconds that it took."""

    frames: int
    scenes_kept: int
    seconds: float


def generate(
    config: GenerateConfig, out: Path, workers: int = 1, cycles: CyclesConfig | None = None
) -> GenerateResult:
    """Write a BOP data set; what an earlier call with the same settings finished is kept.

    Args:
        config: what to generate.
        out: folder of the data set. Machines that share it may each write instances of their own.
        workers: processes at work at the same time.
        cycles: how Cycles renders, if it does.

    Raises:
        InvalidInputError: settings out of range, or others than those the folder was begun with.
        DataError: this machine cannot render, the folder cannot be written to, or a mesh is broken.
    """
    if workers < 1:
        raise InvalidInputError(f"at least one worker is needed, got {workers}")
    out, cycles = Path(out), cycles or CyclesConfig()
    instances = Instances(config.objects, config.mesh_size)
    instances.check(config.first_instance, config.instances)
    if config.renderer == "cycles":
        check_cycles(cycles)
    start = time.monotonic()
    _begin(config, out)
    writer = BopWriter(out, config.split)
    numbers = range(config.first_instance, config.first_instance + config.instances)
    chunks = range(-(-config.views // SCENE_VIEWS))
    jobs = [SceneJob(config, out, cycles, i, chunk) for i in numbers for chunk in chunks]
    todo = [job for job in jobs if not writer.is_complete(job.number)]
    if todo:
        _run(todo, min(workers, len(todo)))
        write_contact_sheet(out / config.split, out / "contact_sheet.png")
    frames = sum(len(job.views) for job in todo)
    return GenerateResult(frames, len(jobs) - len(todo), time.monotonic() - start)


def _begin(config: GenerateConfig, out: Path) -> None:
    """Record the settings, or compare them with those recorded."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    path = out / SETTINGS_FILE
    if path.exists():
        known = read_json(path)
        for key in sorted(settings.keys() - {"instances", "first_instance"}):
            if known.get(key) != settings[key]:
                raise InvalidInputError(
                    f"{path}: {key!r} was {known.get(key)!r} when this data set was begun, not "
                    f"{settings[key]!r}: use the same settings or another folder"
                )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists, but is not a data set begun here: choose another folder")
    try:
        write_atomically(path, json.dumps(settings, indent=1).encode() + b"\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}") from error
    width, height = config.size
    focal = sum(config.view.focal) / 2 * width / FOCAL_WIDTH
    camera = PinholeCamera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    write_camera(out, camera)  # the middle of those that the images' own are drawn around


def _run(jobs: list[SceneJob], workers: int) -> None:
    """Write scenes in processes of their own, with a progress bar."""
    context = multiprocessing.get_context("spawn")
    done: multiprocessing.Queue[int] = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // workers)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(workers, context, set_up_worker, (done, threads)) as pool,
    ):
        bar = progress.add_task("frames", total=sum(len(job.views) for job in jobs))
        futures = [pool.submit(write_scene, job) for job in jobs]
        try:
            while not all(future.done() for future in futures):
                _raise_first(futures)
                try:
                    progress.advance(bar, done.get(timeout=0.2))
                except queue.Empty:
                    continue
            _raise_first(futures)
            while not done.empty():
                progress.advance(bar, done.get())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _raise_first(futures: list[Future[None]]) -> None:
    for future in futures:
        if future.done() and not future.cancelled():
            try:
                future.result()
            except BrokenProcessPool as error:
                raise DataError(
                    "a worker died: out of memory, or started by a script that does so outside of "
                    f'`if __name__ == "__main__":` ({error})'
                ) from error
