"""Compressed colour and depth: the formats of image_transport, damaged and hostile data."""

import array
import io
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage

from dense_desc_ros.data.compressed import MAX_PIXELS
from dense_desc_ros.data.messages import depth_from_message, image_from_message
from dense_desc_ros.errors import InvalidInputError

BAG_TYPES = get_typestore(Stores.ROS2_KILTED).types
SIZES = st.tuples(st.integers(1, 7), st.integers(1, 9))
V, U = np.mgrid[:48, :64]
PICTURE = np.stack([4 * U, 5 * V, 255 - 3 * U], axis=-1).astype(np.uint8)
HEADER = struct.pack("<iff", 0, 0.0, 0.0)
DEPTH_MM = (500 + 10 * U + V).astype(np.uint16)


def message(data: bytes, text_format: str) -> Any:
    live = CompressedImage(format=text_format)
    live.data = array.array("B", data)
    return live


def encoded(pixels: np.ndarray, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("text_format", "stored"),
    [
        ("png", PICTURE[..., ::-1]),
        ("rgb8; png compressed bgr8", PICTURE[..., ::-1]),
        ("bgr8; png compressed bgr8", PICTURE[..., ::-1]),
        ("bayer_rggb8; png compressed bgr8", PICTURE[..., ::-1]),
        ("rgb8; png compressed rgb8", PICTURE),
        ("rgb16; png compressed bgr16", PICTURE[..., ::-1].astype(np.uint16) * 257),
    ],
)
def test_png_is_exact(text_format: str, stored: np.ndarray) -> None:
    image = image_from_message(message(encoded(stored), text_format))
    np.testing.assert_array_equal(image, PICTURE)
    assert image.flags.writeable and image.flags.c_contiguous


@pytest.mark.parametrize(
    ("text_format", "stored"),
    [
        ("jpeg", PICTURE[..., ::-1]),
        ("", PICTURE[..., ::-1]),
        ("rgb8; jpeg compressed bgr8", PICTURE[..., ::-1]),
        ("rgb8; jpeg compressed rgb8", PICTURE),
    ],
)
def test_jpeg(text_format: str, stored: np.ndarray) -> None:
    image = image_from_message(message(encoded(stored, ".jpg"), text_format))
    assert np.abs(image.astype(int) - PICTURE).mean() < 3


def test_grey_and_transparent_pictures_have_three_channels() -> None:
    grey = PICTURE[..., 0]
    image = image_from_message(message(encoded(grey), "mono8; png compressed "))
    np.testing.assert_array_equal(image, np.stack([grey] * 3, axis=-1))
    transparent = np.dstack([PICTURE[..., ::-1], grey])
    image = image_from_message(message(encoded(transparent), "png"))
    np.testing.assert_array_equal(image, PICTURE)


def test_pictures_are_not_turned_as_their_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "jpeg", exif=exif)
    assert image_from_message(message(file.getvalue(), "jpeg")).shape == PICTURE.shape


@pytest.mark.parametrize(
    ("text_format", "header"),
    [
        ("16UC1; compressedDepth png", HEADER),
        ("16UC1; compressedDepth", HEADER),
        ("mono16; compressedDepth png", HEADER),
        ("16UC1; png compressed ", b""),
        ("png", b""),
    ],
)
@given(data=st.data(), size=SIZES)
def test_depth_in_millimetres(
    text_format: str, header: bytes, data: st.DataObject, size: tuple[int, int]
) -> None:
    millimetres = data.draw(hnp.arrays(np.uint16, size))
    depth = depth_from_message(message(header + encoded(millimetres), text_format))
    np.testing.assert_allclose(depth, np.where(millimetres > 0, millimetres / 1000, np.nan), 1e-6)
    assert depth.dtype == np.dtype(np.float32)


def quantised(depth: np.ndarray, farthest: float, quantisation: float) -> tuple[bytes, float]:
    """As compressed_depth_image_transport documents it: the message's data, and A."""
    a = quantisation * (quantisation + 1)
    b = 1 - a / farthest
    with np.errstate(divide="ignore"):
        values = np.where(depth < farthest, np.floor(a / depth + b), 0).astype(np.uint16)
    return struct.pack("<iff", 0, a, b) + encoded(values), a


@pytest.mark.parametrize("live", [True, False])
@given(
    depth=hnp.arrays(float, (5, 6), elements=st.floats(0.2, 12)),
    farthest=st.sampled_from([4.0, 10.0]),
    quantisation=st.sampled_from([50.0, 100.0]),
)
def test_depth_of_quantised_inverses(
    live: bool, depth: np.ndarray, farthest: float, quantisation: float
) -> None:
    data, a = quantised(depth, farthest, quantisation)
    text_format = "32FC1; compressedDepth png"
    if live:
        found = depth_from_message(message(data, text_format))
    else:
        bag_type = BAG_TYPES["sensor_msgs/msg/CompressedImage"]
        found = depth_from_message(bag_type(None, text_format, np.frombuffer(data, np.uint8)))
    near = depth < farthest
    np.testing.assert_array_equal(np.isnan(found), ~near)
    # Rounded down, the inverse loses up to a step of 1 / A: depth never falls and grows that much.
    grown = 1 / depth[near] - 1 / found[near]
    assert grown.min(initial=0) > -1e-5
    assert grown.max(initial=0) < 1 / a + 1e-5
    assert found.dtype == np.dtype(np.float32)


def test_quantised_values_that_no_depth_has_are_invalid() -> None:
    header = struct.pack("<iff", 0, 1000.0, 600.0)
    depth = depth_from_message(message(header + encoded(DEPTH_MM), "32FC1; compressedDepth png"))
    np.testing.assert_array_equal(np.isnan(depth), DEPTH_MM <= 600)
    assert np.nanmin(depth) > 0


def png_of(width: int, height: int) -> bytes:
    """A picture of this size without pixels, that says so truthfully."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def jpeg_of(width: int, height: int) -> bytes:
    data = encoded(PICTURE, ".jpg")
    said, claimed = struct.pack(">HH", 48, 64), struct.pack(">HH", height, width)
    assert data.count(said) == 1
    return data.replace(said, claimed)


@pytest.mark.parametrize(
    "data",
    [png_of(4097, 4096), png_of(2**31 - 1, 2**31 - 1), jpeg_of(5000, 5000), jpeg_of(65500, 65500)],
)
def test_a_size_that_is_too_large_is_refused_before_decoding(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", decode)
    for convert in image_from_message, depth_from_message:
        with pytest.raises(InvalidInputError, match="pixels"):
            convert(message(data, "png"))


def test_the_limit_holds_for_raw_images() -> None:
    size = {"height": 1, "width": MAX_PIXELS + 1, "step": MAX_PIXELS + 1, "is_bigendian": 0}
    raw = SimpleNamespace(encoding="mono8", data=bytes(MAX_PIXELS + 1), **size)
    with pytest.raises(InvalidInputError, match="more than 16777216 pixels"):
        image_from_message(raw)


CASES = [
    (image_from_message, "jpeg", encoded(PICTURE, ".jpg")),
    (image_from_message, "png", encoded(PICTURE)),
    (depth_from_message, "16UC1; compressedDepth png", HEADER + encoded(DEPTH_MM)),
    (depth_from_message, "32FC1; compressedDepth png", quantised(DEPTH_MM / 1e3, 10, 100)[0]),
]


@pytest.mark.parametrize(("convert", "text_format", "data"), CASES)
@given(kept=st.floats(0, 0.97))
def test_data_cut_short(convert: Any, text_format: str, data: bytes, kept: float) -> None:
    convert(message(data, text_format))
    with pytest.raises(InvalidInputError, match="damaged|cut short"):
        convert(message(data[: int(kept * len(data))], text_format))


@pytest.mark.parametrize(("convert", "text_format", "data"), CASES)
@given(noise=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4))
def test_damaged_data_are_refused_or_give_some_picture(
    convert: Any, text_format: str, data: bytes, noise: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data)
    for place, value in noise:
        damaged[int(place * len(data))] = value
    try:
        found = convert(message(bytes(damaged), text_format))
    except InvalidInputError:
        return
    assert found.shape[0] * found.shape[1] <= MAX_PIXELS


@pytest.mark.parametrize(
    ("convert", "text_format", "data", "match"),
    [
        (image_from_message, "16UC1; compressedDepth png", HEADER, "which is depth"),
        (image_from_message, "png", encoded(DEPTH_MM), "16-bit grey, as depth is"),
        (image_from_message, "bayer_rggb8; png compressed ", encoded(DEPTH_MM), "debayered"),
        (image_from_message, "tiff", encoded(PICTURE, ".tiff"), "no JPEG or PNG"),
        (depth_from_message, "16UC1; compressedDepth rvl", HEADER + b"1", "expected '16UC1"),
        (depth_from_message, "16UC1; jpeg compressed mono8", b"", "expected '16UC1"),
        (depth_from_message, "jpeg", encoded(DEPTH_MM), "expected '16UC1"),
        (depth_from_message, "", encoded(DEPTH_MM), "expected '16UC1"),
        (depth_from_message, "32FC1; png compressed ", encoded(DEPTH_MM), "expected '16UC1"),
        (depth_from_message, "bgr8; png compressed bgr8", encoded(DEPTH_MM), "expected '16UC1"),
        (depth_from_message, "png", encoded(PICTURE), "16 bits"),
        (depth_from_message, "png", encoded(PICTURE[..., 0]), "16 bits"),
        (depth_from_message, "32FC1; compressedDepth png", HEADER + encoded(DEPTH_MM), "A=0, B=0"),
    ],
)
def test_what_is_not_what_was_asked_for(
    convert: Any, text_format: str, data: bytes, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        convert(message(data, text_format))
