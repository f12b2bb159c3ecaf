"""RGB-D frames made of pictures as cameras take them, and which pixels in both show the same.

What is taken may be distorted, larger than what is worked on, and its depth from beside the colour
camera. Whoever points at a pixel means one of the picture as it was taken.
"""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.depth_registration import register_depth
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rectification import DistortedCamera
from dense_desc_ros.rgbd_frame import RgbdFrame


def make_frame(
    image: npt.NDArray[np.uint8],
    depth: npt.NDArray[np.float32],
    lens: DistortedCamera,
    depth_lens: DistortedCamera | None = None,
    T_color_depth: FloatArray | None = None,
    stamp_ns: int = 0,
    frame_id: str = "camera",
) -> RgbdFrame:
    """The undistorted frame of what was taken, with depth registered to colour.

    Args:
        image: (H, W, 3), RGB.
        depth: registered to colour, and distorted as colour is, if there is no `depth_lens`.
        lens: of the colour camera.
        depth_lens: of the depth camera, for depth that is to be registered.
        T_color_depth: (4, 4), pose of the depth camera in the colour camera, to go with it.
        stamp_ns, frame_id: see `RgbdFrame`.

    Raises:
        InvalidInputError: sizes that differ from each other, a pose that is not rigid, or one of
            `depth_lens` and `T_color_depth` without the other.
    """
    if (depth_lens is None) != (T_color_depth is None):
        raise InvalidInputError("depth_info and T_color_depth belong together: give both or none")
    lens.camera.check_image_size(image)  # before anything is made that is as large as it says
    if depth_lens is None or T_color_depth is None:
        depth = lens.undistort_depth(depth)
    else:
        depth = depth_lens.undistort_depth(depth)
        depth = register_depth(depth, depth_lens.camera, lens.camera, T_color_depth)
    image = lens.undistort_image(image)
    return RgbdFrame(image, depth, lens.camera, stamp_ns, frame_id, lens)


def pixels_as_taken(frame: RgbdFrame, pixels: npt.ArrayLike) -> FloatArray:
    """Where pixels (..., 2) of a frame are in the picture as it was taken."""
    if frame.lens is None:
        return np.asarray(pixels, dtype=float)
    return frame.lens.distort_pixels(frame.camera.pixels_in(frame.lens.camera, pixels))


def pixels_in_frame(frame: RgbdFrame, pixels: npt.ArrayLike) -> FloatArray:
    """Where pixels (..., 2) of the picture as it was taken are in the frame.

    Raises:
        InvalidInputError: one that is not in the picture.
    """
    pixels = np.asarray(pixels, dtype=float)
    if frame.lens is None:
        return pixels
    for pixel in pixels.reshape(-1, 2):
        if not frame.lens.camera.contains(pixel):
            raise InvalidInputError(
                f"pixel {tuple(pixel.tolist())} is outside the image of "
                f"{frame.lens.camera.width}x{frame.lens.camera.height} pixels"
            )
    return frame.lens.camera.pixels_in(frame.camera, frame.lens.undistort_pixels(pixels))


def pixel_width(frame: RgbdFrame) -> float:
    """How many pixels of the picture as it was taken one of the frame is wide, about."""
    return 1.0 if frame.lens is None else frame.lens.camera.width / frame.camera.width


def mask_in_frame(frame: RgbdFrame, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask of the picture as it was taken, as one (H, W) of the frame.

    Raises:
        InvalidInputError: of another size than that picture.
    """
    if frame.lens is None:
        return mask
    taken = frame.lens.camera
    if mask.shape != (taken.height, taken.width):
        raise InvalidInputError(
            f"the mask is {'x'.join(map(str, mask.shape[::-1]))} but the image is "
            f"{taken.width}x{taken.height}"
        )
    straight = frame.lens.undistort_depth(mask.astype(np.float32))  # NaN where nothing was taken
    size = (frame.camera.width, frame.camera.height)
    return np.asarray(cv2.resize(straight, size, interpolation=cv2.INTER_NEAREST_EXACT) == 1)
