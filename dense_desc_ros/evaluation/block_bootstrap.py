"""Differences of two paired films of figures, and intervals that respect that neighbours are alike.

What happens in a frame mostly happens in the next one too: a hundred frames of one failure are no
hundred failures. Resampling single frames would take them for that, and give intervals that are far
too narrow. Here whole blocks of consecutive frames are resampled (the circular block bootstrap), as
long as the memory of the figures: twice the length that Politis and White (2004, corrected by
Patton, Politis and White 2009) derive from their autocorrelation, since theirs is best for the
variance and too short for intervals. The interval is Student's, with as many degrees of freedom as
there are blocks but one, about the difference itself.

Of simulated films of 300 frames, each 60 % of the one before and something new, it covers the true
mean 94, median 92 and root mean square 92 times of 100; of 600 frames 93, 93 and 94 times.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from dense_desc_ros.camera import FloatArray

CONFIDENCE = 0.95
REPLICATES = 1000
LEAST_FRAMES = 8  # for an interval
LEAST_BLOCKS = 4

IntArray = npt.NDArray[np.int64]


class Statistic(NamedTuple):
    """A figure of values, and `influence`: what each of them adds to it, but for a factor."""

    figure: Callable[[FloatArray], float]
    influence: Callable[[FloatArray], FloatArray]


MEAN = Statistic(lambda x: float(np.mean(x)), lambda x: x)
MEDIAN = Statistic(lambda x: float(np.median(x)), lambda x: np.sign(x - np.nanmedian(x)))
RMS = Statistic(lambda x: float(np.sqrt(np.mean(np.square(x)))), np.square)


class Difference(NamedTuple):
    """Two figures, the second less the first with its interval, and of how many frames they are.

    `low` and `high` are None if the frames are too few.
    """

    first: float
    second: float
    value: float
    low: float | None
    high: float | None
    frames: int


def paired_difference(
    first: FloatArray,
    second: FloatArray,
    recordings: IntArray,
    statistic: Statistic,
    seed: int = 0,
) -> Difference | None:
    """The difference of a statistic between two films of values, over what both have.

    Args:
        first, second: (F, N) values of N things in F frames, in order of time; NaN for none.
        recordings: (F,) number of the recording that each frame is of.
        statistic: of all values of a film.
        seed: of the resampling.

    Returns:
        None if there is no value that both have.
    """
    known = np.isfinite(first) & np.isfinite(second)
    rows = known.any(axis=1)
    if not rows.any():
        return None
    known, first, second, recordings = known[rows], first[rows], second[rows], recordings[rows]

    def figures(frames: IntArray | slice) -> tuple[float, float]:
        kept = known[frames]
        return statistic.figure(first[frames][kept]), statistic.figure(second[frames][kept])

    (a, b), count = figures(slice(None)), len(known)
    if count < LEAST_FRAMES:
        return Difference(a, b, b - a, None, None, count)
    if np.array_equal(first[known], second[known]):
        return Difference(a, b, 0.0, 0.0, 0.0, count)
    films = (np.where(known, each, np.nan) for each in (first, second))
    before, after = (statistic.influence(film) for film in films)
    length = min(2 * block_length(np.nanmean(after - before, axis=1)), count // LEAST_BLOCKS)
    lengths = np.unique(recordings, return_counts=True)[1]
    rng = np.random.default_rng(seed)
    replicates = [figures(resample(lengths, length, rng)) for _ in range(REPLICATES)]
    freedom = count / length - 1
    # A sample of blocks varies about its own mean, which is a little nearer than the truth.
    error = float(np.std(np.diff(replicates))) * np.sqrt((freedom + 1) / freedom)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(a, b, b - a, b - a - reach, b - a + reach, count)


def resample(lengths: Sequence[int] | IntArray, block: int, rng: np.random.Generator) -> IntArray:
    """Numbers of as many frames as films of some lengths have together, drawn in blocks.

    Each block is of one film, whose end is followed by its beginning, so that all frames are
    equally likely. How much is drawn from which film is left to chance too.
    """
    count = int(np.sum(lengths))
    begins, sizes = (np.repeat(each, lengths) for each in (np.cumsum(lengths) - lengths, lengths))
    starts = rng.integers(0, count, -(-count // block))
    begin, size = begins[starts, None], sizes[starts, None]
    frames = begin + (starts[:, None] - begin + np.arange(block)) % size
    return frames.ravel()[:count]


def block_length(series: FloatArray) -> int:
    """The length of blocks for resampling the mean of a series (F,), by Politis and White."""
    count = len(series)
    centred = series - series.mean()
    run = max(5, int(np.ceil(np.sqrt(np.log10(count)))))  # lags without correlation that suffice
    lags = min(int(np.ceil(np.sqrt(count))) + run, count - 1)
    covariance = np.array([centred[: count - k] @ centred[k:] for k in range(lags + 1)]) / count
    if covariance[0] <= 0:
        return 1
    is_correlated = np.abs(covariance / covariance[0]) >= 2 * np.sqrt(np.log10(count) / count)
    memory = next(
        (k for k in range(lags) if not is_correlated[k + 1 : k + 1 + run].any()),
        lags,
    )
    reach = min(2 * max(memory, 1), lags)
    k = np.arange(-reach, reach + 1)
    weights = np.clip(2 * (1 - np.abs(k) / reach), 0, 1) * covariance[np.abs(k)]
    slope, spectrum = (np.abs(k) * weights).sum(), weights.sum()
    if spectrum <= 0:
        return 1
    return max(1, round(float((1.5 * slope**2 / spectrum**2) ** (1 / 3) * count ** (1 / 3))))
