"""The RGB-D frame: a colour picture, and how far away everything in it is.

Depth is in metres along the optical axis; invalid depth is NaN (REP 118).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import PinholeCamera, check_image
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rectification import DistortedCamera


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """A colour image with the depth registered to it. Arrays are taken as they are, not copied.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        depth: (H, W) float32, metres along the optical axis; invalid is NaN (what is zero, negative
            or infinite is turned into NaN here).
        camera: intrinsics of the colour image.
        stamp_ns: time of exposure, nanoseconds.
        frame_id: name of the camera optical frame.
        lens: of the picture as it was taken, where this frame was made of one that was distorted or
            larger: see `camera_frames`.

    Raises:
        InvalidInputError: wrong shapes or types, or sizes that differ from each other.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    camera: PinholeCamera
    stamp_ns: int = 0
    frame_id: str = "camera"
    lens: DistortedCamera | None = None

    def __post_init__(self) -> None:
        check_image(self.image)
        height, width = self.image.shape[:2]
        if self.depth.shape != (height, width):
            raise InvalidInputError(
                f"depth is {_size(self.depth)} but colour is {width}x{height}: "
                "publish depth registered (aligned) to the colour camera"
            )
        self.camera.check_image_size(self.image)
        if not np.issubdtype(self.depth.dtype, np.floating):
            raise InvalidInputError(f"depth must be in metres as float, got {self.depth.dtype}")
        depth = self.depth.astype(np.float32, copy=False)
        invalid = (depth <= 0) | (depth == np.inf)  # NaN is neither
        if invalid.any():  # hardly ever, and what is given is not written to
            depth = np.where(invalid, np.float32(np.nan), depth)
        object.__setattr__(self, "depth", depth)

    @property
    def depth_coverage(self) -> float:
        """The share of pixels that have a depth."""
        return np.count_nonzero(self.depth == self.depth) / self.depth.size  # NaN is not itself

    def shrunk(self, largest_side: int) -> "RgbdFrame":
        """The frame with its larger side of that many pixels, or itself if it has no more.

        Colour is averaged over areas, depth is that of the nearest pixel, and the camera follows;
        `frame.camera.pixels_in` takes pixels back to the original.

        Raises:
            InvalidInputError: not a positive number of pixels.
        """
        if largest_side < 1:
            raise InvalidInputError(f"an image needs a pixel at least, got {largest_side} a side")
        scale = largest_side / max(self.camera.width, self.camera.height)
        if scale >= 1:
            return self
        size = (max(round(self.camera.width * scale), 1), max(round(self.camera.height * scale), 1))
        image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        depth = cv2.resize(self.depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return replace(
            self,
            image=np.asarray(image, np.uint8),
            depth=np.asarray(depth, np.float32),
            camera=self.camera.resized(*size),
        )


def _size(array: npt.NDArray) -> str:
    return "x".join(str(n) for n in array.shape[1::-1]) if array.ndim >= 2 else str(array.shape)
