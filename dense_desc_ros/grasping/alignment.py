"""Sets of points aligned to others by uncertain correspondences, most of which may be wrong.

Two correspondences are compatible when both sets give the same distance between their points. Right
ones are compatible with each other, wrong ones by chance alone; so the number of correspondences
that are compatible with both ends of a pair tells right pairs from wrong. Each of the best
connected correspondences, with its closest companions, proposes a motion, and the one that most
agree with wins. Nothing is drawn by chance: the same input gives the same answer.

Source: Chen et al., "SC2-PCR: A Second Order Spatial Compatibility for Efficient and Robust Point
Cloud Registration" (CVPR 2022); RANSAC needs many more proposals for the same share of outliers.

Everything is done for R sets at once, in NumPy: for so few points calling PyTorch takes longer than
computing, and every set counts in the time of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

Flags = npt.NDArray[np.bool_]

SEEDS = 8  # correspondences that propose a motion; as many again for objects of the same size
SAME_SIZE = 1.1  # the more changes of size are allowed, the more wrong ones seem compatible
COMPANIONS = 10  # of each, at most
MOST = 512  # correspondences of a set that propose: pairs of all would take memory without bound
FEWEST = 3
REFINEMENTS = 3
SCALE_GAIN = 1.1  # a change of size is believed if so many times as much agrees with it
LINE = 0.004  # m; points nearer to one line than this leave the turn about it open


@dataclass(frozen=True, eq=False)
class Alignments:
    """How each of R sets of points a is moved to lie on points b.

    Attributes:
        rotation: (R, 3, 3).
        translation: (R, 3) metres.
        scale: (R,) b's size over a's; b ≈ scale · rotation @ a + translation.
        inliers: (R, S, P) bool, the correspondences that agree, for each point one at most.
        found: (R,) bool; where it is False no three agree, or those that do lie on a line, and the
            rest means nothing.
    """

    rotation: FloatArray
    translation: FloatArray
    scale: FloatArray
    inliers: Flags
    found: Flags

    def apply(self, points: FloatArray) -> FloatArray:
        """Where points (R, S, 3) of a lie in b."""
        return _move(self.scale[:, None, None] * self.rotation, self.translation, points)


def align(
    a: FloatArray,
    b: FloatArray,
    weights: FloatArray,
    importance: FloatArray,
    tolerance: FloatArray,
    scales: tuple[float, float],
    start: FloatArray | None = None,
    hypotheses: int = 1,
) -> Alignments:
    """Find the motions, and if need be the changes of size, that most correspondences agree with.

    Args:
        a: (R, S, 3) points of each set, metres.
        b: (R, S, P, 3) where each may be; of P places at most one is right. Finite.
        weights: (R, S, P) how much each place counts; 0 where there is none.
        importance: (R, S) how much each point counts in the fit to those that agree, beside that.
            Which motion is the right one is for all of them to say: by those that matter most
            alone, few as they are, it would often be another.
        tolerance: (R, S, P) metres, how far b may be off.
        scales: least and greatest change of size that two correspondences may show together; the
            one found is not limited by it.
        start: (R, 4, 4) motions, or similarities, to begin with, if they are about known; they may
            be one that only few correspondences propose.
        hypotheses: H, how many motions of each set to give, unlike each other, where no start is
            given: the one that most agree with first. Sets in the answer are R · H, first all those
            of the first.
    """
    if start is None:
        sets, points, places = weights.shape
        flat_a, flat_b = np.repeat(a, places, axis=1), b.reshape(sets, -1, 3)
        w, t = weights.reshape(sets, -1), tolerance.reshape(sets, -1)
        group = np.broadcast_to(np.repeat(np.arange(points), places), w.shape)
        if w.shape[1] > MOST:
            best = np.arange(sets)[:, None], np.argpartition(-w, MOST, axis=1)[:, :MOST]
            flat_a, flat_b, w, t, group = flat_a[best], flat_b[best], w[best], t[best], group[best]
        linear, shift, found = _propose(flat_a, flat_b, w, t, group, scales, hypotheses)
        a, b, weights, importance, tolerance = (
            np.repeat(x, hypotheses, axis=0) for x in (a, b, weights, importance, tolerance)
        )
    else:
        linear, shift, found = start[:, :3, :3], start[:, :3, 3], np.ones(len(a), bool)
    fitted = weights * importance[:, :, None]
    rigid = _refine(a, b, fitted, tolerance, linear, shift, scaled=False)
    agreeing = rigid.inliers.sum(axis=(1, 2))
    possible = (weights > 0).any(axis=2).sum(axis=1)
    tried = np.flatnonzero((possible > SCALE_GAIN * agreeing) | ~rigid.found)
    if len(tried):
        similar = _refine(
            a[tried],
            b[tried],
            fitted[tried],
            tolerance[tried],
            linear[tried],
            shift[tried],
            scaled=True,
        )
        more = similar.inliers.sum(axis=(1, 2)) > SCALE_GAIN * agreeing[tried]
        resized = similar.found & (more | ~rigid.found[tried])
        for field in fields(Alignments):
            getattr(rigid, field.name)[tried[resized]] = getattr(similar, field.name)[resized]
    np.logical_and(rigid.found, found, out=rigid.found)
    return rigid


def fit_motion(
    a: FloatArray, b: FloatArray, weights: FloatArray, scaled: bool
) -> tuple[FloatArray, FloatArray]:
    """The motions, with a change of size if `scaled`, that map points a (..., n, 3) to b best.

    As `se3.kabsch` and `se3.umeyama`, see there for sources; in NumPy, and without derivatives.

    Returns:
        Linear parts (..., 3, 3), and translations (..., 3).
    """
    w = weights[..., None, :] / np.maximum(weights.sum(axis=-1), 1e-12)[..., None, None]
    mean_a, mean_b = w @ a, w @ b
    centred_a, centred_b = a - mean_a, b - mean_b
    covariance = (np.swapaxes(centred_b, -1, -2) * w) @ centred_a
    u, s, vt = np.linalg.svd(covariance)
    signs = np.ones_like(s)
    signs[..., 2] = np.where(np.linalg.det(u @ vt) < 0, -1, 1)
    linear = (u * signs[..., None, :]) @ vt
    if scaled:
        spread = (w @ centred_a**2).sum(axis=(-2, -1))
        linear = linear * ((s * signs).sum(axis=-1) / np.maximum(spread, 1e-12))[..., None, None]
    return linear, (mean_b - mean_a @ np.swapaxes(linear, -1, -2))[..., 0, :]


def _propose(
    a: FloatArray,
    b: FloatArray,
    weights: FloatArray,
    tolerance: FloatArray,
    group: npt.NDArray[np.integer],
    scales: tuple[float, float],
    hypotheses: int,
) -> tuple[FloatArray, FloatArray, Flags]:
    """The best motions (R · H) of each set by what M correspondences say, and if there are any.

    Args:
        a, b: (R, M, 3).
        weights, tolerance: (R, M).
        group: (R, M) the point that each is of.
        scales, hypotheses: see `align`.
    """
    same_size = max(scales[0], 1 / SAME_SIZE), min(scales[1], SAME_SIZE)
    seconds = _second_order(a, b, weights > 0, tolerance, group, (same_size, scales))
    motions = [_best_motion(a, b, weights, tolerance, seconds)]
    for _ in range(1, hypotheses):
        linear, shift, _ = motions[-1]
        gaps = np.square(a @ np.swapaxes(linear, 1, 2) + shift[:, None] - b).sum(axis=2)
        weights = np.where(gaps <= tolerance**2, 0, weights)
        left = weights > 0
        seconds = [second * left[:, None] * left[:, :, None] for second in seconds]
        motions.append(_best_motion(a, b, weights, tolerance, seconds))
    linear, shift, found = (np.stack(parts, axis=1) for parts in zip(*motions, strict=True))
    return linear.reshape(-1, 3, 3), shift.reshape(-1, 3), found.ravel()


def _best_motion(
    a: FloatArray,
    b: FloatArray,
    weights: FloatArray,
    tolerance: FloatArray,
    seconds: Sequence[FloatArray],
) -> tuple[FloatArray, FloatArray, Flags]:
    """That of each set which most correspondences agree with, of those that seeds propose."""
    proposals = [_seeds(second) for second in seconds]
    seeds, of_seeds = (np.concatenate(parts, axis=1) for parts in zip(*proposals, strict=True))
    companions = np.argsort(-of_seeds, axis=2, kind="stable")[:, :, :COMPANIONS]
    joined = np.take_along_axis(of_seeds, companions, axis=2) > 0
    chosen = np.concatenate([seeds[:, :, None], companions], axis=2)
    counted = np.concatenate([np.ones((*seeds.shape, 1), bool), joined], axis=2)
    sets = np.arange(len(a))[:, None, None]
    linear, shift = fit_motion(
        a[sets, chosen], b[sets, chosen], weights[sets, chosen] * counted, scaled=False
    )
    moved = linear.reshape(len(a), -1, 3) @ np.swapaxes(a, 1, 2)  # all proposals one below another
    gaps = moved.reshape(*shift.shape, -1) + shift[..., None] - np.swapaxes(b, 1, 2)[:, None]
    relative = np.square(gaps).sum(axis=2) / tolerance[:, None] ** 2
    agreement = (np.clip(1 - relative, 0, None) * weights[:, None]).sum(axis=2)
    enough = counted.sum(axis=2) >= FEWEST
    best = np.where(enough, agreement, -1).argmax(axis=1)
    at = np.arange(len(a)), best
    return linear[at], shift[at], enough.any(axis=1)


def _seeds(second: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The best connected correspondences (R, n) of (R, M, M), and their connections (R, n, M)."""
    seeds = np.argsort(-second.sum(axis=2), axis=1, kind="stable")[:, :SEEDS]
    return seeds, np.take_along_axis(second, seeds[:, :, None], axis=1)


def _second_order(
    a: FloatArray,
    b: FloatArray,
    present: Flags,
    tolerance: FloatArray,
    group: npt.NDArray[np.integer],
    bands: Sequence[tuple[float, float]],
) -> list[FloatArray]:
    """(R, M, M): for compatible pairs, how many others are compatible with both; else 0.

    One for each of `bands`, the least and the greatest change of size that is allowed.
    """
    length_a, length_b = (_lengths(x.astype(np.float32)) for x in (a, b))
    slack = (tolerance[:, :, None] + tolerance[:, None]).astype(np.float32)
    least, greatest = length_b - slack, length_b + slack
    possible = present[:, :, None] & present[:, None] & (group[:, :, None] != group[:, None])
    seconds = []
    for low, high in bands:
        compatible = possible & (least <= high * length_a) & (greatest >= low * length_a)
        first = compatible.astype(np.float32)
        seconds.append(first * (first @ first))
    return seconds


def _lengths(points: FloatArray) -> FloatArray:
    """Distances (R, M, M) between points (R, M, 3)."""
    squares = np.square(points).sum(axis=2)
    dots = points @ np.swapaxes(points, 1, 2)
    return np.sqrt(np.maximum(squares[:, :, None] + squares[:, None] - 2 * dots, 0))


def _refine(
    a: FloatArray,
    b: FloatArray,
    weights: FloatArray,
    tolerance: FloatArray,
    linear: FloatArray,
    shift: FloatArray,
    scaled: bool,
) -> Alignments:
    """Fit again to all that agree, until these are the same as before."""
    inliers = np.zeros(weights.shape, bool)
    for _ in range(REFINEMENTS):
        before, inliers = inliers, _agreeing(a, b, weights, tolerance, linear, shift)
        if (inliers == before).all():
            break
        counted = np.where(inliers, weights, 0)
        place = counted.argmax(axis=2)[:, :, None]
        nearest = np.take_along_axis(b, place[..., None], axis=2)[:, :, 0]
        linear, shift = fit_motion(a, nearest, counted.max(axis=2), scaled)
    used = np.asarray(inliers.any(axis=2))
    # Exactly 1 where no change of size was asked for: rounding would leave a range of (1, 1).
    scale = np.cbrt(np.maximum(np.linalg.det(linear), 1e-12)) if scaled else np.ones(len(linear))
    # Nor where a change of size lays them all on one place, which wrong places may agree on.
    smaller = np.minimum(scale, 1)[:, None, None]
    found = (used.sum(axis=1) >= FEWEST) & ~_on_a_line(smaller * a, used)
    return Alignments(linear / scale[:, None, None], shift, scale, inliers, found)


def _agreeing(
    a: FloatArray,
    b: FloatArray,
    weights: FloatArray,
    tolerance: FloatArray,
    linear: FloatArray,
    shift: FloatArray,
) -> Flags:
    """(R, S, P): the place of each point that is nearest to where a motion puts it, if near."""
    offsets = _move(linear, shift, a)[:, :, None] - b
    gaps = np.sqrt(np.einsum("rspi,rspi->rsp", offsets, offsets)) / tolerance
    gaps = np.where(weights > 0, gaps, np.inf)
    nearest = gaps.argmin(axis=2)[:, :, None] == np.arange(b.shape[2])
    return nearest & (gaps <= 1)


def _move(linear: FloatArray, shift: FloatArray, points: FloatArray) -> FloatArray:
    return points @ np.swapaxes(linear, 1, 2) + shift[:, None]


def _on_a_line(points: FloatArray, used: Flags) -> Flags:
    """Whether the used ones of each set of points (R, S, 3) are all near one line."""
    count = np.maximum(used.sum(axis=1), 1)[:, None, None]
    centred = (points - (points * used[..., None]).sum(axis=1, keepdims=True) / count) * used[
        ..., None
    ]
    spread = np.linalg.eigvalsh(np.swapaxes(centred, 1, 2) @ centred / count)
    return np.asarray(spread[:, 1] < LINE**2)
