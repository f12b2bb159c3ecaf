"""sensor_msgs to arrays and back: padding, byte orders, live and bag messages, malformed ones."""

import array
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data import messages
from dense_desc_ros.errors import InvalidInputError

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 9))
PADDING = st.integers(0, 5)
BAG_TYPES = get_typestore(Stores.ROS2_KILTED).types


def make(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Any:
    """An image message of pixels (H, W) or (H, W, C), rows padded with 0xEE."""
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.frombuffer(stored.tobytes(), np.uint8).reshape(len(pixels), -1)
    padded = np.pad(rows, [(0, 0), (0, padding)], constant_values=0xEE)
    message = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
    )
    message.data = array.array("B", padded.tobytes())
    return message


@given(size=SIZES, padding=PADDING, big_endian=st.booleans(), data=st.data())
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", [0, 1, 2]),
        ("bgr8", [2, 1, 0]),
        ("rgba8", [0, 1, 2]),
        ("bgra8", [2, 1, 0]),
        ("mono8", [0, 0, 0]),
    ],
)
def test_colour(
    encoding: str,
    order: list[int],
    size: tuple[int, int],
    padding: int,
    big_endian: bool,
    data: st.DataObject,
) -> None:
    channels = {"mono8": 1, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    pixels = data.draw(hnp.arrays(np.uint8, (*size, channels)))
    image = messages.image_from_message(make(pixels, encoding, padding, big_endian))
    np.testing.assert_array_equal(image, pixels[..., order])
    assert image.flags.writeable
    assert image.flags.c_contiguous


@given(size=SIZES, padding=PADDING, data=st.data())
@pytest.mark.parametrize(
    ("encoding", "order"),  # of Y, U, Y, V in the four bytes of two pixels
    [
        ("uyvy", [1, 0, 3, 2]),
        ("yuv422", [1, 0, 3, 2]),
        ("yuyv", [0, 1, 2, 3]),
        ("yuv422_yuy2", [0, 1, 2, 3]),
    ],
)
def test_colour_with_half_the_chroma(
    encoding: str, order: list[int], size: tuple[int, int], padding: int, data: st.DataObject
) -> None:
    height, pairs = size
    pixels = data.draw(hnp.arrays(np.uint8, (height, pairs, 4)))
    message = make(pixels.reshape(height, 2 * pairs, 2), encoding, padding)
    image = messages.image_from_message(message)
    # ITU-R BT.601 with Y of 16..235 and U, V of 16..240, as video has it.
    y1, u, y2, v = np.moveaxis(pixels[..., order].astype(float), -1, 0)
    y = 255 / 219 * (np.stack([y1, y2], axis=-1).clip(16) - 16).reshape(height, -1)
    u, v = (np.repeat(255 / 112 * (each - 128), 2, axis=1) for each in (u, v))
    red, blue = y + 0.701 * v, y + 0.886 * u
    green = y - 0.886 * 0.114 / 0.587 * u - 0.701 * 0.299 / 0.587 * v
    expected = np.stack([red, green, blue], axis=-1).clip(0, 255)
    assert np.abs(image - expected).max() < 1.5


def test_half_a_pair_of_pixels() -> None:
    message = make(np.zeros((2, 3, 2), np.uint8), "yuyv")
    with pytest.raises(InvalidInputError, match="pairs, but a width of 3"):
        messages.image_from_message(message)


@given(size=SIZES, padding=PADDING, big_endian=st.booleans(), data=st.data())
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_depth_in_millimetres(
    encoding: str, size: tuple[int, int], padding: int, big_endian: bool, data: st.DataObject
) -> None:
    millimetres = data.draw(hnp.arrays(np.uint16, size))
    depth = messages.depth_from_message(make(millimetres, encoding, padding, big_endian))
    expected = np.where(millimetres == 0, np.nan, millimetres / 1000)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)
    assert depth.dtype == np.dtype(np.float32)


@given(size=SIZES, padding=PADDING, big_endian=st.booleans(), data=st.data())
def test_depth_in_metres(
    size: tuple[int, int], padding: int, big_endian: bool, data: st.DataObject
) -> None:
    metres = data.draw(hnp.arrays(np.float32, size))
    depth = messages.depth_from_message(make(metres, "32FC1", padding, big_endian))
    valid = np.isfinite(metres) & (metres > 0)
    np.testing.assert_array_equal(depth, np.where(valid, metres, np.nan))
    assert depth.dtype == np.dtype(np.float32)


@given(size=SIZES, padding=PADDING, data=st.data())
def test_mask(size: tuple[int, int], padding: int, data: st.DataObject) -> None:
    pixels = data.draw(hnp.arrays(np.uint8, size))
    mask = messages.mask_from_message(make(pixels, "mono8", padding))
    np.testing.assert_array_equal(mask, pixels > 0)


@pytest.mark.parametrize("live", [True, False])
@given(size=SIZES, data=st.data())
def test_there_and_back(live: bool, size: tuple[int, int], data: st.DataObject) -> None:
    image_type = Image if live else BAG_TYPES["sensor_msgs/msg/Image"]
    header = Header() if live else None
    image = data.draw(hnp.arrays(np.uint8, (*size, 3)))
    millimetres = data.draw(hnp.arrays(np.uint16, size))
    depth = np.where(millimetres == 0, np.nan, millimetres / np.float32(1000))

    image_message = messages.image_to_message(image_type, header, image)
    depth_message = messages.depth_to_message(image_type, header, depth)

    assert isinstance(image_message.data, array.array if live else np.ndarray)
    assert depth_message.is_bigendian == (sys.byteorder == "big")
    np.testing.assert_array_equal(messages.image_from_message(image_message), image)
    np.testing.assert_array_equal(
        messages.depth_from_message(depth_message), depth.astype(np.float32)
    )


def test_image_that_is_a_view_of_another() -> None:
    pixels = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    message = messages.image_to_message(Image, Header(), pixels[1:4, ::2])
    np.testing.assert_array_equal(messages.image_from_message(message), pixels[1:4, ::2])


def test_camera_there_and_back() -> None:
    camera = PinholeCamera(610.5, 611.5, 319.25, 239.75, 640, 480)
    message = messages.camera_to_message(CameraInfo, Header(), camera)
    assert messages.camera_from_message(message) == camera
    np.testing.assert_array_equal(message.p.reshape(3, 4)[:, :3], camera.matrix)
    assert list(message.d) == [0.0] * 5


@pytest.mark.parametrize(
    ("focal", "width", "match"),
    [(0.0, 640, "focal"), (-1.0, 640, "focal"), (np.nan, 640, "finite"), (600.0, 0, "size")],
)
def test_camera_that_is_not_calibrated(focal: float, width: int, match: str) -> None:
    message = CameraInfo(height=480, width=width)
    message.k = np.array([focal, 0, 320, 0, focal, 240, 0, 0, 1], dtype=float)
    with pytest.raises(InvalidInputError, match=match):
        messages.camera_from_message(message)


def test_frame_takes_the_header_of_the_colour_image() -> None:
    image = make(np.zeros((4, 6, 3), np.uint8), "rgb8")
    image.header.stamp.sec, image.header.stamp.nanosec = 1_700_000_000, 123_456_789
    image.header.frame_id = "camera_color_optical_frame"
    depth = make(np.full((4, 6), 750, np.uint16), "16UC1")
    camera = PinholeCamera(6, 6, 3, 2, 6, 4)
    info = messages.camera_to_message(CameraInfo, Header(), camera)

    frame = messages.frame_from_messages(image, depth, info)

    assert frame.stamp_ns == 1_700_000_000_123_456_789
    assert frame.frame_id == "camera_color_optical_frame"
    assert frame.camera == camera
    np.testing.assert_array_equal(frame.depth, np.full((4, 6), 0.75, np.float32))


def test_frame_of_sizes_that_differ() -> None:
    image = make(np.zeros((4, 6, 3), np.uint8), "rgb8")
    depth = make(np.zeros((4, 5), np.uint16), "16UC1")
    info = messages.camera_to_message(CameraInfo, Header(), PinholeCamera(6, 6, 3, 2, 6, 4))
    with pytest.raises(InvalidInputError, match="depth is 5x4 but colour is 6x4"):
        messages.frame_from_messages(image, depth, info)


CONVERSIONS = [
    (messages.image_from_message, "rgb8"),
    (messages.depth_from_message, "16UC1"),
    (messages.mask_from_message, "mono8"),
]


@pytest.mark.parametrize(("convert", "encoding"), CONVERSIONS)
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"encoding": "bayer_rggb8"}, "encoding 'bayer_rggb8': expected one of"),
        ({"encoding": ""}, "encoding ''"),
        ({"height": 0}, "empty"),
        ({"width": 0}, "empty"),
        ({"step": 0}, "step 0"),
        ({"step": 1}, "step 1"),
        ({"width": 1000}, "step"),
        ({"height": 5}, "bytes of data"),
        ({"height": 2**20, "step": 2**20}, "bytes of data"),
        ({"height": 2**31, "step": 2**31}, "more than 16777216 pixels"),
        ({"data": b""}, "0 bytes of data"),
    ],
)
def test_malformed(convert: Any, encoding: str, changes: dict[str, Any], match: str) -> None:
    channels, size = {"rgb8": (3, 1), "16UC1": (1, 2), "mono8": (1, 1)}[encoding]
    step = 6 * channels * size
    fields = {
        "encoding": encoding,
        "height": 4,
        "width": 6,
        "step": step,
        "is_bigendian": 0,
        "data": bytes(4 * step),
    }
    convert(SimpleNamespace(**fields))
    with pytest.raises(InvalidInputError, match=match):
        convert(SimpleNamespace(**(fields | changes)))


@pytest.mark.parametrize("missing", [-1, 1])
def test_data_one_byte_short_or_long(missing: int) -> None:
    message = make(np.zeros((4, 6, 3), np.uint8), "rgb8", padding=2)
    message.data = array.array("B", bytes(len(message.data) - missing))
    with pytest.raises(InvalidInputError, match="bytes of data"):
        messages.image_from_message(message)


def test_not_an_image() -> None:
    with pytest.raises(InvalidInputError):
        messages.image_to_message(Image, Header(), np.zeros((4, 6), np.uint8))
