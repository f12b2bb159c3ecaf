"""Keypoints in space, by measured depth or the network's own, and as messages."""

import numpy as np
import pytest
from known_scene import pose
from posed_scene import ColourNetwork

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.keypoints import REFERENCE_FOCAL
from dense_desc_ros.located_keypoints import locate_keypoints
from dense_desc_ros.nodes.conversions import header_of, keypoint_array
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(300.0, 310.0, 63.5, 47.5, 128, 96)
RED, GREEN, BLUE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)
T_base_camera = pose(0.4, 0.1, 1.2, (2.5, 0.4, 0.3))


def described() -> tuple[DescriptorModel, RgbdFrame]:
    """A red square, a green one without depth, and two blue ones 40 px apart; depth of a slope."""
    image = np.zeros((96, 128, 3), np.uint8)
    depth = np.repeat(np.linspace(0.5, 0.7, 128, dtype=np.float32)[None], 96, axis=0)
    image[20:24, 32:36, 0] = image[60:64, 80:84, 1] = 255
    image[40:44, 40:44, 2] = image[40:44, 80:84, 2] = 255
    depth[52:72, 72:92] = np.nan
    model = DescriptorModel(ColourNetwork((RED, GREEN, BLUE)), "l2", "cpu")
    return model, RgbdFrame(image, depth, CAMERA, 1_500_000_000, "optical")


def test_keypoints_are_where_depth_says_or_else_the_network() -> None:
    model, frame = described()
    found = locate_keypoints(model.network, frame, model.describe(frame.image))
    np.testing.assert_allclose(found.pixels, [(33.5, 21.5), (81.5, 61.5), (61.5, 41.5)], atol=0.1)
    assert found.is_measured.tolist() == [True, False, True]
    slope = 0.5 + 0.2 * found.pixels[:, 0] / 127
    believed = CAMERA.fx / REFERENCE_FOCAL  # 1 m for the camera of that focal length
    np.testing.assert_allclose(found.points[:, 2], [slope[0], believed, slope[2]], atol=2e-3)
    np.testing.assert_allclose(CAMERA.project(found.points), found.pixels, atol=1e-6)
    np.testing.assert_allclose(found.spreads_px, [0, 0, 20], atol=0.1)


@pytest.mark.parametrize("T_frame_camera", [None, T_base_camera])
def test_messages_carry_them_in_the_frame_of_the_grasps(T_frame_camera: np.ndarray | None) -> None:
    model, frame = described()
    found = locate_keypoints(model.network, frame, model.describe(frame.image))
    frame_id = "base" if T_frame_camera is not None else "optical"
    array = keypoint_array(found, frame, header_of(frame, frame_id), T_frame_camera)
    assert array.header.frame_id == frame_id and array.header.stamp.sec == 1
    assert [keypoint.index for keypoint in array.keypoints] == [0, 1, 2]
    T_camera_frame = np.eye(4) if T_frame_camera is None else np.linalg.inv(T_frame_camera)
    for keypoint, is_measured, spread in zip(
        array.keypoints, found.is_measured, found.spreads_px, strict=True
    ):
        point = T_camera_frame @ [keypoint.point.x, keypoint.point.y, keypoint.point.z, 1]
        pixel = (keypoint.pixel.u, keypoint.pixel.v)
        np.testing.assert_allclose(CAMERA.project(point[:3]), pixel, atol=1e-4)
        assert keypoint.is_measured == is_measured
        assert keypoint.spread_px == pytest.approx(spread, abs=1e-5)


def test_a_network_without_keypoints_is_refused(tiny_model: DescriptorModel) -> None:
    _, frame = described()
    with pytest.raises(InvalidInputError, match="without keypoints"):
        locate_keypoints(tiny_model.network, frame, tiny_model.describe(frame.image))
