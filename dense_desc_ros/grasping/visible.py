"""The measured points around a place."""

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.grasping.surface import measure_depths
from dense_desc_ros.rgbd_frame import RgbdFrame

MAX_PIXELS = 40_000  # looked at around a grasp: points 3.5 mm apart at most for the default gripper
SURFACE_GAP = 0.015  # depths of neighbours further apart than this share are different surfaces


class VisibleSurface:
    """The surfaces that a frame sees, without flying pixels; found once for all grasps in it.

    A pixel counts if its depth is near that of a neighbour to its left or right, and of one above
    or below it.
    """

    def __init__(self, frame: RgbdFrame) -> None:
        self._frame = frame

    @property
    def camera(self) -> PinholeCamera:
        return self._frame.camera

    def depths(self, pixels: FloatArray) -> FloatArray:
        """Depths (n,) of what is seen at pixels (n, 2), metres; NaN if nothing is, or off the
        picture."""
        size = np.array([self.camera.width, self.camera.height])
        inside = ((pixels >= -0.5) & (pixels < size - 0.5)).all(axis=1)  # False for NaN
        depths = np.full(len(pixels), np.nan)
        depths[inside] = measure_depths(self._frame, pixels[inside])
        return depths

    def points(self, centre: npt.ArrayLike, radius: float) -> npt.NDArray[np.float32]:
        """Measured points (N, 3) in the camera frame within a radius (m) of a centre (3,) in it.

        Not all of them where that would be too many.
        """
        x, y, z = np.asarray(centre, dtype=float).tolist()
        if z + radius <= 0:
            return np.empty((0, 3), np.float32)
        camera = self.camera
        left, right = _window(x, z, radius, camera.fx, camera.cx, camera.width)
        top, bottom = _window(y, z, radius, camera.fy, camera.cy, camera.height)
        step = max(1, math.ceil(math.sqrt((right - left) * (bottom - top) / MAX_PIXELS)))
        rows, columns = slice(top, bottom, step), slice(left, right, step)
        across, down = self._rays
        depth = self._depth[rows, columns]
        seen = np.empty((3, *depth.shape), np.float32)
        seen[2] = depth
        np.multiply(seen[2], across[columns], out=seen[0])
        np.multiply(seen[2], down[rows, None], out=seen[1])
        seen = seen.reshape(3, -1)
        offsets = seen - np.array([[x], [y], [z]], np.float32)
        near = np.einsum("ij,ij->j", offsets, offsets) <= radius**2  # False for NaN
        return seen.compress(near, axis=1).T

    @cached_property
    def _depth(self) -> npt.NDArray[np.float32]:
        """(H, W) metres, NaN where there is no surface."""
        depth = self._frame.depth
        gap = SURFACE_GAP * depth
        beside = np.abs(depth[:, 1:] - depth[:, :-1]) <= gap[:, :-1]
        below = np.abs(depth[1:] - depth[:-1]) <= gap[:-1]
        is_surface = np.ones(depth.shape, bool)  # at the borders, where there is one neighbour only
        np.logical_or(beside[:, :-1], beside[:, 1:], out=is_surface[:, 1:-1])
        is_surface[1:-1] &= below[:-1] | below[1:]
        return np.where(is_surface, depth, np.float32(np.nan))

    @cached_property
    def _rays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """x of each column and y of each row, at depth 1."""
        camera = self.camera
        across = (np.arange(camera.width) - camera.cx) / camera.fx
        down = (np.arange(camera.height) - camera.cy) / camera.fy
        return across.astype(np.float32), down.astype(np.float32)


def _window(
    offset: float, depth: float, radius: float, focal: float, centre: float, size: int
) -> tuple[int, int]:
    """First pixel, and the one after the last, of a row or column in which a ball is seen.

    Args:
        offset, depth: of the ball's centre, right of or below the camera and in front of it.
        radius: of the ball, metres as the others.
        focal, centre: length and point, pixels.
        size: of the row or column, pixels.
    """
    distance = math.hypot(offset, depth)
    if distance <= radius:
        return 0, size
    direction, half = math.atan2(offset, depth), math.asin(radius / distance)
    first, last = (
        focal * math.tan(angle) + centre if abs(angle) < math.pi / 2 else math.copysign(1e9, angle)
        for angle in (direction - half, direction + half)
    )
    return min(max(math.ceil(first), 0), size), min(max(math.floor(last) + 1, 0), size)
