"""The pinhole camera: where what is seen lies.

Pixels are (u right, v down) with the centre of the first pixel at (0, 0). Points are in the camera
optical frame of REP 103 (x right, y down, z forward), in metres.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dense_desc_ros.errors import InvalidInputError

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsics of an undistorted camera, in pixels.

    Raises:
        InvalidInputError: a focal length that is not positive, or anything not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not np.all(np.isfinite([self.fx, self.fy, self.cx, self.cy])):
            raise InvalidInputError(f"camera intrinsics must be finite, got {self}")
        if self.fx <= 0 or self.fy <= 0:
            raise InvalidInputError(
                f"focal lengths must be positive, got fx={self.fx}, fy={self.fy}: "
                "the camera is not calibrated or its camera_info is not filled in"
            )
        if self.width <= 0 or self.height <= 0:
            raise InvalidInputError(f"image size must be positive, got {self.width}x{self.height}")

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike, width: int, height: int) -> "PinholeCamera":
        """Take the intrinsics from a 3x3 matrix K (or its nine entries, row by row)."""
        k = np.asarray(matrix, dtype=float)
        if k.size != 9:
            raise InvalidInputError(f"an intrinsic matrix has 9 entries, got {k.size}")
        k = k.reshape(3, 3)
        return cls(k[0, 0], k[1, 1], k[0, 2], k[1, 2], int(width), int(height))

    @property
    def matrix(self) -> FloatArray:
        """The intrinsic matrix K, 3x3."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def rays(self, pixels: npt.ArrayLike) -> FloatArray:
        """K⁻¹ [u, v, 1]ᵀ for pixels (..., 2): the points at depth 1 m, (..., 3)."""
        uv = np.asarray(pixels, dtype=float)
        x = (uv[..., 0] - self.cx) / self.fx
        y = (uv[..., 1] - self.cy) / self.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def back_project(self, pixels: npt.ArrayLike, depth: npt.ArrayLike) -> FloatArray:
        """Points (..., 3) in the camera frame of pixels (..., 2) at depths (...), in metres."""
        return self.rays(pixels) * np.asarray(depth, dtype=float)[..., None]

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (..., 2) of camera-frame points (..., 3); NaN for points behind the camera."""
        p = np.asarray(points, dtype=float)
        z = np.where(p[..., 2] > 0, p[..., 2], np.nan)
        return np.stack(
            [self.fx * p[..., 0] / z + self.cx, self.fy * p[..., 1] / z + self.cy], axis=-1
        )

    def resized(self, width: int, height: int) -> "PinholeCamera":
        """The camera whose image is this one's at another size: the same view, other pixels."""
        scale_u, scale_v = width / self.width, height / self.height
        return PinholeCamera(
            self.fx * scale_u,
            self.fy * scale_v,
            (self.cx + 0.5) * scale_u - 0.5,
            (self.cy + 0.5) * scale_v - 0.5,
            width,
            height,
        )

    def pixels_in(self, other: "PinholeCamera", pixels: npt.ArrayLike) -> FloatArray:
        """Where pixels (..., 2) of this camera's image are in that of `other`, which shows the same
        at another size.
        """
        scale = np.array([other.width / self.width, other.height / self.height])
        return (np.asarray(pixels, dtype=float) + 0.5) * scale - 0.5

    def contains(self, pixel: npt.ArrayLike) -> bool:
        """Whether a pixel (2,) lies on the image, its border pixels' outer halves included."""
        u, v = np.asarray(pixel, dtype=float)
        return bool(-0.5 <= u < self.width - 0.5 and -0.5 <= v < self.height - 0.5)

    def check_image_size(self, image: npt.NDArray) -> None:
        """Raise InvalidInputError if an image (H, W, ...) is of another size than this camera's."""
        height, width = image.shape[:2]
        if (self.width, self.height) != (width, height):
            raise InvalidInputError(
                f"camera_info is for {self.width}x{self.height} images "
                f"but the image is {width}x{height}"
            )


def check_image(image: npt.NDArray[np.uint8]) -> None:
    """Raise InvalidInputError unless the image is (H, W, 3) uint8 and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise InvalidInputError(f"an image must be a NumPy array of uint8, got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InvalidInputError(f"an image must be (H, W, 3) RGB, got shape {image.shape}")
