"""The part of an object that belongs together around a pixel, when nobody gives its mask."""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, RgbdFrame

Mask = npt.NDArray[np.bool_]

STEP = 3  # px between the depths whose differences tell slopes: one pixel is mostly noise
JUMP = 0.02  # depths further apart than this share, beside each other, are two surfaces
CREASE = np.cos(np.radians(35.0))  # two surfaces meet where normals turn by more within 2 · STEP px


def grow_region(frame: RgbdFrame, pixel: FloatArray, radius: float) -> Mask:
    """What is connected with a pixel by a surface without jumps and creases, (H, W) bool.

    A box that stands on a table ends where the two meet; a cloth that hangs over it does not.

    Args:
        frame: what is seen.
        pixel: (u, v) on the image, where depth is measured.
        radius: metres around the point at the pixel that the region may reach.

    Returns:
        Empty when there is no depth at the pixel, nor within a few pixels of it.
    """
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in frame.depth.shape[::-1])), axis=-1)
    filled = _close_specks(frame.depth)
    points = frame.camera.back_project(grid, filled)
    _, labels = cv2.connectedComponents(_smooth(points).astype(np.uint8), connectivity=4)
    v, u = _nearest(labels > 0, pixel)
    if v < 0:
        return np.zeros(frame.depth.shape, bool)
    inside = np.linalg.norm(points - points[v, u], axis=2) < radius
    _, labels = cv2.connectedComponents(
        ((labels == labels[v, u]) & inside).astype(np.uint8), connectivity=4
    )
    region = (labels == labels[v, u]).astype(np.uint8)
    # What lies beside a crease or a hole was left out because of its neighbours alone.
    grown = cv2.dilate(region, np.ones((2 * STEP + 1, 2 * STEP + 1), np.uint8))
    near = (
        np.abs(
            filled
            - cv2.blur(np.where(region > 0, filled, 0), (9, 9))
            / np.maximum(cv2.blur(region.astype(np.float32), (9, 9)), 1e-6)
        )
        < JUMP * filled
    )
    return (region > 0) | ((grown > 0) & near & inside)


def _close_specks(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Depth with single missing pixels filled by their neighbours' median, and noise smoothed."""
    known = np.isfinite(depth)
    smooth = cv2.blur(np.where(known, depth, 0), (5, 5))
    share = cv2.blur(known.astype(np.float32), (5, 5))
    return np.where(share > 0.5, smooth / np.maximum(share, 1e-6), np.nan).astype(np.float32)


def _smooth(points: FloatArray) -> Mask:
    """Where the surface (H, W, 3) neither jumps nor turns sharply."""
    right, down = np.roll(points, -STEP, axis=1), np.roll(points, -STEP, axis=0)
    left, up = np.roll(points, STEP, axis=1), np.roll(points, STEP, axis=0)
    with np.errstate(invalid="ignore"):
        normals = np.cross(down - up, right - left)
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        turn = np.minimum(
            (np.roll(normals, -STEP, axis=1) * np.roll(normals, STEP, axis=1)).sum(axis=2),
            (np.roll(normals, -STEP, axis=0) * np.roll(normals, STEP, axis=0)).sum(axis=2),
        )
        depth = points[..., 2]
        jump = np.maximum(np.abs(right[..., 2] - left[..., 2]), np.abs(down[..., 2] - up[..., 2]))
        # A slope is no jump: what counts is how far the middle is from its neighbours' mean.
        bend = np.maximum(
            np.abs(right[..., 2] + left[..., 2] - 2 * depth),
            np.abs(down[..., 2] + up[..., 2] - 2 * depth),
        )
        smooth = (turn > CREASE) & (bend < JUMP * depth) & (jump < 4 * JUMP * depth)
    border = 2 * STEP
    smooth[:border] = smooth[-border:] = False
    smooth[:, :border] = smooth[:, -border:] = False
    return np.asarray(smooth)


def _nearest(mask: Mask, pixel: FloatArray) -> tuple[int, int]:
    """(v, u) of the mask's pixel nearest to (u, v), within a few; (-1, -1) if there is none."""
    rows, columns = np.nonzero(mask)
    distance = np.hypot(columns - pixel[0], rows - pixel[1])
    if not len(distance) or distance.min() > 4 * STEP:
        return -1, -1
    nearest = int(distance.argmin())
    return int(rows[nearest]), int(columns[nearest])
