"""The results of a benchmark of strategies as a table, and as a plot over D."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dense_desc_ros.evaluation.plots import to_png
from dense_desc_ros.evaluation.splits import SPLITS
from dense_desc_ros.evaluation.strategies.grid import TURNED, TURNS

COLUMNS = f"""AUC of PCK@k on each split, ± over the seeds; of some of them also of the same weights
in {TURNS} quarter turns, which take as many times as long, and smoothed; median error on novel
views, in pixels of a 640x480 picture; how surely scores tell present from absent; time of all
training steps, without waiting for data; peak memory of a step; time to describe a picture and
match 16 points.
"""
COLOURS = [*(f"C{number}" for number in range(10)), "black", "gold"]  # matplotlib's, and more
COSTS = ("training_s", "step_s", "peak_bytes", "match_ms")


def summarize(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds.

    Args:
        results: of single trainings: `strategy`, `d`, `seed`, `splits`, `turned` and COSTS.

    Returns:
        Rows of `strategy`, `d`, `seeds`; `splits`, by name their figures and `auc_std`, the
        standard deviation (of a population) over the seeds, None of one; `turned`, the same of the
        AUC in several turns, smoothed; and COSTS. The best on novel views first.
    """
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["strategy"], result["d"]), []).append(result)
    rows = [
        {
            "strategy": strategy,
            "d": dim,
            "seeds": len(group),
            "splits": {split: _mean([r["splits"][split] for r in group]) for split in SPLITS},
            "turned": {
                split: _mean([{"auc": r["turned"][split]} for r in group]) for split in TURNED
            },
            **{name: float(np.mean([result[name] for result in group])) for name in COSTS},
        }
        for (strategy, dim), group in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["splits"]["novel-view"]["auc"])


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `summarize` as a line of a table."""
    splits = row["splits"]
    return {
        "strategy": row["strategy"],
        "D": row["d"],
        "seeds": row["seeds"],
        **{split: _with_spread(splits[split]) for split in SPLITS if split != "absent"},
        **{f"{split}, turned": _with_spread(row["turned"][split]) for split in TURNED},
        "px": round(splits["novel-view"]["median_px"], 1),
        "absent AUROC": round(splits["absent"]["auroc"], 3),
        "min": round(row["training_s"] / 60, 1),
        "MB": round(row["peak_bytes"] / 1e6),
        "match ms": round(row["match_ms"], 1),
    }


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown, and what its columns are."""
    lines = [flatten(row) for row in rows]
    header = list(lines[0])
    table = [header, ["---"] * len(header), *([str(v) for v in line.values()] for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table) + "\n\n" + COLUMNS


def plot_auc(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """AUC over D of every strategy, one plot for each split, as a PNG file."""
    shown = [split for split in SPLITS if split != "absent"]
    figure = Figure(figsize=(4.6 * len(shown), 4.2), dpi=100, layout="constrained")
    plots = figure.subplots(1, len(shown), sharey=True)
    names = sorted({row["strategy"] for row in rows})
    for axes, split in zip(plots, shown, strict=True):
        for number, name in enumerate(names):
            own = sorted((row for row in rows if row["strategy"] == name), key=lambda r: r["d"])
            dims = [row["d"] for row in own]
            figures = [row["splits"][split] for row in own]
            axes.errorbar(
                dims,
                [figure["auc"] for figure in figures],
                [figure["auc_std"] or 0 for figure in figures],
                label=name,
                color=COLOURS[number % len(COLOURS)],
                marker="o",
                markersize=4,
                capsize=3,
            )
        axes.set_xscale("log", base=2)
        axes.set(xlabel="D", title=split)
        axes.grid(alpha=0.4)
    plots[0].set_ylabel("AUC of PCK@k, k = 1…100 px")
    plots[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return to_png(figure)


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {
        key: float(np.mean([figure[key] for figure in figures])) for key in figures[0]
    }
    spread = float(np.std([figure["auc"] for figure in figures])) if len(figures) > 1 else None
    return means | {"auc_std": spread}


def _with_spread(figures: Mapping[str, Any]) -> str:
    spread = figures["auc_std"]
    return f"{figures['auc']:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
