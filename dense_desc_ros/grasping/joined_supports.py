"""The supports of several references as arrays, so that all are looked for at once."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.grasping.alignment import Flags
from dense_desc_ros.references import Reference

KEPT = 64  # of the latest; from frame to frame they are the same


class JoinedSupports:
    """Those of R references, padded to the S points of the largest; none may be empty.

    Attributes:
        descriptors: (N, D) of all points, one reference after another.
        there: (R, S) bool, where there is a point and not only padding.
        index: (R, S) which of the N each is; 0 where there is none.
        points: (R, S, 3) in the frame of each reference's point, metres; 0 where there is none.
        of_view: (R, S, V) 1 for the registered view that each comes from, else 0.
    """

    def __init__(self, references: Sequence[Reference]) -> None:
        supports = [reference.support for reference in references]
        sizes = np.array([len(support) for support in supports])
        self.descriptors = torch.cat([support.descriptors for support in supports])
        self.there: Flags = np.arange(sizes.max()) < sizes[:, None]
        self.index: npt.NDArray[np.intp] = np.zeros(self.there.shape, np.intp)
        self.index[self.there] = np.arange(sizes.sum())
        self.points: FloatArray = np.zeros((*self.there.shape, 3))
        self.points[self.there] = np.concatenate([support.points_array for support in supports])
        views = np.concatenate([support.views.numpy() for support in supports])
        self.of_view: FloatArray = np.zeros((*self.there.shape, views.max() + 1))
        self.of_view[self.there] = np.eye(views.max() + 1)[views]


@lru_cache(maxsize=KEPT)
def joined_supports(references: tuple[Reference, ...]) -> JoinedSupports:
    """Those of some references, made once and then kept."""
    return JoinedSupports(references)
