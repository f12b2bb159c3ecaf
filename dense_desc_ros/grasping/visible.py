"""The measured points around a place."""

import math

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, RgbdFrame

MAX_PIXELS = 20_000  # looked at around a grasp: points 2.5 mm apart for the default gripper
SURFACE_GAP = 0.015  # depths of neighbours further apart than this share are different surfaces


def visible_points(frame: RgbdFrame, centre: npt.ArrayLike, radius: float) -> FloatArray:
    """Measured points (N, 3) in the camera frame within a radius (m) of a centre (3,) in it.

    Not all of them where that would be too many, and no flying pixels: a pixel counts if its depth
    is near that of a neighbour to its left or right, and of one above or below it.
    """
    x, y, z = np.asarray(centre, dtype=float)
    if z + radius <= 0:
        return np.empty((0, 3))
    camera = frame.camera
    left, right = _window(x, z, radius, camera.fx, camera.cx, camera.width)
    top, bottom = _window(y, z, radius, camera.fy, camera.cy, camera.height)
    step = max(1.0, math.sqrt(max(0, right - left) * max(0, bottom - top) / MAX_PIXELS))
    rows = np.arange(top, bottom, step).astype(int)
    columns = np.arange(left, right, step).astype(int)

    def depth_at(dv: int, du: int) -> npt.NDArray[np.float32]:
        # Beyond the border a pixel is its own neighbour, and so is judged by the others.
        v = np.clip(rows + dv, 0, camera.height - 1)
        u = np.clip(columns + du, 0, camera.width - 1)
        return frame.depth[np.ix_(v, u)]

    depth = depth_at(0, 0)
    near = SURFACE_GAP * depth
    beside = (abs(depth_at(0, -1) - depth) <= near) | (abs(depth_at(0, 1) - depth) <= near)
    above = (abs(depth_at(-1, 0) - depth) <= near) | (abs(depth_at(1, 0) - depth) <= near)
    i, j = np.nonzero(beside & above)
    points = camera.back_project(np.stack([columns[j], rows[i]], axis=1), depth[i, j])
    return points[np.linalg.norm(points - [x, y, z], axis=1) <= radius]


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
    return int(np.clip(math.ceil(first), 0, size)), int(np.clip(math.floor(last) + 1, 0, size))
