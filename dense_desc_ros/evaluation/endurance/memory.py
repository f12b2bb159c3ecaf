"""The node's memory over time: sampled, summarised, and drawn."""

import csv
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dense_desc_ros.errors import InvalidInputError

WARM_UP = 0.1  # share of the frames before memory counts
SPAN = 0.1  # share of the frames at either end whose median is taken


class Sample(NamedTuple):
    """What the node's diagnostics said at a moment.

    Attributes:
        seconds: since the start.
        frames: sent until then.
        processed: by the node until then.
        references: registered then.
        memory_mb: resident.
    """

    seconds: float
    frames: int
    processed: int
    references: int
    memory_mb: float


class Drift(NamedTuple):
    """Memory after the warm-up and at the end, MB; the most there was; the change in percent."""

    start_mb: float
    end_mb: float
    peak_mb: float
    percent: float


def drift(samples: Sequence[Sample], frames: int) -> Drift:
    """How memory changed between the end of the warm-up and the last frame.

    Both are medians over a tenth of the frames.

    Raises:
        InvalidInputError: a run so short that there are not two samples after the warm-up.
    """
    warm = WARM_UP * frames
    late = [sample for sample in samples if sample.frames >= warm]
    if len(late) < 2:
        raise InvalidInputError(
            f"{frames} frames went by too fast to see memory change: the node tells it once a "
            "second; take more frames"
        )
    first = [s.memory_mb for s in late if s.frames <= warm + SPAN * frames] or [late[0].memory_mb]
    last = [s.memory_mb for s in late if s.frames >= (1 - SPAN) * frames] or [late[-1].memory_mb]
    start, end = statistics.median(first), statistics.median(last)
    peak = max(sample.memory_mb for sample in samples)
    return Drift(start, end, peak, 100 * (end / start - 1))


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write a table of them (CSV)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        writer.writerows(samples)


def plot(samples: Sequence[Sample], change: Drift) -> bytes:
    """Memory over the frames as a PNG file."""
    from matplotlib.figure import Figure

    from dense_desc_ros.evaluation.plots import to_png

    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    frames = [sample.frames for sample in samples]
    axes.plot(frames, [sample.memory_mb for sample in samples])
    axes.axhline(change.start_mb, linestyle="--", color="grey")
    axes.set(xlabel="frames sent", ylabel="resident memory, MB", ylim=(0, None))
    axes.set_title(f"{change.percent:+.2f} % between warm-up and end")
    axes.grid(alpha=0.4)
    return to_png(figure)
