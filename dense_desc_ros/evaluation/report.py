"""What an evaluation leaves in a folder: figures, plots, and a page that opens offline."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.drawings import Picture, draw_pair
from dense_desc_ros.evaluation.evaluate import Evaluation, PairResult
from dense_desc_ros.evaluation.page import render
from dense_desc_ros.evaluation.plots import plot_errors, plot_pck
from dense_desc_ros.files import write_atomically

SHOWN_PAIRS = 4  # of the best, and of the worst
RESULTS, PAGE, PCK_PLOT, ERROR_PLOT = "results.json", "index.html", "pck.png", "errors.png"


class Illustration(NamedTuple):
    """A picture as a data URI, and what it shows."""

    source: str
    caption: str


def write_report(
    out: Path, evaluation: Evaluation, figures: dict[str, Any], frames: PosedFrames
) -> None:
    """Write `out`/results.json, pck.png, errors.png and index.html, which holds all of it.

    Args:
        out: the folder.
        evaluation: what was measured on `frames`.
        figures: what results.json is to say of it, see `evaluate.summarize`.
        frames: the data set.

    Raises:
        DataError: a file cannot be written, or a frame not be read.
    """
    pck_plot, error_plot = plot_pck(evaluation), plot_errors(evaluation)
    page = _render(evaluation, figures, frames, (pck_plot, error_plot))
    files = {
        RESULTS: json.dumps(figures, indent=2).encode(),
        PCK_PLOT: pck_plot,
        ERROR_PLOT: error_plot,
        PAGE: page.encode(),
    }
    for name, content in files.items():
        try:
            write_atomically(out / name, content)
        except OSError as error:
            raise DataError(f"cannot write {out / name}: {error}") from error


def _render(
    evaluation: Evaluation,
    figures: dict[str, Any],
    frames: PosedFrames,
    plots: Sequence[bytes],
) -> str:
    pairs = [pair for pairs in evaluation.pairs.values() for pair in pairs]
    ranked = sorted(pairs, key=lambda pair: float(pair.errors.mean()))
    best, worst = ranked[:SHOWN_PAIRS], ranked[: -SHOWN_PAIRS - 1 : -1]
    return render(
        "report.html",
        title=f"Evaluation: {evaluation.split}",
        figures=[(name, _text(value)) for name, value in figures.items() if name != "pck"],
        plots=[
            Illustration(embed(plot, "png"), caption)
            for plot, caption in zip(plots, ("PCK over k", "distribution of errors"), strict=True)
        ],
        sections=[
            (heading, [_illustrate(pair, frames) for pair in shown])
            for heading, shown in (("Best pairs", best), ("Worst pairs", worst))
        ],
    )


def _illustrate(pair: PairResult, frames: PosedFrames) -> Illustration:
    reference, target = frames[pair.reference], frames[pair.target]
    picture = draw_pair(reference.image, target.image, pair)
    caption = (
        f"{reference.name} to {target.name}: median error {np.median(pair.errors):.1f} px, "
        f"mean {pair.errors.mean():.1f} px, of {len(pair.errors)} matches"
    )
    return Illustration(embed(to_jpeg(picture), "jpeg"), caption)


def to_jpeg(picture: Picture) -> bytes:
    """A picture (H, W, 3), RGB, as the bytes of a JPEG file."""
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def embed(content: bytes, kind: str) -> str:
    """A file as a data URI of a kind of image."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
