"""Made-up RGB-D frames of a textured wall, for what runs the node without a camera."""

import cv2
import numpy as np

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.rgbd_frame import RgbdFrame

BLOB = 16  # px that one spot of the texture is wide
DEPTH = 0.8  # m
NOISE = 0.001  # m, standard deviation of what is measured
HOLES = 0.02  # share of the pixels that nothing is measured at


class Wall:
    """A wall that faces the camera and is larger than its picture.

    Args:
        size: height and width of the pictures.
        margin: how far these can be moved, px.
        seed: fixes the texture.
    """

    def __init__(self, size: tuple[int, int], margin: int, seed: int = 0) -> None:
        height, width = self._size = size
        spots = (max(height // BLOB, 2), max(width // BLOB, 2), 3)
        blobs = np.random.default_rng(seed).integers(0, 256, spots, dtype=np.uint8)
        self._picture = cv2.resize(
            blobs, (width + margin, height + margin), interpolation=cv2.INTER_CUBIC
        )
        self._camera = PinholeCamera(width, width, (width - 1) / 2, (height - 1) / 2, width, height)

    def frame(
        self, left: int, top: int, generator: np.random.Generator, stamp_ns: int = 0
    ) -> RgbdFrame:
        """What the camera sees of the wall from a corner of it on, with noise and holes in depth.

        Args:
            left, top: px, at most the margin.
            generator: of the noise and holes.
            stamp_ns: of the frame.
        """
        height, width = self._size
        image = np.array(self._picture[top : top + height, left : left + width], np.uint8)
        depth = (DEPTH + generator.normal(0, NOISE, self._size)).astype(np.float32)
        depth[generator.random(self._size) < HOLES] = np.nan
        return RgbdFrame(image, depth, self._camera, stamp_ns, "camera_color_optical_frame")
