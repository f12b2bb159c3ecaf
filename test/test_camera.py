"""The pinhole camera and what a frame refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(600.0, 610.0, 319.5, 239.5, 640, 480)
IMAGE = np.zeros((480, 640, 3), np.uint8)
DEPTH = np.ones((480, 640), np.float32)


@given(
    pixels=arrays(float, (5, 2), elements=st.floats(-100, 700)),
    depth=arrays(float, 5, elements=st.floats(0.1, 10)),
)
def test_projection_undoes_back_projection(pixels, depth):
    points = CAMERA.back_project(pixels, depth)
    np.testing.assert_allclose(points[:, 2], depth)
    np.testing.assert_allclose(CAMERA.project(points), pixels, atol=1e-6)
    homogeneous = (CAMERA.matrix @ points.T).T
    np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], pixels, atol=1e-6)


def test_what_is_behind_the_camera_is_not_in_the_picture():
    assert np.isnan(CAMERA.project([0, 0, -1.0])).all()


@pytest.mark.parametrize("bad", [{"fx": 0}, {"fy": -1}, {"cx": np.nan}, {"width": 0}])
def test_an_uncalibrated_camera_is_refused(bad):
    values = {"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 4, "height": 4} | bad
    with pytest.raises(InvalidInputError):
        PinholeCamera(**values)


def test_unmeasured_depth_becomes_nan_and_the_callers_array_stays():
    depth = DEPTH.copy()
    depth[0, :4] = [0, -1, np.inf, np.nan]
    frame = RgbdFrame(IMAGE, depth, CAMERA)
    assert np.isnan(frame.depth[0, :4]).all() and np.isfinite(frame.depth[1:]).all()
    assert depth[0, 0] == 0


@pytest.mark.parametrize(
    ("image", "depth", "message"),
    [
        (IMAGE, DEPTH[:240], "depth is 640x240 but colour is 640x480"),
        (IMAGE[:240], DEPTH[:240], "camera_info is for 640x480"),
        (IMAGE, (DEPTH * 1000).astype(np.uint16), "metres as float"),
        (IMAGE[..., 0], DEPTH, "must be"),
    ],
)
def test_what_does_not_belong_together_is_refused(image, depth, message):
    with pytest.raises(InvalidInputError, match=message):
        RgbdFrame(image, depth, CAMERA)


def test_a_shrunk_frame_shows_the_same():
    camera = PinholeCamera(900.0, 910.0, 953.2, 538.7, 1920, 1080)
    u = np.tile(np.arange(1920), (1080, 1))
    image = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    depth = (1 + u / 1000).astype(np.float32)
    depth[:4, :4] = np.nan
    frame = RgbdFrame(image, depth, camera, 5, "optical")

    small = frame.shrunk(960)

    assert small.image.shape == (540, 960, 3)
    assert (small.stamp_ns, small.frame_id) == (5, "optical")
    means = image.reshape(540, 2, 960, 2, 3).mean((1, 3))
    assert np.abs(small.image - means).max() <= 0.5
    assert np.isnan(small.depth[:2, :2]).all()
    assert (np.abs(small.depth[2:] - depth.reshape(540, 2, 960, 2)[2:, 0].mean(-1)) < 0.00051).all()
    # A point is where its pixel is in either picture, and the centres of the pictures agree.
    point = np.array([0.2, -0.1, 1.3])
    again = small.camera.pixels_in(camera, small.camera.project(point))
    np.testing.assert_allclose(again, camera.project(point))
    np.testing.assert_allclose(small.camera.pixels_in(camera, [479.5, 269.5]), [959.5, 539.5])
    np.testing.assert_allclose(small.camera.pixels_in(camera, [[0, 0]]), [[0.5, 0.5]])


@pytest.mark.parametrize(("side", "size"), [(100, (100, 75)), (3, (3, 2)), (1, (1, 1))])
def test_sizes_that_do_not_divide(side, size):
    frame = RgbdFrame(IMAGE, DEPTH, CAMERA).shrunk(side)
    assert (frame.camera.width, frame.camera.height) == size
    point = CAMERA.back_project([500, 100], 1)
    again = frame.camera.pixels_in(CAMERA, frame.camera.project(point))
    np.testing.assert_allclose(again, [500, 100])


def test_a_frame_is_never_enlarged():
    frame = RgbdFrame(IMAGE, DEPTH, CAMERA)
    assert frame.shrunk(640) is frame
    assert frame.shrunk(1000) is frame
    with pytest.raises(InvalidInputError, match="at least"):
        frame.shrunk(0)
