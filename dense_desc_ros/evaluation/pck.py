"""PCK, the percentage of correct keypoints, and what is derived from it.

PCK@k is the share of matches at most k pixels from the truth. k counts pixels of a 640x480 image;
in images of other sizes it is as large a part of the diagonal.
"""

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

THRESHOLDS = np.arange(1, 101)
DIAGONAL = 800.0  # px, of 640x480
ROUNDING = 1e-9


def pixel_errors(found: FloatArray, truth: FloatArray, height: int, width: int) -> FloatArray:
    """Distances (N,) between pixels (N, 2) of an image (H, W), in pixels of a 640x480 image."""
    return np.linalg.norm(found - truth, axis=-1) * (DIAGONAL / np.hypot(height, width))


def pck(errors: npt.ArrayLike) -> FloatArray:
    """PCK@k for k = 1...100, (100,), of errors (N,) in pixels of a 640x480 image; NaN for none."""
    return _shares(np.asarray(errors, dtype=float), THRESHOLDS + ROUNDING)


def cosine_pck(found: FloatArray, truth: FloatArray) -> FloatArray:
    """Share of matches whose pixel has a cosine similarity ≥ k/100 with the true one, (100,).

    The pixels (N, 2) are taken as vectors from the image's origin, so this is lenient: any match in
    the right direction counts. It is how the script published with "Training Dense Object Nets: A
    Novel Approach" scores, and only meant to stand beside its table.
    """
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(truth, axis=-1)
    similarity = (found * truth).sum(axis=-1) / np.maximum(lengths, ROUNDING)
    return _shares(-similarity, ROUNDING - THRESHOLDS / 100)


def auc(curve: FloatArray) -> float:
    """Area under a curve over k = 1...100, as its mean: 1 is perfect."""
    return float(np.mean(curve))


def _shares(values: FloatArray, limits: FloatArray) -> FloatArray:
    """Which share of values (N,) is at most each limit (K,)."""
    if not len(values):
        return np.full(len(limits), np.nan)
    return np.searchsorted(np.sort(values), limits, side="right") / len(values)
