"""Plots of a replay, as PNG files in memory."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dense_desc_ros.evaluation.pck import THRESHOLDS, auc, pck
from dense_desc_ros.evaluation.plots import to_png
from dense_desc_ros.evaluation.replay.figures import ReferenceFigures, ReplayFigures


def plot_score(figures: ReplayFigures, reference: ReferenceFigures) -> bytes:
    """The score of a reference over time, and where it was refused."""
    seconds, scores = np.asarray(figures.seconds), np.asarray(reference.scores)
    found = np.asarray(reference.found, dtype=bool)
    figure, axes = _over_time("score")
    axes.plot(seconds[found], scores[found], ".", label="found", color="tab:green")
    axes.plot(seconds[~found], scores[~found], "x", label="refused", color="tab:red")
    _add_legend(axes)
    return to_png(figure)


def plot_coverage(figures: ReplayFigures) -> bytes:
    """The share of the pixels that have a depth, over time."""
    figure, axes = _over_time("pixels with depth")
    axes.plot(figures.seconds, figures.coverage, ".-")
    axes.set(ylim=(0, 1.02))
    return to_png(figure)


def plot_latency(figures: ReplayFigures) -> bytes:
    """What a frame took, over time."""
    figure, axes = _over_time("ms")
    for part, values in figures.milliseconds.items():
        axes.plot(figures.seconds, values, ".", label=part, markersize=3)
    axes.set(ylim=(0, None))
    _add_legend(axes)
    return to_png(figure)


def _over_time(what: str) -> tuple[Figure, Axes]:
    """An empty plot; with a layout of its own, as Matplotlib's automatic ones draw all twice."""
    figure = Figure(figsize=(9, 2.6), dpi=100)
    figure.subplots_adjust(left=0.08, right=0.86, top=0.95, bottom=0.2)
    axes = figure.subplots()
    axes.set(xlabel="s", ylabel=what)
    axes.grid(alpha=0.4)
    return figure, axes


def _add_legend(axes: Axes) -> None:
    """Beside the plot."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0, frameon=False)


def plot_truth(references: list[ReferenceFigures]) -> bytes:
    """PCK@k over k of the references whose true place is known; what was refused is never right."""
    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for reference in references:
        curve = pck(reference.errors)
        axes.plot(THRESHOLDS, curve, label=f"{reference.name}: AUC {auc(curve):.3f}")
    axes.set(xlabel="k (pixels of a 640x480 image)", ylabel="PCK@k", xlim=(1, 100), ylim=(0, 1.02))
    axes.grid(alpha=0.4)
    figure.legend(loc="outside right upper")
    return to_png(figure)
