"""What a comparison of replays leaves in a folder: its figures, and a page that opens offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.block_bootstrap import CONFIDENCE
from dense_desc_ros.evaluation.film import read_film
from dense_desc_ros.evaluation.page import render
from dense_desc_ros.evaluation.plots import to_png
from dense_desc_ros.evaluation.points import NEAR_PX
from dense_desc_ros.evaluation.replay.answers import Answers, read_answers
from dense_desc_ros.evaluation.replay.compare import APART_MM, FIGURES, OVERALL
from dense_desc_ros.evaluation.replay.compare_runs import Run
from dense_desc_ros.evaluation.replay.outputs import FILM
from dense_desc_ros.evaluation.replay.run import FRAMES
from dense_desc_ros.evaluation.report import Illustration, embed, to_jpeg
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.grasp import Grasp
from dense_desc_ros.pictures import WHITE, Mark, draw_marks

COMPARISON, PAGE = "comparison.json", "index.html"
BOTH, ONLY_FIRST, ONLY_THIS, NEITHER = "both", "only the first", "only this", "neither"
COLORS = {BOTH: "tab:green", ONLY_FIRST: "tab:orange", ONLY_THIS: "tab:blue", NEITHER: "lightgrey"}


def write_comparison(out: Path, comparison: dict[str, Any], runs: Sequence[Run]) -> None:
    """Write `out`/comparison.json, and index.html with the pictures that differ most.

    Args:
        out: the folder.
        comparison: what `compare_runs` returns.
        runs: what it was given.

    Raises:
        DataError: a file cannot be written or, of the runs, read.
    """
    sections = [
        _section(entry, runs[0], run)
        for entry, run in zip(comparison["comparisons"], runs[1:], strict=True)
    ]
    page = render(
        "replay/compare.html",
        title=f"Comparison of {len(runs)} replays",
        notes=comparison["notes"],
        frames=comparison["frames"],
        runs=comparison["runs"],
        rows=_figure_rows(comparison),
        sections=sections,
        confidence=round(100 * CONFIDENCE),
        near=f"{NEAR_PX:g}",
        apart=f"{APART_MM:g}",
    )
    try:
        write_atomically(out / COMPARISON, json.dumps(comparison, indent=2).encode())
        write_atomically(out / PAGE, page.encode())
    except OSError as error:
        raise DataError(f"cannot write the comparison in {out}: {error}") from error


def difference_rows(entry: dict[str, Any]) -> list[dict[str, str]]:
    """The differences of one of the `comparisons` of `compare_runs` as rows of a table."""
    return [
        {
            "reference": name,
            "figure": figure,
            "first": _text(each["first"]),
            "this": _text(each["second"]),
            "difference": _signed(each["value"]),
            "interval": _interval(each),
            "frames": str(each["frames"]),
            "this is": each["verdict"] or "",
        }
        for name, differences in entry["differences"].items()
        for figure, each in differences.items()
    ]


def _interval(each: dict[str, Any]) -> str:
    if each["low"] is None:
        return "too few frames"
    return f"{_signed(each['low'])} to {_signed(each['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _figure_rows(comparison: dict[str, Any]) -> list[list[str]]:
    """For each reference and figure those of all runs."""
    figures = [run["figures"] for run in comparison["runs"]]
    return [
        [name, figure, *(_text(each[name].get(figure)) for each in figures)]
        for name in (OVERALL, *comparison["references"])
        for figure in FIGURES
        if any(figure in each[name] for each in figures)
    ]


def _section(entry: dict[str, Any], first: Run, run: Run) -> dict[str, Any]:
    return {
        "run": entry["run"],
        "against": entry["against"],
        "rows": difference_rows(entry),
        "counts": [[name, *each.values()] for name, each in entry["found"].items()],
        "apart": [
            [name, *(f"{value:.3g}" for value in each.values())]
            for name, each in entry["apart"].items()
        ],
        "plot": embed(_plot_found(first, run), "png"),
        "pairs": _pairs(entry["most_different"], first, run),
    }


def _pairs(shown: Sequence[dict[str, Any]], first: Run, run: Run) -> list[dict[str, Any]]:
    """Frames with the pictures of both runs."""
    keys = [(each["bag"], each["frame"]) for each in shown]
    places = list(zip(first.bags.tolist(), first.frames.tolist(), strict=True))
    rows = [places.index(key) for key in keys]
    sides = [_illustrate(each, rows, [s["reference"] for s in shown]) for each in (first, run)]
    return [
        {
            "heading": f"{each['reference']}: frame {each['frame']} of recording {each['bag']}, "
            f"{each['seconds']:.2f} s",
            "pictures": [side[n] for side in sides],
        }
        for n, each in enumerate(shown)
    ]


def _illustrate(run: Run, rows: Sequence[int], names: Sequence[str]) -> list[Illustration]:
    """What a run answered for a reference in each of some frames, if possible with a picture."""
    lines = [int(run.lines[row]) for row in rows]
    answers = {n: a for n, a in enumerate(read_answers(run.folder / FRAMES)) if n in lines}
    pictures = read_film(run.folder / FILM, set(lines))
    illustrations = []
    for row, line, name in zip(rows, lines, names, strict=True):
        column = run.names.index(name)
        source = ""
        if line in pictures:
            picture = pictures[line]
            if np.isfinite(run.truth[row, column]).all():
                scale = np.array(picture.shape[1::-1]) / run.sizes[row]
                draw_marks(picture, [Mark(run.truth[row, column] * scale, "truth", WHITE)])
            source = embed(to_jpeg(picture), "jpeg")
        caption = f"{run.folder}: {_caption(answers[line], name, run, row)}"
        illustrations.append(Illustration(source, caption))
    return illustrations


def _caption(answers: Answers, name: str, run: Run, row: int) -> str:
    answer, column = answers.by_name()[name], run.names.index(name)
    if not isinstance(answer, Grasp):
        hidden = " (rightly: it is hidden)" if run.visible[row, column] == 0 else ""
        return f"refused{hidden}, score {answer.score:.2f}, {answer.reason}"
    errors = [
        f"{values[row, column]:.3g} {unit}"
        for unit, values in run.errors.items()
        if np.isfinite(values[row, column])
    ]
    off = f", {', '.join(errors)} off" if errors else ""
    wrong = ", but it is hidden" if run.visible[row, column] == 0 else ""
    return f"found by {answer.method}, score {answer.score:.2f}{off}{wrong}"


def _plot_found(first: Run, run: Run) -> bytes:
    """For each reference a stripe over time: which of the runs found it."""
    names = first.names
    figure = Figure(figsize=(11, 1.2 + 0.35 * len(names)), dpi=100, layout="constrained")
    axes = figure.subplots()
    # Recordings follow on each other.
    lengths = [first.seconds[first.bags == bag].max() for bag in np.unique(first.bags)]
    begins = dict(zip(np.unique(first.bags), np.cumsum([0, *lengths[:-1]]), strict=True))
    seconds = first.seconds + np.array([begins[bag] for bag in first.bags])
    for label, which in (
        (BOTH, first.found & run.found),
        (ONLY_FIRST, first.found & ~run.found),
        (ONLY_THIS, ~first.found & run.found),
        (NEITHER, ~first.found & ~run.found),
    ):
        rows, columns = np.nonzero(which)
        axes.plot(seconds[rows], columns, "|", label=label, color=COLORS[label], markersize=16)
    axes.set(xlabel="s", yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    figure.legend(loc="outside right upper", title="found by")
    return to_png(figure)
