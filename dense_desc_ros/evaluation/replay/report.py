"""What a replay comes to: figures, a page that opens offline, a table of grasps and a film."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.drawings import Picture
from dense_desc_ros.evaluation.page import render
from dense_desc_ros.evaluation.replay.ahead import read_ahead
from dense_desc_ros.evaluation.replay.answers import Answers, read_answers
from dense_desc_ros.evaluation.replay.figures import JUMP, ReplayFigures, as_rows
from dense_desc_ros.evaluation.replay.inputs import TruePixel, Truth
from dense_desc_ros.evaluation.replay.measures import MEASURES, Measures
from dense_desc_ros.evaluation.replay.outputs import FILM, FrameOutputs
from dense_desc_ros.evaluation.replay.pictures import Shown, choose_shown, frame_rate
from dense_desc_ros.evaluation.replay.plots import (
    plot_coverage,
    plot_latency,
    plot_score,
    plot_truth,
)
from dense_desc_ros.evaluation.replay.pose_truth import PoseTruth
from dense_desc_ros.evaluation.replay.run import FRAMES, ReplayConfig
from dense_desc_ros.evaluation.replay.stillness import BLOCKS, STILL, StillScenes
from dense_desc_ros.evaluation.report import Illustration, embed, to_jpeg
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.grasp import Grasp
from dense_desc_ros.pictures import draw_answers

RESULTS, PAGE = "results.json", "index.html"
SHOWN_APART = "references", "notes", "latency_ms"  # of the results
SHOWN_WIDTH = 480  # px of a picture in the page


@dataclass
class _Source:
    """What is to be said of the recordings."""

    left_out: Counter[str] = field(default_factory=Counter)
    left_out_examples: dict[str, str] = field(default_factory=dict)
    backwards_stamps: int = 0
    is_whole: bool = True
    notes: list[str] = field(default_factory=list)
    topics: list[dict[str, Any]] = field(default_factory=list)


def write_replay_report(
    config: ReplayConfig,
    out: Path,
    names: Sequence[str],
    truth: Truth,
    about: dict[str, Any],
    poses: PoseTruth | None = None,
) -> dict[str, Any]:
    """Write results.json, index.html and `FrameOutputs` beside the answers of a replay.

    The recordings are read once more, a frame at a time, so that nothing of them has to be kept.

    Args:
        config: of the replay.
        out: its folder.
        names: of the references.
        truth: where points really are in the first recording; may be empty.
        about: what else results.json is to say.
        poses: the same as `truth`, from the poses of objects.

    Returns:
        What results.json holds.

    Raises:
        DataError: a file cannot be written, or the recordings are not those of the answers.
    """
    frames = out / FRAMES
    source, figures, scenes = _Source(), ReplayFigures(names), StillScenes()
    shown = choose_shown(read_answers(frames))
    pictures: dict[str, dict[Shown, Illustration]] = {name: {} for name in names}
    try:
        with (
            FrameOutputs(out, frame_rate(read_answers(frames)), config.settings.gripper) as outputs,
            (out / MEASURES).open("w") as measures,
        ):
            for answers, recorded in _answered(config, frames, source):
                scene = scenes.add(recorded.frame.image, answers.bag)
                known = _known(config, truth, poses, answers, recorded)
                if poses is not None:
                    visible = [name for name, pixel in known.items() if pixel is not None]
                    poses.compare(answers, recorded, visible)
                errors = figures.add(answers, recorded.frame, scene, known)
                size = recorded.frame.camera.width, recorded.frame.camera.height
                measures.write(Measures.of(scene, size, known, errors).to_line())
                outputs.add(answers, recorded)
                for name, chosen in shown.items():
                    for each in chosen:
                        if (each.bag, each.frame) == (answers.bag, answers.frame):
                            pictures[name][each] = _illustrate(recorded, answers, name, each)
        results = figures.summarize() | vars(source) | about
        if poses is not None:
            for name in names:
                results["references"][name] |= poses.summarize(name)
        write_atomically(out / RESULTS, json.dumps(results, indent=2).encode())
        ordered = {name: [pictures[name][each] for each in shown[name]] for name in names}
        write_atomically(out / PAGE, _render(config, figures, results, ordered).encode())
    except OSError as error:
        raise DataError(f"cannot write the report in {out}: {error}") from error
    return results


def _answered(
    config: ReplayConfig, path: Path, source: _Source
) -> Iterator[tuple[Answers, RecordedFrame]]:
    """Every frame with its answers; afterwards `source` tells what there was to tell."""
    lines = read_answers(path)
    for number, bag in enumerate(config.bags):
        recording = config.open(bag)
        with read_ahead(recording, config.selection) as frames:
            text = f"Reporting {recording.name}"
            expected = recording.expected(config.selection)
            for recorded in track(frames, text, expected, console=Console(stderr=True)):
                answers = next(lines, None)
                if answers is None or (answers.bag, answers.frame) != (number, recorded.number):
                    raise DataError(f"{path} is not of this recording: {bag}")
                yield answers, recorded
            left_out = recording.left_out
            source.left_out += left_out.counts
            source.left_out_examples = left_out.examples | source.left_out_examples
            source.backwards_stamps += left_out.backwards
            source.is_whole &= recording.is_whole
            source.notes += [f"{recording.name}: {note}" for note in recording.notes]
            source.topics.append(asdict(recording.topics))


def _known(
    config: ReplayConfig,
    truth: Truth,
    poses: PoseTruth | None,
    answers: Answers,
    recorded: RecordedFrame,
) -> dict[str, TruePixel]:
    """The truth of a frame, but not that of points which were registered on that very frame."""
    if answers.bag != 0:
        return {}
    pixels = {n: track[answers.frame] for n, track in truth.items() if answers.frame in track}
    if poses is not None:
        pixels |= poses.pixels(recorded)
    registered = {name for name, click in config.clicks.items() if click.frame == answers.frame}
    return {name: pixel for name, pixel in pixels.items() if name not in registered}


def _illustrate(recorded: RecordedFrame, answers: Answers, name: str, shown: Shown) -> Illustration:
    grasps = [each for each in answers.grasps if each.name == name]
    refusals = [each for each in answers.refusals if each.name == name]
    picture = _shrunk(draw_answers(recorded.frame, grasps, refusals))
    answer = answers.by_name()[name]
    why = answer.method if isinstance(answer, Grasp) else answer.reason
    caption = (
        f"{shown.kind}: frame {answers.frame} of recording {answers.bag}, {answers.seconds:.2f} s, "
        f"score {answer.score:.2f}, {why}"
    )
    return Illustration(embed(to_jpeg(picture), "jpeg"), caption)


def _shrunk(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if width <= SHOWN_WIDTH:
        return picture
    size = SHOWN_WIDTH, round(height * SHOWN_WIDTH / width)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _render(
    config: ReplayConfig,
    figures: ReplayFigures,
    results: dict[str, Any],
    pictures: dict[str, list[Illustration]],
) -> str:
    references = results["references"]
    rows = as_rows(references)
    known = [each for each in figures.references.values() if each.errors]
    plots = [
        (plot_coverage(figures), "share of the pixels that have a depth"),
        (plot_latency(figures), "milliseconds for a frame"),
        *([(plot_truth(known), "PCK over k, against the truth")] if known else []),
    ]
    return render(
        "replay/report.html",
        title=f"Replay of {', '.join(bag.name for bag in config.bags)}",
        notes=results["notes"],
        figures=[(key, _text(each)) for key, each in results.items() if key not in SHOWN_APART],
        film=FILM,
        latency=results["latency_ms"],
        columns=list(rows[0]),
        rows=[[_text(cell) for cell in row.values()] for row in rows],
        blocks="x".join(map(str, BLOCKS)),
        still=f"{STILL:g}",
        jump=f"{1e3 * JUMP:g}",
        plots=[Illustration(embed(plot, "png"), caption) for plot, caption in plots],
        sections=[
            {
                "name": name,
                "refusals": each["refusals"],
                "plot": embed(plot_score(figures, figures.references[name]), "png"),
                "pictures": pictures[name],
            }
            for name, each in references.items()
        ],
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
