"""Which pixel of one posed frame shows the surface point that a pixel of another shows."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.errors import InvalidInputError

DEPTH_TOLERANCE, DEPTH_TOLERANCE_RELATIVE = 0.005, 0.01  # m, and a share of the depth
CANONICAL_TOLERANCE = 0.02  # 5 mm on an object of 25 cm
CANDIDATES = 6  # pixels tried for each correspondence wanted

Visible = npt.NDArray[np.bool_]


def by_geometry(
    a: PosedFrame, b: PosedFrame, pixels_a: npt.ArrayLike
) -> tuple[FloatArray, Visible]:
    """Where points seen in `a` are in `b`, two views of the same object, by depth and poses.

    Args:
        a: the frame in which the pixels are.
        b: the other one.
        pixels_a: (N, 2) pixels (u, v); the depth is that of the nearest pixel.

    Returns:
        Pixels (N, 2) in b, NaN where a has no depth or the point is behind b's camera; and (N,)
        whether the point is visible there: on the image and on b's mask, its depth agrees with b's
        to 5 mm + 1 %, and b does not see it from behind, through a sheet thinner than that.

    Raises:
        InvalidInputError: frames of different objects, or pixels outside of a's image.
    """
    if a.object_id != b.object_id:
        raise InvalidInputError(
            f"{a.name} shows object {a.object_id} and {b.name} object {b.object_id}: between "
            "instances only canonical coordinates give correspondences"
        )
    pixels = np.asarray(pixels_a, dtype=float).reshape(-1, 2)
    points_a = a.camera.back_project(pixels, a.depth[_at(a, pixels)])
    T_b_a = np.linalg.inv(b.T_object_camera) @ a.T_object_camera
    points_b = points_a @ T_b_a[:3, :3].T + T_b_a[:3, 3]
    pixels_b = b.camera.project(points_b)
    normals_b = _normals(a, pixels) @ T_b_a[:3, :3].T
    from_behind = np.sum(normals_b * points_b, axis=1) > 0  # False where a's surface is unknown
    visible = _inside(b, pixels_b) & ~from_behind
    at = _at(b, pixels_b[visible])
    expected = points_b[visible, 2]
    tolerance = DEPTH_TOLERANCE + DEPTH_TOLERANCE_RELATIVE * expected
    visible[visible] = b.mask[at] & (np.abs(b.depth[at] - expected) <= tolerance)
    return pixels_b, visible


def by_canonical(
    a: PosedFrame, b: PosedFrame, pixels_a: npt.ArrayLike
) -> tuple[FloatArray, Visible]:
    """Where points seen in `a` are in `b`, of any instance, by canonical surface coordinates.

    Arguments and returned arrays are as those of `by_geometry`. A pixel in b is that of the nearest
    canonical coordinates, and the point is visible where these are no more than 0.02 away.

    Raises:
        InvalidInputError: a frame without canonical coordinates, or pixels outside of a's image.
    """
    for frame in (a, b):
        if frame.canonical is None:
            raise InvalidInputError(f"{frame.name} has no canonical coordinates")
    assert a.canonical is not None and b.canonical is not None
    pixels = np.asarray(pixels_a, dtype=float).reshape(-1, 2)
    wanted = a.canonical[_at(a, pixels)]
    known = np.isfinite(wanted).all(axis=1)
    rows, columns = np.nonzero(b.mask & np.isfinite(b.canonical).all(axis=-1))
    pixels_b = np.full(pixels.shape, np.nan)
    visible = np.zeros(len(pixels), bool)
    if known.any() and len(rows):
        tree = cKDTree(b.canonical[rows, columns])
        distance, nearest = tree.query(wanted[known])
        pixels_b[known] = np.stack([columns[nearest], rows[nearest]], axis=1)
        visible[known] = distance <= CANONICAL_TOLERANCE
    return pixels_b, visible


def sample_correspondences(
    a: PosedFrame, b: PosedFrame, count: int, rng: np.random.Generator, canonical: bool
) -> tuple[FloatArray, FloatArray]:
    """Random pixels on the object in `a` whose points are visible in `b`, and where they are there.

    Args:
        a: a frame; its pixels are whole ones.
        b: another; with `canonical` possibly of another instance.
        count: how many are wanted.
        rng: source of chance.
        canonical: find them by canonical coordinates instead of by geometry.

    Returns:
        Two arrays (n, 2) of pixels, n <= count: fewer where less is visible in both.

    Raises:
        InvalidInputError: as `by_geometry` and `by_canonical` do.
    """
    rows, columns = np.nonzero(a.mask)
    chosen = rng.permutation(len(rows))[: CANDIDATES * count]
    pixels_a = np.stack([columns[chosen], rows[chosen]], axis=1).astype(float)
    pixels_b, visible = (by_canonical if canonical else by_geometry)(a, b, pixels_a)
    return pixels_a[visible][:count], pixels_b[visible][:count]


def _normals(frame: PosedFrame, pixels: FloatArray) -> FloatArray:
    """Normals (N, 3), of any length, towards the camera that sees the surface at pixels (N, 2)."""
    last = np.array([frame.camera.width, frame.camera.height]) - 1
    sides = []
    for step in ((1, 0), (0, 1)):
        ends = [np.clip(pixels + sign * np.array(step), 0, last) for sign in (1, -1)]
        after, before = (frame.camera.back_project(e, frame.depth[_at(frame, e)]) for e in ends)
        sides.append(after - before)
    return np.cross(sides[1], sides[0])


def _at(frame: PosedFrame, pixels: FloatArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Row and column indices of the pixels nearest to (N, 2)."""
    if not _inside(frame, pixels).all():
        raise InvalidInputError(f"pixels must be on the image of {frame.name}")
    columns, rows = np.floor(pixels + 0.5).astype(np.intp).T
    return rows, columns


def _inside(frame: PosedFrame, pixels: FloatArray) -> Visible:
    size = np.array([frame.camera.width, frame.camera.height])
    # False for NaN, without a warning.
    return np.asarray(((pixels >= -0.5) & (pixels < size - 0.5)).all(axis=1))
