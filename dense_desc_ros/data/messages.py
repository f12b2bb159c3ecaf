"""sensor_msgs to arrays and back, without ROS.

Messages are duck-typed: live ones (rclpy) and those of bags (rosbags) both work, and what has a
`format` instead of an `encoding` is a CompressedImage. The bytes of an Image are viewed through
NumPy strides, which covers row padding and either byte order without a copy. rosbags-image ignores
padding, cv_bridge exists in ROS distributions only, and neither refuses a message whose fields
contradict each other; once that is checked, one call to OpenCV is left.
"""

import array
import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera, check_image
from dense_desc_ros.camera_frames import make_frame
from dense_desc_ros.data.compressed import check_size, decode_depth, decode_image
from dense_desc_ros.data.millimetres import from_millimetres, to_millimetres
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rectification import DistortedCamera
from dense_desc_ros.rgbd_frame import RgbdFrame

NANOSECONDS = 1_000_000_000
Encodings = dict[str, tuple[np.dtype, int]]
_UINT8, _UINT16, _FLOAT32 = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)

# encoding -> element type, channels
COLOR_ENCODINGS: Encodings = {
    "rgb8": (_UINT8, 3),
    "bgr8": (_UINT8, 3),
    "rgba8": (_UINT8, 4),
    "bgra8": (_UINT8, 4),
    "mono8": (_UINT8, 1),
    "uyvy": (_UINT8, 2),
    "yuv422": (_UINT8, 2),
    "yuyv": (_UINT8, 2),
    "yuv422_yuy2": (_UINT8, 2),
}
DEPTH_ENCODINGS: Encodings = {"16UC1": (_UINT16, 1), "mono16": (_UINT16, 1), "32FC1": (_FLOAT32, 1)}
MASK_ENCODINGS: Encodings = {"mono8": (_UINT8, 1), "8UC1": (_UINT8, 1)}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
}


def image_from_message(message: Any) -> npt.NDArray[np.uint8]:
    """The picture of a sensor_msgs/Image or CompressedImage as (H, W, 3) uint8, RGB; a copy.

    Raises:
        InvalidInputError: an encoding that is not one of COLOR_ENCODINGS, an empty image, one of
            more than MAX_PIXELS, or data that do not fit height, width and step; of a
            CompressedImage what `decode_image` refuses.
    """
    if hasattr(message, "format"):
        return decode_image(message)
    pixels = _pixels(message, COLOR_ENCODINGS, "colour image")
    if message.encoding == "rgb8":
        return np.array(pixels, order="C")
    if pixels.shape[2:] == (2,) and message.width % 2:
        raise InvalidInputError(
            f"colour image has encoding {message.encoding}, whose pixels come in pairs, but a "
            f"width of {message.width}"
        )
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[message.encoding]))


def depth_from_message(message: Any) -> npt.NDArray[np.float32]:
    """The depth of a sensor_msgs/Image or CompressedImage as (H, W) float32, metres; invalid is NaN
    (REP 118).

    16UC1 and mono16 are millimetres with 0 as invalid, 32FC1 is metres.

    Raises:
        InvalidInputError: as `image_from_message`, for DEPTH_ENCODINGS and `decode_depth`.
    """
    if hasattr(message, "format"):
        return decode_depth(message)
    pixels = _pixels(message, DEPTH_ENCODINGS, "depth image")
    if pixels.dtype.kind == "u":
        return from_millimetres(pixels)
    depth = pixels.astype(np.float32)  # a copy, in the machine's byte order
    depth[~((depth > 0) & (depth < np.inf))] = np.nan
    return depth


def mask_from_message(message: Any) -> npt.NDArray[np.bool_]:
    """The mask of a sensor_msgs/Image as (H, W) bool: true where it is not zero.

    Raises:
        InvalidInputError: as `image_from_message`, for MASK_ENCODINGS.
    """
    return _pixels(message, MASK_ENCODINGS, "mask") != 0


def camera_from_message(message: Any) -> PinholeCamera:
    """The intrinsics K of a sensor_msgs/CameraInfo, of the picture without its lens distortion.

    Raises:
        InvalidInputError: no size, or intrinsics that are zero, negative or not finite.
    """
    return PinholeCamera.from_matrix(message.k, message.width, message.height)


def distorted_camera_from_message(message: Any) -> DistortedCamera:
    """The intrinsics K and the lens distortion d of a sensor_msgs/CameraInfo.

    Raises:
        InvalidInputError: as `camera_from_message`, and a distortion that is not known.
    """
    coefficients = tuple(float(value) for value in message.d)
    return DistortedCamera(camera_from_message(message), message.distortion_model, coefficients)


def frame_from_messages(
    image: Any,
    depth: Any,
    camera_info: Any,
    depth_info: Any = None,
    T_color_depth: FloatArray | None = None,
) -> RgbdFrame:
    """The undistorted RGB-D frame of its messages, with the colour image's header.

    Args:
        image: sensor_msgs/Image or CompressedImage.
        depth: likewise; registered to colour, and distorted as colour is, if there is no
            `depth_info`.
        camera_info: of the colour camera.
        depth_info: CameraInfo of the depth camera, for depth that is to be registered.
        T_color_depth: (4, 4), pose of the depth camera in the colour camera, to go with it.

    Raises:
        InvalidInputError: a message that is malformed, sizes that differ from each other, or one of
            the last two without the other.
    """
    return make_frame(
        image_from_message(image),
        depth_from_message(depth),
        distorted_camera_from_message(camera_info),
        None if depth_info is None else distorted_camera_from_message(depth_info),
        T_color_depth,
        stamp_to_ns(image.header.stamp),
        image.header.frame_id,
    )


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def image_to_message(message_type: Any, header: Any, image: npt.NDArray[np.uint8]) -> Any:
    """A sensor_msgs/Image, rgb8, of an (H, W, 3) uint8 RGB image.

    Args:
        message_type: the class Image, of sensor_msgs.msg or of a rosbags type store.
        header: a std_msgs/Header of the same origin.
        image: the picture.

    Raises:
        InvalidInputError: not such an image.
    """
    check_image(image)
    return _to_message(message_type, header, image, "rgb8")


def depth_to_message(message_type: Any, header: Any, depth: FloatArray) -> Any:
    """A sensor_msgs/Image, 16UC1 in millimetres, of (H, W) depth in metres.

    What is NaN, not positive or beyond 65.535 m becomes 0, "not measured". Arguments as
    `image_to_message`.
    """
    return _to_message(message_type, header, to_millimetres(depth), "16UC1")


def camera_to_message(message_type: Any, header: Any, camera: PinholeCamera, **fields: Any) -> Any:
    """A sensor_msgs/CameraInfo (plumb_bob without distortion) of a pinhole camera.

    Args:
        message_type: the class CameraInfo, of sensor_msgs.msg or of a rosbags type store.
        header: a std_msgs/Header of the same origin.
        camera: the intrinsics.
        fields: the others, since the classes of a type store have no defaults (binning, ROI).
    """
    return message_type(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([camera.matrix, np.zeros((3, 1))]).ravel(),
        **fields,
    )


def _to_message(message_type: Any, header: Any, pixels: npt.NDArray, encoding: str) -> Any:
    pixels = np.ascontiguousarray(pixels)
    flat = pixels.reshape(-1).view(np.uint8)
    message = message_type(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=pixels.strides[0],
        data=flat[:0],
    )
    set_numbers(message, "data", flat)
    return message


def set_numbers(message: Any, field: str, numbers: npt.NDArray) -> None:
    """Fill an empty field that is a sequence of numbers, with an array (n,) of their type."""
    if isinstance(empty := getattr(message, field), array.array):
        empty.frombytes(numbers.view(np.uint8).data)  # rclpy would check each of a sequence
    else:
        setattr(message, field, numbers)


def _pixels(message: Any, encodings: Encodings, what: str) -> npt.NDArray:
    """A view (H, W) or (H, W, C) of an image message's data, read-only or not as these are."""
    if message.encoding not in encodings:
        raise InvalidInputError(
            f"{what} has encoding {message.encoding!r}: expected one of {', '.join(encodings)}"
        )
    dtype, channels = encodings[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    check_size(width, height, what)
    pixel_size = dtype.itemsize * channels
    if step < width * pixel_size:
        raise InvalidInputError(
            f"{what} has step {step}, but a row of {width} {message.encoding} pixels takes "
            f"{width * pixel_size} bytes"
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size != step * height:
        raise InvalidInputError(
            f"{what} holds {data.size} bytes of data, but step {step} x height {height} is "
            f"{step * height}"
        )
    return np.ndarray(
        (height, width) if channels == 1 else (height, width, channels),
        dtype.newbyteorder(">" if message.is_bigendian else "<"),
        data,
        strides=(step, pixel_size) if channels == 1 else (step, pixel_size, dtype.itemsize),
    )
