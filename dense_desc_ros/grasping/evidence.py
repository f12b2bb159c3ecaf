"""How much speaks for a pose of a reference: how alike the places are where it puts the support."""

import numpy as np

from dense_desc_ros.camera import FloatArray

SHARPNESS = 8  # power of similarities: a cap's places are all much alike, even wrong ones
LEAST_EXPECTED = 0.4  # share of a view's support that counts even if less can be seen


def evidence(of_view: FloatArray, expected: FloatArray, similarity: FloatArray) -> FloatArray:
    """How alike (n,), from 0 to 1, supports' points are; of the views that are most alike.

    The root of the mean of a high power of similarities. Where little is expected to be seen, as
    much counts as if LEAST_EXPECTED of all were.

    Args:
        of_view: (n, S, V) how much each point of n supports counts in the view that it is of, 0 in
            others.
        expected: (n, S) from 0 to 1, how much each is expected to be seen.
        similarity: (n, S) of their places in the frame, 0 where these do not agree on a pose.
    """
    total = of_view.sum(axis=1)
    counted = np.einsum("nsv,ns->nv", of_view, np.where(similarity > 0, 1, expected))
    sums = np.einsum("nsv,ns->nv", of_view, similarity**SHARPNESS)
    means = sums / np.maximum(np.maximum(counted, LEAST_EXPECTED * total), 1e-9)
    return np.asarray(np.sqrt(np.where(total > 0, means, 0).max(axis=1)))
