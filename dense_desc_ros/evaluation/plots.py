"""Plots of an evaluation, as PNG files in memory."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.evaluation.evaluate import Evaluation, PairResult
from dense_desc_ros.evaluation.pck import THRESHOLDS, auc, pck


def plot_pck(evaluation: Evaluation) -> bytes:
    """PCK@k over k, the mean of the seeds and their spread."""
    curves = np.array([pck(_errors(pairs)) for pairs in evaluation.pairs.values()])
    mean = curves.mean(axis=0)
    areas = [auc(curve) for curve in curves]
    figure = Figure(figsize=(6.4, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.fill_between(THRESHOLDS, curves.min(axis=0), curves.max(axis=0), alpha=0.3)
    axes.plot(THRESHOLDS, mean)
    axes.set(xlabel="k (pixels of a 640x480 image)", ylabel="PCK@k", xlim=(1, 100), ylim=(0, 1.02))
    axes.set_title(f"{evaluation.split}: AUC {np.mean(areas):.3f} ± {np.std(areas):.3f}")
    axes.grid(alpha=0.4)
    return to_png(figure)


def plot_errors(evaluation: Evaluation) -> bytes:
    """How many matches have which error, in logarithmic bins, and the median."""
    errors = np.concatenate([_errors(pairs) for pairs in evaluation.pairs.values()])
    figure = Figure(figsize=(6.4, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    bins = np.geomspace(0.5, 800, 60).tolist()
    weights = np.full(len(errors), 1 / len(errors))
    axes.hist(np.clip(errors, bins[0], bins[-1]), bins, weights=weights)
    axes.axvline(float(np.median(errors)), color="black", linestyle="--")
    axes.set(
        xscale="log", xlabel="error (pixels of a 640x480 image)", ylabel="share of the matches"
    )
    axes.set_title(f"median error {np.median(errors):.1f} px")
    axes.grid(alpha=0.4)
    return to_png(figure)


def _errors(pairs: Sequence[PairResult]) -> FloatArray:
    return np.concatenate([pair.errors for pair in pairs])


def to_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
