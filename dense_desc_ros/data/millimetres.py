"""Depth as cameras and PNG files carry it, 16-bit millimetres with 0 as invalid, and as we do."""

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

FARTHEST = np.iinfo(np.uint16).max


def from_millimetres(millimetres: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Metres as float32 with NaN where there is none, of any shape and byte order."""
    depth = millimetres.astype(np.float32)
    depth /= np.float32(1000)
    np.copyto(depth, np.nan, where=depth == 0)
    return depth


def to_millimetres(depth: FloatArray) -> npt.NDArray[np.uint16]:
    """Rounded millimetres; NaN, what is not positive and what is beyond 65.535 m becomes 0."""
    millimetres = np.rint(depth * np.float32(1000))
    valid = (millimetres > 0) & (millimetres <= FARTHEST)
    return np.where(valid, millimetres, 0).astype(np.uint16)
