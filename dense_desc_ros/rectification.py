"""Cameras whose lens bends straight lines, and their pictures made straight."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.errors import InvalidInputError

# What sensor_msgs/CameraInfo calls them, and how many coefficients they have, in OpenCV's order:
# k1, k2, p1, p2, k3, then k4, k5, k6 of the denominator, s1..s4 of a thin prism and its two tilts;
# of the fisheye k1..k4.
EQUIDISTANT = "equidistant"
COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 14, EQUIDISTANT: 4}
REFINEMENTS = 20  # OpenCV leaves its approximate solution some hundredths of a pixel off


@dataclass(frozen=True)
class DistortedCamera:
    """A pinhole camera behind a lens; pictures are undistorted to that pinhole camera.

    The models are OpenCV's (calib3d, and its fisheye part for "equidistant"). Cameras that are
    equal share their maps, so one may be made anew for every frame. Without distortion pictures
    are returned as they are.

    Attributes:
        camera: the pinhole camera, K of the distorted and of the undistorted picture alike.
        model: one of COEFFICIENTS; any name if there is no distortion.
        coefficients: as the model has them; missing ones are zero.

    Raises:
        InvalidInputError: a model that is not known, too many coefficients, or not finite ones.
    """

    camera: PinholeCamera
    model: str
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if not np.isfinite(self.coefficients).all():
            raise InvalidInputError(
                f"lens distortion must be finite, got {self.coefficients}: check camera_info"
            )
        if not self.is_distorted:
            return
        if self.model not in COEFFICIENTS:
            raise InvalidInputError(
                f"lens distortion model {self.model!r} is not known: expected one of "
                f"{', '.join(COEFFICIENTS)}; or publish rectified images, with d of zeros"
            )
        if any(self.coefficients[COEFFICIENTS[self.model] :]):
            raise InvalidInputError(
                f"{self.model} has {COEFFICIENTS[self.model]} coefficients at most, "
                f"got {len(self.coefficients)}: check camera_info"
            )

    @property
    def is_distorted(self) -> bool:
        """Whether any coefficient is not zero."""
        return any(self.coefficients)

    def undistort_image(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture (H, W, 3) of the pinhole camera, bilinearly; black where none was taken.

        Raises:
            InvalidInputError: an image of another size than the camera's.
        """
        return self._remapped(image, cv2.INTER_LINEAR)

    def undistort_depth(self, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The depth (H, W) of the pinhole camera, of the nearest pixel; NaN where there is none.

        Raises:
            InvalidInputError: depth of another size than the camera's.
        """
        return self._remapped(depth, cv2.INTER_NEAREST)

    def undistort_pixels(self, pixels: npt.ArrayLike) -> FloatArray:
        """Where the pinhole camera sees what is at pixels (..., 2) of the distorted picture."""
        pixels = np.asarray(pixels, dtype=float)
        if not self.is_distorted or not pixels.size:
            return pixels
        undistort = cv2.fisheye.undistortPoints if self._is_fisheye else cv2.undistortPoints
        k = self.camera.matrix
        start = undistort(pixels.reshape(-1, 1, 2), k, self._d, R=np.eye(3), P=k)
        found: FloatArray = np.reshape(start, pixels.shape)
        for _ in range(REFINEMENTS):
            found = found + pixels - self.distort_pixels(found)
        return found

    def distort_pixels(self, pixels: npt.ArrayLike) -> FloatArray:
        """Where in the distorted picture is what the pinhole camera sees at pixels (..., 2)."""
        pixels = np.asarray(pixels, dtype=float)
        if not self.is_distorted or not pixels.size:
            return pixels
        k, rays, nothing = (
            self.camera.matrix,
            self.camera.rays(pixels).reshape(-1, 1, 3),
            np.zeros(3),
        )
        project = cv2.fisheye.projectPoints if self._is_fisheye else cv2.projectPoints
        found, _ = project(rays, nothing, nothing, k, self._d)
        return np.asarray(found, dtype=float).reshape(pixels.shape)

    @property
    def _is_fisheye(self) -> bool:
        return self.model == EQUIDISTANT

    @property
    def _d(self) -> FloatArray:
        """The coefficients, as many as the model has."""
        d = np.zeros(COEFFICIENTS[self.model])
        d[: len(self.coefficients)] = self.coefficients[: len(d)]
        return d

    def _remapped(self, pixels: npt.NDArray, interpolation: int) -> npt.NDArray:
        if not self.is_distorted:
            return pixels
        self.camera.check_image_size(pixels)
        nothing = np.nan if interpolation == cv2.INTER_NEAREST else 0
        maps = _maps(self)[interpolation]
        return np.asarray(cv2.remap(pixels, *maps, interpolation, borderValue=nothing))


@lru_cache(maxsize=4)
def _maps(lens: DistortedCamera) -> dict[int, tuple[Any, Any]]:
    """By interpolation, the places (H, W, 2) in the distorted picture in fixed point, as OpenCV has
    them: whole numbers, and what is left of them.
    """
    k, size = lens.camera.matrix, (lens.camera.width, lens.camera.height)
    make = cv2.fisheye.initUndistortRectifyMap if lens._is_fisheye else cv2.initUndistortRectifyMap
    x, y = make(k, lens._d, np.eye(3), k, size, cv2.CV_32FC1)
    # Bilinear maps have their whole parts rounded down: for the nearest pixel that would be wrong.
    return {
        cv2.INTER_LINEAR: cv2.convertMaps(x, y, cv2.CV_16SC2),
        cv2.INTER_NEAREST: cv2.convertMaps(x, y, cv2.CV_16SC2, nninterpolation=True),
    }
