"""Depth of one camera as another camera, beside it, would see it."""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.errors import InvalidInputError

# Neighbours whose depths differ by less, as a share of them, are taken to be on one surface. A
# plane passes at 80 degrees of slant with a focal length of 300 px.
JUMP = 0.02
# px. What is so near to the colour camera that its pixels of depth grow larger is drawn too small;
# a wrong pose then costs no more than this many passes.
MAX_SPLAT = 16
MARGIN = MAX_SPLAT - 1  # px at the left and at the top, for squares that begin outside the image
STRIP = 64  # rows at a time: what is computed of them stays in the processor's cache
_ROUNDING = 1e-6  # of the image's size, by which a size may be exceeded: coordinates are float32

Layer = npt.NDArray[np.float32]


def register_depth(
    depth: FloatArray, depth_camera: PinholeCamera, camera: PinholeCamera, T_color_depth: FloatArray
) -> Layer:
    """The depth that belongs to the pixels of a colour camera.

    Every pixel of depth is moved to where the colour camera sees it and fills the square that it
    takes there; of several at one place the nearest wins. Between neighbours on one surface nothing
    stays open, however the surface is slanted. No depth is interpolated. With equal cameras and the
    identity the result is the input.

    Args:
        depth: (h, w), metres along the optical axis; NaN, zero, negative and infinite are invalid.
        depth_camera: of the depth, (w, h) pixels.
        camera: of the colour image, (W, H) pixels.
        T_color_depth: (4, 4), pose of the depth camera in the colour camera.

    Returns:
        (H, W) float32, metres along the optical axis of the colour camera; NaN where none is seen.

    Raises:
        InvalidInputError: depth of another size than its camera's, or a pose that is not rigid.
    """
    if depth.shape != (depth_camera.height, depth_camera.width):
        raise InvalidInputError(
            f"depth has shape {depth.shape} but its camera_info is for "
            f"{depth_camera.width}x{depth_camera.height} images"
        )
    _check_rigid(T_color_depth)
    layers: dict[int, Layer] = {}
    for start in range(0, depth_camera.height, STRIP):
        # With the rows beside it, since spacing depends on neighbours; drawing them twice is free.
        rows = np.arange(max(start - 1, 0), min(start + STRIP + 1, depth_camera.height))
        _draw(layers, rows, depth[rows[0] : rows[-1] + 1], depth_camera, camera, T_color_depth)
    nearest = np.full((camera.height, camera.width), np.inf, np.float32)
    for size, layer in layers.items():
        # Each depth is in the first pixel of its square: a minimum filter fills the squares.
        kernel = np.ones((size, size), np.uint8)
        filled = cv2.erode(layer, kernel, dst=layer, anchor=(size - 1, size - 1))
        np.minimum(nearest, filled[MARGIN:, MARGIN:], out=nearest)
    nearest[np.isinf(nearest)] = np.nan
    return nearest


def _draw(
    layers: dict[int, Layer],
    rows: npt.NDArray[np.integer],
    depth: FloatArray,
    depth_camera: PinholeCamera,
    camera: PinholeCamera,
    T_color_depth: FloatArray,
) -> None:
    """Put the depths of some rows into the layers (size -> image with margins) of their sizes."""
    measured = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    u, v, z = _seen(measured, rows, depth_camera, camera, T_color_depth)
    scale = np.float32(max(camera.fx / depth_camera.fx, camera.fy / depth_camera.fy))
    facing = scale * measured / z  # what a pixel takes of a surface that faces the camera
    rounding = _ROUNDING * max(camera.width, camera.height)
    sizes = np.ceil(np.maximum(facing, _spacing(u, v, z)) - rounding).clip(1, MAX_SPLAT)
    height, width = camera.height + MARGIN, camera.width + MARGIN
    first_u, first_v = np.ceil(u - sizes / 2) + MARGIN, np.ceil(v - sizes / 2) + MARGIN
    inside = (first_u >= 0) & (first_u < width) & (first_v >= 0) & (first_v < height)
    place = first_v[inside].astype(np.intp) * width + first_u[inside].astype(np.intp)
    sizes, z = sizes[inside], z[inside]
    for size in np.flatnonzero(np.bincount(sizes.astype(np.intp))).tolist():
        if size not in layers:
            layers[size] = np.full((height, width), np.inf, np.float32)
        chosen = sizes == size
        np.minimum.at(layers[size].reshape(-1), place[chosen], z[chosen])


def _seen(
    depth: Layer,
    rows: npt.NDArray[np.integer],
    depth_camera: PinholeCamera,
    camera: PinholeCamera,
    T: FloatArray,
) -> tuple[Layer, Layer, Layer]:
    """Pixels u, v in the colour camera of some rows, and their depths there; NaN if not in front of
    it. All (n, w).
    """
    column = (np.arange(depth_camera.width) - depth_camera.cx) / depth_camera.fx
    row = (rows - depth_camera.cy) / depth_camera.fy

    def coordinate(axis: int) -> Layer:
        r0, r1, r2, t = T[axis]
        along_u, along_v = (r0 * column).astype(np.float32), (r1 * row + r2).astype(np.float32)
        return (along_u + along_v[:, None]) * depth + np.float32(t)

    z = coordinate(2)
    z[z <= 0] = np.nan
    u = coordinate(0) * np.float32(camera.fx) / z + np.float32(camera.cx)
    v = coordinate(1) * np.float32(camera.fy) / z + np.float32(camera.cy)
    return u, v, z


def _spacing(u: Layer, v: Layer, z: Layer) -> Layer:
    """How far apart each pixel and its neighbours on the same surface are: the larger side of the
    box around the parallelogram that they span in the colour image, px (h, w).
    """
    along_u, along_v = np.zeros_like(z), np.zeros_like(z)
    for here, there in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
    ):
        same = np.abs(z[there] - z[here]) < JUMP * z[here]
        along_u[here] += np.where(same, np.abs(u[there] - u[here]), 0)
        along_v[here] += np.where(same, np.abs(v[there] - v[here]), 0)
    # Those on the left and above reach as far towards a pixel as it does towards them.
    reach = np.maximum(along_u, along_v)
    return np.asarray(cv2.dilate(reach, np.ones((2, 2), np.uint8), anchor=(1, 1)), np.float32)


def _check_rigid(T: FloatArray) -> None:
    if np.shape(T) != (4, 4) or not np.isfinite(T).all():
        raise InvalidInputError(f"T_color_depth must be a finite 4x4 matrix, got {T}")
    rotation = T[:3, :3]
    orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    if not (orthonormal and np.linalg.det(rotation) > 0 and np.allclose(T[3], [0, 0, 0, 1])):
        raise InvalidInputError(f"T_color_depth must be a rotation and a translation, got {T}")
