"""What commands share: options, and how results are shown."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Weights = Annotated[Path, typer.Option(help="Safetensors file written by `dense-desc train`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Topic = Annotated[str | None, typer.Option(show_default="found by its looks")]
CameraInfo = Annotated[
    Path | None, typer.Option(help="Intrinsics as camera_calibration writes them (YAML).")
]
Slop = Annotated[
    float, typer.Option(help="Seconds between the stamps of colour and depth at most.")
]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]

WIDEST = 500  # characters of a table's line


def show(result: dict[str, Any], rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print the result as JSON, or the rows, which have the same keys, as a table.

    A single row becomes a column, with its keys beside it. No word is cut off or broken where the
    terminal is too narrow.
    """
    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps(result))
        return
    cells = [[_cell(value) for value in row.values()] for row in rows]
    if len(rows) == 1:
        table = Table(show_header=False)
        cells = [list(pair) for pair in zip(rows[0], cells[0], strict=True)]
    else:
        table = Table(*rows[0])
    for line in cells:
        table.add_row(*line)
    needed = Console(width=WIDEST).measure(table).minimum  # to break no word
    Console(width=max(Console().width, needed)).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
