"""Every training strategy on the same data: trained, evaluated and put side by side.

Killed, it goes on where it was: what was generated, trained and evaluated is kept, and a training
goes on from its last checkpoint.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from dense_desc_ros.data.generate import generate
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.resuming import begin
from dense_desc_ros.evaluation.strategies.grid import (
    SIZES,
    Case,
    Size,
    cases,
    data_sets,
    strategies,
    training_config,
)
from dense_desc_ros.evaluation.strategies.measure import measure_accuracy, measure_costs
from dense_desc_ros.evaluation.strategies.summary import plot_auc, summarize, to_markdown
from dense_desc_ros.files import write_atomically
from dense_desc_ros.training.train import CHECKPOINT, WEIGHTS, train

GRID, RESULT = "grid.json", "result.json"
DATA, RUNS = "data", "runs"  # folders
RESULTS, TABLE, PLOT = "results.json", "table.md", "auc.png"

console = Console(stderr=True)


def benchmark_strategies(
    out: Path,
    size: str | Size = "cpu",
    only: Sequence[str] = (),
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> dict[str, Any]:
    """Train and evaluate the grid.

    Args:
        out: folder of data, runs and results: results.json, table.md, auc.png.
        size: a name of `grid.SIZES`, or how much.
        only: these strategies; all if empty.
        resume: go on with what is in `out`.
        workers: processes that draw views; twice as many render at first, at least one.
        device: "auto", "cpu" or "cuda".

    Returns:
        `size`; and `results`, rows as `strategies.summary.summarize` gives them, of all that is in
        `out`.

    Raises:
        InvalidInputError: an unknown size or strategy, or `out` was begun with another size.
        DataError: `out` holds a benchmark already and is not to be resumed, or cannot be written.
    """
    name, size = (size, _find(size)) if isinstance(size, str) else ("own", size)
    todo = cases(size, only)
    objectives = {name: repr(strategy) for name, strategy in strategies(size).items()}
    begin(out / GRID, {"size": asdict(size), "strategies": objectives}, resume)
    for data_set, config in data_sets(size).items():
        generate(config, out / DATA / data_set, workers=max(2 * workers, 1))
    left = [case for case in todo if not (out / RUNS / case.folder / RESULT).is_file()]
    start, done = time.monotonic(), len(todo) - len(left)
    for number, case in enumerate(left):
        console.print(
            f"[bold]{done + number + 1} of {len(todo)}: {case.strategy}, D = {case.dim}, seed "
            f"{case.seed}[/]{_time_left(time.monotonic() - start, number, len(left))}"
        )
        _run(out, size, case, workers, device)
        _write_results(out, name)
    return _write_results(out, name)


def _find(size: str) -> Size:
    if size not in SIZES:
        raise InvalidInputError(f"unknown size {size!r}: use one of {', '.join(SIZES)}")
    return SIZES[size]


def _run(out: Path, size: Size, case: Case, workers: int, device: str) -> None:
    folder, data = out / RUNS / case.folder, out / DATA
    config = training_config(size, case, data)
    weights = folder / WEIGHTS
    if not weights.is_file():
        resume = (folder / CHECKPOINT).is_file()
        train(config, folder, resume=resume, workers=workers, device=device)
    result = {
        "strategy": case.strategy,
        "d": case.dim,
        "seed": case.seed,
        **measure_accuracy(weights, data, size.pairs, device),
        **measure_costs(config, weights, data, device),
    }
    write_atomically(folder / RESULT, json.dumps(result, indent=1).encode())


def _write_results(out: Path, size: str) -> dict[str, Any]:
    """Sum up all results in the folder."""
    rows = summarize([read_json(path) for path in sorted((out / RUNS).glob(f"*/{RESULT}"))])
    result = {"size": size, "results": rows}
    write_atomically(out / RESULTS, json.dumps(result, indent=1).encode())
    write_atomically(out / TABLE, to_markdown(rows).encode())
    write_atomically(out / PLOT, plot_auc(rows))
    return result


def _time_left(seconds: float, finished: int, count: int) -> str:
    if not finished:
        return ""
    left = timedelta(seconds=round(seconds / finished * (count - finished)))
    return f"; about {left} left"
