"""What an active-stereo camera makes of exact depth: noise, holes, whole millimetres.

After the behaviour of Intel's D400 series: the error of a triangulated depth grows with its square,
is alike in neighbouring pixels (matching compares windows), and there is no depth beside the edges
of near things, which hide the background from one of the two imagers, nor on surfaces seen at a
grazing angle.
"""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera

BASELINE = 0.05  # metres between the imagers
SUBPIXEL = 0.08  # standard deviation of a match, pixels
WINDOW = 2.0  # of the matching, standard deviation in pixels
EDGE = 0.02  # a step in depth that counts as an edge, share of the depth
GRAZING = 0.17  # smallest cosine between the normal and the ray that still gives depth


def measure(
    depth: npt.NDArray[np.float32], camera: PinholeCamera, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Measured depth (H, W), metres in steps of a millimetre, NaN for holes, of exact depth."""
    noise = cv2.GaussianBlur(rng.standard_normal(depth.shape), (0, 0), WINDOW)
    noise *= SUBPIXEL / noise.std()
    measured = depth + depth**2 * noise / (camera.fx * BASELINE)
    measured = np.round(measured, 3).astype(np.float32)
    measured[_edges(depth, camera) | (_cosines(depth, camera) < GRAZING)] = np.nan
    measured[_specks(depth.shape, rng)] = np.nan
    return measured


def _edges(depth: npt.NDArray[np.float32], camera: PinholeCamera) -> npt.NDArray[np.bool_]:
    nearest = cv2.erode(depth, np.ones((3, 3)))
    step = depth - nearest > EDGE * depth
    # The second imager is to the right of the first, so what it cannot see is left of near things:
    # a band as wide as the difference of the two disparities.
    widest = camera.fx * BASELINE * (1 / nearest - 1 / depth)
    band = np.zeros(depth.shape, bool)
    for shift in range(int(np.ceil(widest[step].max(initial=0)))):
        wide = step & (widest > shift)
        band[:, : depth.shape[1] - shift] |= wide[:, shift:]
    farther = depth > cv2.erode(depth, np.ones((1, 31))) * (1 + EDGE)
    return step | (band & farther)


def _cosines(depth: npt.NDArray[np.float32], camera: PinholeCamera) -> FloatArray:
    """Cosine between surface normal and viewing ray, per pixel."""
    v, u = np.mgrid[: camera.height, : camera.width]
    points = camera.back_project(np.dstack([u, v]), depth)
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    along = np.sum(normals * points, axis=-1)
    lengths = np.linalg.norm(normals, axis=-1) * np.linalg.norm(points, axis=-1)
    return np.abs(along) / np.maximum(lengths, 1e-12)


def _specks(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Small holes without a cause to be seen, over about one percent of the image."""
    blotches = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 1.6)
    return blotches > np.quantile(blotches, 0.99)
