"""The surface seen at a pixel, in spite of holes, edges, flying pixels and noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError, MissingDepthError
from dense_desc_ros.rgbd_frame import RgbdFrame

WINDOW_RADIUS = 2  # px, in which `measure_points` takes its median
SEARCH_RADIUS = 4  # px around the pixel in which there must be depth
PATCH_RADIUS = 0.012  # m of surface that the plane is fitted to, but at least
MIN_PATCH_PX = 6  # as much as this many pixels, since far away depth is noisier and sparser
MAX_PATCH_PX = 40  # as much is enough, and quick
SURFACE_GAP = 0.015  # depths further apart than this share are different surfaces
MIN_SHARE = 0.15  # of the depths in the search window: fewer are flying pixels
MIN_POINTS = 6


@dataclass(frozen=True, eq=False)
class SurfacePatch:
    """The surface around a pixel: its `point` (3,) and unit `normal` (3,) towards the camera.

    Both in the camera frame; the point in metres.
    """

    point: FloatArray
    normal: FloatArray


def fit_surface(
    frame: RgbdFrame, pixel: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> SurfacePatch:
    """Fit a plane to the surface seen at a pixel, in spite of holes, edges and flying pixels.

    Of the surfaces around the pixel (depths split at gaps) the one nearest to it is taken; a plane
    is fitted to its points within 12 mm, or 6 px if that is more, and the point is where the
    pixel's ray meets that plane.

    Args:
        frame: what is seen.
        pixel: (u, v), fractions allowed.
        mask: (H, W) if given, only depth inside it counts, and the pixel must be inside it.

    Raises:
        InvalidInputError: the pixel is not on the image or the mask, or the mask has another size.
        MissingDepthError: no usable depth around the pixel.
    """
    pixel = np.asarray(pixel, dtype=float)
    if pixel.shape != (2,) or not frame.camera.contains(pixel):
        raise InvalidInputError(
            f"pixel {tuple(pixel.tolist())} is outside the "
            f"{frame.camera.width}x{frame.camera.height} image"
        )
    if mask is not None and mask.shape != frame.depth.shape:
        raise InvalidInputError(f"mask has shape {mask.shape}, depth {frame.depth.shape}")
    u, v = pixel
    if mask is not None and not mask[round(v), round(u)]:
        raise InvalidInputError(f"pixel ({u:g}, {v:g}) is outside the mask of its object")
    anchor_depth = _depth_at(frame, pixel, mask)
    ray = frame.camera.rays(pixel)
    anchor = ray * anchor_depth

    reach = max(PATCH_RADIUS, MIN_PATCH_PX * anchor_depth / frame.camera.fx)
    radius = min(round(reach * frame.camera.fx / anchor_depth), MAX_PATCH_PX)
    pixels, depths = _valid_depths(frame, pixel, radius, mask)
    points = frame.camera.back_project(pixels, depths)
    points = points[np.linalg.norm(points - anchor, axis=1) < reach]
    if len(points) < MIN_POINTS:
        return SurfacePatch(anchor, -ray / np.linalg.norm(ray))
    centre, normal = _fit_plane(points)
    normal = normal if normal @ ray < 0 else -normal
    slope = float(ray @ normal)
    depth = float(centre @ normal) / slope if slope < -0.1 else anchor_depth
    # Seen at a grazing angle the ray meets the plane anywhere; the depth read there is better then.
    if abs(depth - anchor_depth) > reach:
        depth = anchor_depth
    return SurfacePatch(ray * depth, normal)


def measure_points(frame: RgbdFrame, pixels: FloatArray) -> FloatArray:
    """Points (N, 3) in the camera frame, metres, that are seen at pixels (N, 2) on the image.

    Many at a time, and coarser than `fit_surface`; see `measure_depths`.
    """
    return frame.camera.back_project(pixels, measure_depths(frame, pixels))


def measure_depths(frame: RgbdFrame, pixels: FloatArray) -> FloatArray:
    """Depths (N,), metres, seen at pixels (N, 2) on the image.

    The median in a small window, NaN where less than half of it is measured. At an edge this is on
    one of the surfaces.
    """
    height, width = frame.depth.shape
    nearest = np.rint(pixels).astype(int)
    steps = np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    # Not by np.clip, which takes longer for so few.
    columns = np.minimum(np.maximum(nearest[:, :1] + steps, 0), width - 1)
    rows = np.minimum(np.maximum(nearest[:, 1:] + steps, 0), height - 1)
    inside = (rows[:, :, None] * width + columns[:, None]).reshape(len(pixels), len(steps) ** 2)
    depths = frame.depth.take(inside)
    depths.sort(axis=1)  # NaN last
    known = np.isfinite(depths).sum(axis=1)
    middle = depths[np.arange(len(pixels)), np.maximum(known - 1, 0) // 2].astype(float)
    middle[2 * known < depths.shape[1]] = np.nan
    return middle


def _depth_at(frame: RgbdFrame, pixel: FloatArray, mask: npt.NDArray[np.bool_] | None) -> float:
    """Median depth of the surface nearest to the pixel in the image."""
    pixels, depths = _valid_depths(frame, pixel, SEARCH_RADIUS, mask)
    if len(depths) < MIN_POINTS:
        raise MissingDepthError(
            f"no depth within {SEARCH_RADIUS} px of pixel ({pixel[0]:g}, {pixel[1]:g}): choose a "
            "point the camera can measure (not shiny, transparent or too near)"
        )
    order = np.argsort(depths)
    depths, distances = depths[order], np.linalg.norm(pixels[order] - pixel, axis=1)
    gaps = np.flatnonzero(np.diff(depths) > SURFACE_GAP * depths[:-1]) + 1
    surfaces = np.split(np.arange(len(depths)), gaps)
    solid = [s for s in surfaces if len(s) >= MIN_SHARE * len(depths)] or [max(surfaces, key=len)]
    nearest = min(solid, key=lambda s: distances[s].min())
    closest = nearest[np.argsort(distances[nearest])[: 3 * MIN_POINTS]]
    return float(np.median(depths[closest]))


def _valid_depths(
    frame: RgbdFrame, pixel: FloatArray, radius: int, mask: npt.NDArray[np.bool_] | None
) -> tuple[FloatArray, FloatArray]:
    """Pixels (N, 2) and depths (N,) of what is measured in a square window."""
    u, v = np.rint(pixel).astype(int)
    top, left = max(v - radius, 0), max(u - radius, 0)
    window = (slice(top, v + radius + 1), slice(left, u + radius + 1))
    valid = np.isfinite(frame.depth[window])
    if mask is not None:
        valid &= mask[window]
    rows, columns = np.nonzero(valid)
    pixels = np.stack([columns + left, rows + top], axis=1)
    return pixels, frame.depth[window][valid].astype(float)


def _fit_plane(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centre (3,) and unit normal (3,) of a plane through points (N, 3), outliers dropped once."""
    centre, normal = _least_squares_plane(points)
    residuals = np.abs((points - centre) @ normal)
    inliers = points[residuals <= 3 * 1.4826 * np.median(residuals) + 1e-6]
    return _least_squares_plane(inliers) if len(inliers) >= MIN_POINTS else (centre, normal)


def _least_squares_plane(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    centre = points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((points - centre).T))
    return centre, vectors[:, 0]
