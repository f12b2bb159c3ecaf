"""Undistorted pictures against OpenCV's projection of points through the same lens."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rectification import EQUIDISTANT, DistortedCamera

CAMERA = PinholeCamera(210.0, 215.0, 161.3, 118.2, 320, 240)
LENSES = [
    DistortedCamera(CAMERA, "plumb_bob", (-0.28, 0.07, 0.001, -0.0008, 0.01)),
    DistortedCamera(CAMERA, "plumb_bob", (0.15, 0.05)),
    DistortedCamera(
        CAMERA, "rational_polynomial", (0.6, -2.8, 0.0006, -0.0002, 1.6, 0.5, -2.6, 1.5)
    ),
    DistortedCamera(CAMERA, EQUIDISTANT, (0.02, -0.03, 0.01, -0.002, 0.0)),
]


def through_lens(lens: DistortedCamera, points: np.ndarray) -> np.ndarray:
    """Pixels (n, 2) in the distorted picture of points (n, 3)."""
    d, k = np.array(lens.coefficients), lens.camera.matrix
    nothing = np.zeros(3)
    if lens.model == EQUIDISTANT:
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], nothing, nothing, k, d[:4])
    else:
        d = np.pad(d, (0, max(0, 5 - len(d))))
        pixels, _ = cv2.projectPoints(points, nothing, nothing, k, d)
    return pixels.reshape(-1, 2)


@pytest.mark.parametrize("lens", LENSES)
def test_pixels_go_through_the_lens_and_back(lens: DistortedCamera) -> None:
    pixels = np.stack(np.meshgrid(np.linspace(0, 319, 9), np.linspace(0, 239, 7)), axis=-1)
    bent = lens.distort_pixels(pixels)
    expected = through_lens(lens, CAMERA.rays(pixels).reshape(-1, 3)).reshape(pixels.shape)
    np.testing.assert_allclose(bent, expected, atol=1e-9)
    assert np.abs(bent - pixels).max() > 1
    np.testing.assert_allclose(lens.undistort_pixels(bent), pixels, atol=1e-3)
    straight = DistortedCamera(CAMERA, "", ())
    assert straight.distort_pixels((3, 4)).tolist() == straight.undistort_pixels((3, 4)).tolist()


@pytest.mark.parametrize("lens", LENSES)
@settings(max_examples=25)
@given(x=st.floats(-0.6, 0.6), y=st.floats(-0.45, 0.45))
def test_a_bright_dot_lands_where_a_pinhole_camera_sees_it(
    lens: DistortedCamera, x: float, y: float
) -> None:
    point = np.array([[x, y, 1.0]])
    ((u, v),) = through_lens(lens, point)
    columns, rows = np.meshgrid(np.arange(320), np.arange(240))
    dot = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 1.5**2))
    picture = lens.undistort_image(np.repeat(dot[..., None], 3, axis=2).astype(np.uint8))
    weights = picture[..., 1].astype(float)
    found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    np.testing.assert_allclose(found, CAMERA.project(point)[0], atol=0.2)
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize("lens", LENSES)
def test_depth_is_that_of_the_nearest_pixel_and_never_a_mixture(lens: DistortedCamera) -> None:
    columns, rows = np.meshgrid(np.arange(320), np.arange(240))
    numbered = (1 + columns + 1000 * rows).astype(np.float32)
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    places = through_lens(lens, CAMERA.rays(pixels)).reshape(240, 320, 2)
    u, v = np.rint(places).astype(int).transpose(2, 0, 1)
    inside = (u >= 0) & (u < 320) & (v >= 0) & (v < 240)
    expected = np.where(inside, 1 + u + 1000 * v, np.nan)
    clear = (np.abs(np.abs(places - np.rint(places)) - 0.5) > 0.01).all(-1)  # not half way

    found = lens.undistort_depth(numbered)

    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert found.dtype == np.float32
    if lens == LENSES[1]:  # a pincushion: the corners of the pinhole picture were never taken
        assert np.isnan(found[[0, 0, -1, -1], [0, -1, 0, -1]]).all()
        assert not lens.undistort_image(np.full((240, 320, 3), 255, np.uint8))[0, 0].any()


@pytest.mark.parametrize(("model", "coefficients"), [("plumb_bob", (0.0,) * 5), ("", ())])
def test_without_distortion_pictures_are_not_even_copied(
    model: str, coefficients: tuple[float, ...]
) -> None:
    lens = DistortedCamera(CAMERA, model, coefficients)
    image, depth = np.zeros((240, 320, 3), np.uint8), np.ones((240, 320), np.float32)
    assert lens.undistort_image(image) is image
    assert lens.undistort_depth(depth) is depth


@pytest.mark.parametrize(
    ("model", "coefficients", "match"),
    [
        ("kannala_brandt", (0.1,), "'kannala_brandt' is not known: expected one of plumb_bob"),
        ("", (0.1,), "'' is not known"),
        ("plumb_bob", (0.1, np.nan), "finite"),
        ("none", (np.inf,), "finite"),
        ("plumb_bob", (0.1, 0, 0, 0, 0, 0.2), "5 coefficients at most, got 6"),
        (EQUIDISTANT, (0.1, 0, 0, 0, 0.1), "4 coefficients at most"),
    ],
)
def test_distortion_that_is_none(model: str, coefficients: tuple[float, ...], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        DistortedCamera(CAMERA, model, coefficients)


def test_an_image_of_another_size() -> None:
    with pytest.raises(InvalidInputError, match="camera_info is for 320x240 images but .* 160x120"):
        LENSES[0].undistort_image(np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(InvalidInputError, match="camera_info is for 320x240"):
        LENSES[0].undistort_depth(np.zeros((240, 160), np.float32))
