"""The demonstration: pictures in; a click by service, grasps and pictures of them out.

Everything happens as on a robot: the recording is played by one process, the node is another, and
this one is the user, who registers points by service on the first frame and watches the topics.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from dense_desc_ros.data.bags import record
from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.data.images import write_image
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.points import as_table, compare, summarize
from dense_desc_ros.files import write_atomically
from dense_desc_ros.training.config import OptimisationConfig, PicturesConfig, TrainingConfig
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.train import CHECKPOINT, WEIGHTS, train

FRAME_RATE = 1.0  # Hz of the recording: slow enough for the node to answer every frame
STEPS = {"rendered": 600, "recorded": 1400}

if TYPE_CHECKING:
    from dense_desc_ros.nodes.demo_graph import Seen

console = Console(stderr=True)


def run_demo(data: Path | None, out: Path) -> dict[str, Any]:
    """Run the demonstration; what was made once (recording, weights) is used again.

    Args:
        data: folder of RGB-D frames with points.json; None renders one.
        out: gets a folder with results.json, the table, and the pictures.

    Returns:
        The figures, as in results.json: see `evaluation.points.summarize`.

    Raises:
        DenseDescError: unusable frames, or the node does not answer.
    """
    folder = out / (data.resolve().name if data else "rendered")
    frames = FrameFolder(data) if data else _rendered(folder / "frames")
    if not any(track[0] for track in frames.points.values()):
        raise DataError(f"{frames.path} has no points.json with a point visible on frame 0")
    console.rule("1/4  Frames")
    console.print(f"{len(frames)} frames of {frames.path}, {len(frames.points)} known points")

    console.rule("2/4  Learning descriptors from the pictures alone")
    weights = _trained(frames.path, folder / "training", STEPS["recorded" if data else "rendered"])

    console.rule("3/4  Recording, node and user on ROS 2")
    bag = folder / "recording"
    for earlier in (bag, folder / "references"):
        shutil.rmtree(earlier, ignore_errors=True)
    record(frames, bag, FRAME_RATE)
    from dense_desc_ros.nodes.demo_graph import run_graph

    seen = run_graph(frames, weights, bag, FRAME_RATE, folder, console)

    console.rule("4/4  Results")
    return _report(frames, seen, folder)


def _rendered(folder: Path) -> FrameFolder:
    from dense_desc_ros.sim.table import render_table

    if folder.is_dir():
        return FrameFolder(folder)
    console.print(f"rendering a table with moving objects into {folder}")
    return render_table(folder)


def _trained(images: Path, run: Path, steps: int) -> Path:
    config = TrainingConfig(
        pictures=PicturesConfig(str(images.resolve())),
        ntxent=NtxentConfig(),
        optimisation=OptimisationConfig(steps=steps),
    )
    description = run / "config.json"
    if description.is_file() and description.read_text() != config.to_json():
        shutil.rmtree(run)
    weights = run / WEIGHTS
    if weights.is_file():
        console.print(f"using {weights}; remove {run} to train again")
        return weights
    return train(config, run, resume=(run / CHECKPOINT).is_file())


def _report(frames: FrameFolder, seen: "list[Seen]", folder: Path) -> dict[str, Any]:
    """Print and write the table, and write the pictures."""
    answers = {index: frame.sightings for index, frame in enumerate(seen) if index > 0}
    results = compare(frames.points, frames.positions, answers)
    figures = summarize(results)
    write_atomically(folder / "results.json", json.dumps(figures, indent=2).encode())
    for index, frame in enumerate(seen):
        write_image(folder / f"matches_{index}.png", frame.matches)
        write_image(folder / f"descriptors_{index}.png", frame.descriptors)
    overview = np.vstack([np.hstack([frame.matches, frame.descriptors]) for frame in seen])
    write_image(folder / "overview.png", overview)

    table = as_table(results)
    with (folder / "table.txt").open("w") as file:
        Console(file=file, width=120).print(table, _sentence(figures))
    console.print(table, _sentence(figures))
    console.print(f"pictures, table and figures: {folder}/ (begin with overview.png)")
    return figures


def _sentence(figures: dict[str, Any]) -> str:
    text = f"{figures['near']} of {figures['visible']} visible points within 20 px"
    if figures["median_px"] is not None:
        text += f", median {figures['median_px']:.1f} px"
    if figures["median_mm"] is not None:
        text += f" and {figures['median_mm']:.1f} mm"
    if figures["auroc"] is not None:
        text += (
            f"; {figures['hidden_refused']} of {figures['hidden']} hidden points refused; mean "
            f"score visible {figures['score_visible']:.2f}, hidden {figures['score_hidden']:.2f} "
            f"(AUROC {figures['auroc']:.2f})"
        )
    return text
