"""Frames of messages that are compressed, seen through a lens, or whose depth is not aligned."""

import array
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data import messages
from dense_desc_ros.errors import InvalidInputError


def compressed(pixels: np.ndarray, text_format: str) -> Any:
    message = CompressedImage(format=text_format)
    message.data = array.array("B", cv2.imencode(".png", pixels)[1].tobytes())
    return message


def camera_info(camera: PinholeCamera, *d: float) -> Any:
    info = messages.camera_to_message(CameraInfo, Header(), camera)
    info.d = list(d)
    return info


def test_frame_of_compressed_images_behind_a_lens() -> None:
    camera = PinholeCamera(60, 60, 31.5, 23.5, 64, 48)
    v, u = np.mgrid[:48, :64]
    pixels = np.stack([3 * u, 4 * v, u + v], axis=-1).astype(np.uint8)
    millimetres = (500 + 10 * u + v).astype(np.uint16)
    image = compressed(pixels[..., ::-1], "rgb8; png compressed bgr8")
    depth = compressed(millimetres, "16UC1; png compressed ")

    frame = messages.frame_from_messages(image, depth, camera_info(camera, 0.3, 0.1))

    assert frame.camera == camera
    place, _ = cv2.projectPoints(
        camera.rays([[50.0, 40.0]]),
        np.zeros(3),
        np.zeros(3),
        camera.matrix,
        np.array([0.3, 0.1, 0, 0]),
    )
    (u, v) = place.ravel()
    assert np.hypot(u - 50, v - 40) > 1
    np.testing.assert_allclose(frame.image[40, 50], [3 * u, 4 * v, u + v], atol=1)
    assert frame.depth[40, 50] == np.float32(millimetres[round(v), round(u)] / 1000)


def test_frame_with_depth_of_another_camera() -> None:
    camera = PinholeCamera(60, 60, 31.5, 23.5, 64, 48)
    image = messages.image_to_message(Image, Header(), np.zeros((48, 64, 3), np.uint8))
    depth = messages.depth_to_message(Image, Header(), np.ones((24, 32)))
    depth_info = camera_info(camera.resized(32, 24))
    T_color_depth = np.eye(4)
    T_color_depth[:3, 3] = 0.1, 0, 0.5

    frame = messages.frame_from_messages(
        image, depth, camera_info(camera), depth_info, T_color_depth
    )

    assert frame.camera == camera
    assert np.nanmin(frame.depth) == np.nanmax(frame.depth) == 1.5
    seen = np.argwhere(np.isfinite(frame.depth))
    np.testing.assert_allclose(seen.mean(0), [23.5, 35.5], atol=0.5)  # 60 px * 0.1 / 1.5 on
    np.testing.assert_allclose(np.ptp(seen, axis=0), np.array([48, 64]) / 1.5, atol=2)
    lens = camera_info(camera.resized(32, 24), 0.9)  # the corners of a pincushion are not seen
    bent = messages.frame_from_messages(image, depth, camera_info(camera), lens, T_color_depth)
    assert 0 < np.isfinite(bent.depth).sum() < 0.9 * len(seen)
    for incomplete in ((depth_info, None), (None, T_color_depth)):
        with pytest.raises(InvalidInputError, match="belong together"):
            messages.frame_from_messages(image, depth, camera_info(camera), *incomplete)
    with pytest.raises(InvalidInputError, match="camera_info is for 64x48"):
        messages.frame_from_messages(
            image, depth, camera_info(camera), camera_info(camera), T_color_depth
        )
