"""The part of an object that belongs together around a pixel, when nobody gives its mask."""

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.rgbd_frame import RgbdFrame

Mask = npt.NDArray[np.bool_]

STEP = 3  # px between the depths whose differences tell slopes: one pixel is mostly noise
BLUR = 5  # px, side of the window that depth is averaged in
JUMP = 0.02  # depths further apart than this share, beside each other, are two surfaces
CREASE = np.cos(np.radians(35.0))  # two surfaces meet where normals turn by more within 2 · STEP px
SEARCH = 4 * STEP  # px from the pixel to where its surface must begin
PLANE_SHARE = 0.3  # of what is around: more is what the object stands on
PLANE_NEAR = 0.008  # m
BEHIND_SHARE = 0.2  # of its points: more behind it, and it is a side of the object
SURROUNDINGS = 2.0  # times the radius, in which that is looked for


def grow_region(frame: RgbdFrame, pixel: npt.ArrayLike, radius: float) -> Mask:
    """What is connected with a pixel by a surface without jumps and creases, (H, W) bool.

    The plane that the object stands on is left out, also where it meets the object too smoothly to
    be told from it. If the pixel itself is on it, as in a bowl with a thin bottom, only what of the
    plane is connected with the pixel stays.

    Args:
        frame: what is seen.
        pixel: (u, v) on the image, where depth is measured.
        radius: metres around the point at the pixel that the region may reach.

    Returns:
        Empty when there is no surface within a few pixels of the pixel.
    """
    region, at = np.zeros(frame.depth.shape, bool), np.asarray(pixel, dtype=float)
    window = _window(frame, at, SURROUNDINGS * radius)
    if window is None:
        return region
    rows, columns = window
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in (columns, rows))), axis=-1)
    depth = _averaged(frame.depth[window])
    points = frame.camera.back_project(grid, depth)
    _, labels = cv2.connectedComponents(_smooth(points).astype(np.uint8), connectivity=4)
    seed = _nearest(labels > 0, at - [columns.start, rows.start])
    if seed is None:
        return region
    near = np.linalg.norm(points - points[seed], axis=2) < radius
    # What lies beside an edge or a hole was left out because of its neighbours alone.
    inside = cv2.dilate((labels == labels[seed]).astype(np.uint8), np.ones((2 * STEP + 1,) * 2)) > 0
    inside &= near
    plane = _on_plane(points, points[seed], SURROUNDINGS * radius)
    _, labels = cv2.connectedComponents((inside & plane).astype(np.uint8), connectivity=4)
    inside &= ~plane | ((labels == labels[seed]) & (labels[seed] > 0))
    _, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    if labels[seed]:
        region[window] = labels == labels[seed]
    return region


def _window(frame: RgbdFrame, pixel: FloatArray, reach: float) -> tuple[slice, slice] | None:
    """Rows and columns in which everything is that lies within reach (m) of a pixel's point."""
    u, v = np.rint(pixel).astype(int)
    around = frame.depth[max(v - SEARCH, 0) : v + SEARCH + 1, max(u - SEARCH, 0) : u + SEARCH + 1]
    if not np.isfinite(around).any():
        return None
    height, width = frame.depth.shape
    nearest = float(np.nanmin(around))
    half = int(min(reach * frame.camera.fx / nearest, height + width)) + SEARCH
    return (
        slice(max(v - half, 0), min(v + half + 1, height)),
        slice(max(u - half, 0), min(u + half + 1, width)),
    )


def _averaged(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Depth with single missing pixels filled, and noise smoothed."""
    known = np.isfinite(depth)
    total = cv2.blur(np.where(known, depth, 0), (BLUR, BLUR))
    share = cv2.blur(known.astype(np.float32), (BLUR, BLUR))
    return np.where(share > 0.5, total / np.maximum(share, 1e-6), np.nan).astype(np.float32)


def _smooth(points: FloatArray) -> Mask:
    """Where the surface (h, w, 3) neither jumps nor turns sharply."""
    depth = np.pad(points, [(STEP, STEP), (STEP, STEP), (0, 0)], constant_values=np.nan)
    left, right = depth[STEP:-STEP, : -2 * STEP], depth[STEP:-STEP, 2 * STEP :]
    up, down = depth[: -2 * STEP, STEP:-STEP], depth[2 * STEP :, STEP:-STEP]
    with np.errstate(invalid="ignore"):
        normals = np.cross(down - up, right - left)
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        turns = [
            np.sum(np.roll(normals, -STEP, axis) * np.roll(normals, STEP, axis), axis=2)
            for axis in (0, 1)
        ]
        middle = points[..., 2]
        # A slope is no jump: what counts is how far the middle is from its neighbours' mean.
        bends = [np.abs(a[..., 2] + b[..., 2] - 2 * middle) for a, b in ((left, right), (up, down))]
        smooth = (np.minimum(*turns) > CREASE) & (np.maximum(*bends) < JUMP * middle)
    return np.asarray(smooth)


def _nearest(mask: Mask, pixel: FloatArray) -> tuple[int, int] | None:
    """(v, u) of the mask's pixel nearest to (u, v); None if there is none within SEARCH px."""
    rows, columns = np.nonzero(mask)
    distance = np.hypot(columns - pixel[0], rows - pixel[1])
    if not len(distance) or distance.min() > SEARCH:
        return None
    nearest = int(distance.argmin())
    return int(rows[nearest]), int(columns[nearest])


def _on_plane(points: FloatArray, point: FloatArray, reach: float) -> Mask:
    """Which points (h, w, 3) lie on the plane that most of what is within reach (m) lies on.

    None, if there is no such plane.
    """
    around = points[np.linalg.norm(points - point, axis=2) < reach][::7]
    if len(around) < 100:
        return np.zeros(points.shape[:2], bool)
    o3d.utility.random.seed(0)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(around))
    plane, inliers = cloud.segment_plane(PLANE_NEAR, ransac_n=3, num_iterations=200)
    plane = plane * np.sign(plane[3])  # the camera is on its positive side
    heights = points @ plane[:3] + plane[3]
    behind = np.count_nonzero(around @ plane[:3] + plane[3] < -PLANE_NEAR)
    # What an object stands on has it before it; a plane through the object itself, its rest behind.
    if len(inliers) < PLANE_SHARE * len(around) or behind > BEHIND_SHARE * len(inliers):
        return np.zeros(points.shape[:2], bool)
    return np.asarray(np.abs(heights) < PLANE_NEAR)
