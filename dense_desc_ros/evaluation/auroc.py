"""How surely a score tells two kinds apart."""

import numpy as np

from dense_desc_ros.camera import FloatArray


def auroc(positive: FloatArray, negative: FloatArray) -> float:
    """Probability that a positive's score (N,) is above a negative's (M,), equal ones count half.

    The area under the receiver operating characteristic: 1 is perfect, 0.5 is chance. Computed from
    ranks, as Mann and Whitney's U is.
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))
