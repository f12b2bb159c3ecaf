"""What `dense-desc replay` adds to the pipeline, and whether its memory stays, over a long bag."""

import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.bags import record
from dense_desc_ros.data.frames import FrameFolder, write_camera, write_frame
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.evaluation.replay.answers import read_answers
from dense_desc_ros.evaluation.replay.inputs import Click
from dense_desc_ros.evaluation.replay.report import write_replay_report
from dense_desc_ros.evaluation.replay.run import FRAMES, ReplayConfig, replay

SCENES = 8  # different pictures, shown in turn
STEP = 8  # px that they are apart
DEPTH = 0.8  # m
RATE_HZ = 30.0
MARGIN = 60  # px between the border and what is registered
SAMPLED = 0.5  # s between two looks at the memory
SHOWN = 10  # of these, in the result


def benchmark_replay(
    model: DescriptorModel,
    frames: int = 1000,
    references: int = 4,
    size: tuple[int, int] = (480, 640),
) -> dict[str, Any]:
    """Replay a bag (MCAP) that shows some pictures of one surface in turn.

    Args:
        model: computes the descriptors.
        frames: of the bag.
        references: points registered on the first frame.
        size: height and width of the frames.

    Returns:
        `pipeline_s`, what describing and finding took for all frames; `replaying`, what reading,
        decoding and writing the answers added to that, as a share of it; `reporting`, likewise for
        tables, film, bag of results and page; `overhead`, both together. `memory_mb`, resident
        memory at SHOWN moments from beginning to end, and `peak_memory_mb`. `found_rate` of the
        references on average; `frames`, `references`, `threads`.

    Raises:
        DenseDescError: a point cannot be registered.
        OSError: there is no room for the bag.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark_replay_") as name:
        folder = Path(name)
        _write_frames(folder / "frames", frames, size)
        record(FrameFolder(folder / "frames"), folder / "bag", RATE_HZ)
        config = ReplayConfig((folder / "bag",), clicks=_clicks(references, size))
        with _watched_memory() as memory:
            start = time.perf_counter()
            store = replay(model, config, folder / "out")
            replayed = time.perf_counter()
            results = write_replay_report(config, folder / "out", store.names(), {}, {})
            reported = time.perf_counter()
        pipeline = sum(each.timings.total for each in read_answers(folder / "out" / FRAMES))
    found = [each["found_rate"] for each in results["references"].values()]
    return {
        "frames": results["frames"],
        "references": references,
        "threads": torch.get_num_threads(),
        "pipeline_s": pipeline,
        "replaying": (replayed - start) / pipeline - 1,
        "reporting": (reported - replayed) / pipeline,
        "overhead": (reported - start) / pipeline - 1,
        "memory_mb": [memory[i] for i in np.linspace(0, len(memory) - 1, SHOWN).astype(int)],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "found_rate": float(np.mean(found)),
    }


def _write_frames(folder: Path, frames: int, size: tuple[int, int]) -> None:
    """A textured wall, moved a little in each picture; the camera does not measure all of it."""
    height, width = size
    shape = (height // 16, width // 16, 3)
    blobs = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    wall = cv2.resize(blobs, (width + SCENES * STEP, height), interpolation=cv2.INTER_CUBIC)
    for number in range(min(SCENES, frames)):
        generator = np.random.default_rng(number)
        depth = DEPTH + generator.normal(0, 0.001, size)
        depth[generator.random(size) < 0.02] = np.nan
        left = STEP * number
        image = np.ascontiguousarray(wall[:, left : left + width], np.uint8)
        write_frame(folder, number, image, depth)
    write_camera(
        folder, PinholeCamera(width, width, width / 2 - 0.5, height / 2 - 0.5, width, height)
    )
    for number in range(SCENES, frames):
        for suffix in ("color", "depth"):
            shown = f"{number % SCENES:06d}-{suffix}.png"
            (folder / f"{number:06d}-{suffix}.png").symlink_to(shown)


def _clicks(references: int, size: tuple[int, int]) -> dict[str, Click]:
    height, width = size
    margins = (MARGIN, MARGIN), (width - MARGIN, height - MARGIN)
    pixels = np.random.default_rng(0).uniform(*margins, (references, 2))
    return {f"point_{i}": Click(0, (float(u), float(v))) for i, (u, v) in enumerate(pixels)}


@contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """Resident memory of this process, MB, looked at from time to time while this lasts."""
    seen = [_resident_mb()]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLED):
            seen.append(_resident_mb())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _resident_mb() -> float:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
