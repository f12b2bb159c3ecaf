"""What an active-stereo camera makes of exact depth: noise, holes, whole millimetres.

After the behaviour of Intel's D400 series: the error of a triangulated depth grows with its square,
is alike in neighbouring pixels (matching compares windows), and there is no depth beside the edges
of near things, which hide the background from one of the two imagers, nor on surfaces seen at a
grazing angle.
"""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import PinholeCamera

BASELINE = 0.05  # metres between the imagers
SUBPIXEL = 0.08  # standard deviation of a match, pixels
WINDOW = 2.0  # of the matching, standard deviation in pixels
EDGE = 0.02  # a step in depth that counts as an edge, share of the depth
ONE_PERCENT = 2.326  # standard deviations that a normal number exceeds so often
GRAZING = 0.17  # smallest cosine between the normal and the ray that still gives depth


def measure(
    depth: npt.NDArray[np.float32], camera: PinholeCamera, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Measured depth (H, W), metres in steps of a millimetre, NaN for holes, of exact depth."""
    white = rng.standard_normal(depth.shape, np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), WINDOW)
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


def _cosines(depth: npt.NDArray[np.float32], camera: PinholeCamera) -> npt.NDArray[np.float32]:
    """Cosine between surface normal and viewing ray, per pixel.

    For depth z over pixels (u, v) from the principal point, the cross product of the derivatives of
    the back-projected point is along (-fx z_u, -fy z_v, z + u z_u + v z_v), whose product with the
    ray (u / fx, v / fy, 1) is z.
    """
    u = np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)
    v = np.arange(camera.height, dtype=np.float32)[:, None] - np.float32(camera.cy)
    z_v, z_u = np.gradient(depth)
    normal = np.square(camera.fx * z_u) + np.square(camera.fy * z_v)
    normal += np.square(depth + u * z_u + v * z_v)
    ray = np.square(u / np.float32(camera.fx)) + np.square(v / np.float32(camera.fy)) + 1
    return np.asarray(depth / np.sqrt(np.maximum(normal * ray, 1e-12)))


def _specks(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Small holes without a cause to be seen, over about one percent of the image."""
    blotches = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 1.6)
    return np.asarray(blotches > ONE_PERCENT * blotches.std())
