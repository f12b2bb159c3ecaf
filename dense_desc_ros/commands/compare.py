"""`dense-desc compare`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Json, show
from dense_desc_ros.errors import InvalidInputError


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `dense-desc replay` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page (index.html) and comparison.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold replays of the same recordings against the first: which is better, and on which frames.

    Frames are paired by recording and stamp, so that small differences show:

        dense-desc replay bag --weights a.safetensors --registrations labels.yaml --truth labels.yaml --out runs/a
        dense-desc replay bag --weights b.safetensors --registrations labels.yaml --truth labels.yaml --out runs/b
        dense-desc compare runs/a runs/b --out runs/a_b

    Differences come with 95 % intervals that respect that neighbouring frames are alike. What some
    of the runs lack, frames, references or truth, is left out, and said.
    """  # noqa: E501
    from rich.console import Console

    from dense_desc_ros.evaluation.replay.compare import compare_runs
    from dense_desc_ros.evaluation.replay.compare_report import (
        PAGE,
        difference_rows,
        write_comparison,
    )
    from dense_desc_ros.evaluation.replay.compare_runs import read_run, share

    if len({path.resolve() for path in runs}) < max(len(runs), 2):
        raise InvalidInputError("give two different runs or more: dense-desc compare RUN_A RUN_B")
    with Console(stderr=True).status("Comparing") as status:
        read = []
        for path in runs:
            status.update(f"Reading {path}")
            read.append(read_run(path))
        shared, notes = share(read)
        status.update(f"Comparing {len(shared[0])} frames")
        comparison = compare_runs(shared, notes)
        if out:
            write_comparison(out, comparison, shared)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if out:
        typer.echo(f"report: {out / PAGE}", err=True)
    rows = [
        {"run": entry["run"]} | row
        for entry in comparison["comparisons"]
        for row in difference_rows(entry)
    ]
    show(comparison, rows, as_json)
