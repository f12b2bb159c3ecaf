"""Frames that no camera should send, and under which name the node counts each."""

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image

Messages = dict[str, Any]
HUGE = 2**32 - 1
LONG = "x" * 100_000
SECOND = 1_000_000_000  # ns


class BadFrame(NamedTuple):
    """A way to spoil a frame.

    Attributes:
        counted: what the node counts it under: "refused.KIND", "unsynchronised", "malformed", or
            "processed" for what is odd but can be used.
        damage: spoils the messages of a good frame, under the keys of CAMERA_TOPICS.
        times: how often it is counted.
    """

    counted: str
    damage: Callable[[Messages], object]
    times: int = 1


def _changed(key: str, **fields: Any) -> Callable[[Messages], None]:
    def damage(messages: Messages) -> None:
        for name, value in fields.items():
            setattr(messages[key], name, value)

    return damage


def _resized(key: str, change: int) -> Callable[[Messages], None]:
    """Bytes fewer or more than the image needs."""

    def damage(messages: Messages) -> None:
        data = messages[key].data
        data.frombytes(bytes(change)) if change > 0 else data.__delitem__(slice(change, None))

    return damage


def _depth(make: Callable[[tuple[int, int]], npt.NDArray]) -> Callable[[Messages], None]:
    """Another depth image, made for a height and width."""

    def damage(messages: Messages) -> None:
        before = messages["depth"]
        depth = np.ascontiguousarray(make((before.height, before.width)))
        message = Image(header=before.header, height=depth.shape[0], width=depth.shape[1])
        message.encoding = {"f": "32FC1", "u": "16UC1"}[depth.dtype.kind]
        message.is_bigendian = int(depth.dtype.byteorder == ">")
        message.step = depth.strides[0]
        message.data.frombytes(depth.tobytes())
        messages["depth"] = message

    return damage


def _shifted(seconds: int, *keys: str) -> Callable[[Messages], None]:
    """Stamps of other times."""

    def damage(messages: Messages) -> None:
        # The messages of a frame share their header.
        for key in keys:
            header = type(messages[key].header)(frame_id=messages[key].header.frame_id)
            header.stamp.sec = messages[key].header.stamp.sec + seconds
            header.stamp.nanosec = messages[key].header.stamp.nanosec
            messages[key].header = header

    return damage


def _frame_id(name: str) -> Callable[[Messages], None]:
    return lambda messages: setattr(messages["color"].header, "frame_id", name)


def _without(key: str) -> Callable[[Messages], object]:
    return lambda messages: messages.pop(key)


BAD_FRAMES: Mapping[str, BadFrame] = {
    "NaN depth": BadFrame("refused.no_depth", _depth(lambda s: np.full(s, np.nan, np.float32))),
    "negative depth": BadFrame("refused.no_depth", _depth(lambda s: np.full(s, -1, np.float32))),
    "infinite depth": BadFrame(
        "refused.no_depth", _depth(lambda s: np.full(s, np.inf, np.float32))
    ),
    "zero depth": BadFrame("refused.no_depth", _depth(lambda s: np.zeros(s, np.uint16))),
    "tiny depth": BadFrame("processed", _depth(lambda s: np.full(s, 1e-40, np.float32))),
    "huge depth": BadFrame("processed", _depth(lambda s: np.full(s, 3e38, np.float32))),
    "big-endian depth": BadFrame("processed", _depth(lambda s: np.full(s, 800, ">u2"))),
    "depth of another byte order": BadFrame("processed", _changed("depth", is_bigendian=1)),
    "depth of another size": BadFrame(
        "refused.size", _depth(lambda s: np.full((s[0] // 2, s[1] // 2), 800, np.uint16))
    ),
    "no depth": BadFrame("unsynchronised", _without("depth")),
    "no colour": BadFrame("unsynchronised", _without("color")),
    "depth 3 s late": BadFrame("unsynchronised", _shifted(3, "depth"), times=2),
    "stamps 2 s back": BadFrame("processed", _shifted(-2, "color", "depth")),
    "stamps a year ahead": BadFrame("refused.stale", _shifted(31_000_000, "color", "depth")),
    "stamps a year old": BadFrame("refused.stale", _shifted(-31_000_000, "color", "depth")),
    "no frame_id": BadFrame("processed", _frame_id("")),
    "long frame_id": BadFrame("refused.frame_id", _frame_id(LONG)),
    "Bayer colour": BadFrame("refused.color", _changed("color", encoding="bayer_rggb8")),
    "no encoding": BadFrame("refused.color", _changed("color", encoding="")),
    "long encoding": BadFrame("refused.color", _changed("color", encoding=LONG)),
    "colour as depth": BadFrame("refused.depth", _changed("depth", encoding="rgb8")),
    "short colour": BadFrame("refused.color", _resized("color", -1)),
    "long colour": BadFrame("refused.color", _resized("color", 7)),
    "short depth": BadFrame("refused.depth", _resized("depth", -2)),
    "long depth": BadFrame("refused.depth", _resized("depth", 4096)),
    "step too small": BadFrame("refused.color", _changed("color", step=3)),
    "no step": BadFrame("refused.depth", _changed("depth", step=0)),
    "huge step": BadFrame("refused.color", _changed("color", step=HUGE)),
    "no width": BadFrame("refused.color", _changed("color", width=0)),
    "no height": BadFrame("refused.depth", _changed("depth", height=0)),
    "huge size": BadFrame("refused.color", _changed("color", width=HUGE, height=HUGE)),
    "huge depth size": BadFrame("refused.depth", _changed("depth", width=HUGE, height=HUGE)),
}

BAD_INTRINSICS: Mapping[str, BadFrame] = {
    "zero intrinsics": BadFrame("refused.camera_info", _changed("camera_info", k=np.zeros(9))),
    "NaN intrinsics": BadFrame(
        "refused.camera_info", _changed("camera_info", k=np.full(9, np.nan))
    ),
    "negative focal length": BadFrame(
        "refused.camera_info", _changed("camera_info", k=-np.eye(3).ravel())
    ),
    "intrinsics of no size": BadFrame(
        "refused.camera_info", _changed("camera_info", width=0, height=0)
    ),
    "intrinsics of another size": BadFrame("refused.size", _changed("camera_info", width=1280)),
    "intrinsics of a huge size": BadFrame(
        "refused.size", _changed("camera_info", width=HUGE, height=HUGE)
    ),
    "infinite distortion": BadFrame("refused.camera_info", _changed("camera_info", d=[np.inf] * 5)),
    "endless distortion": BadFrame(
        "refused.camera_info", _changed("camera_info", d=[0.1] * 50_000)
    ),
    "unknown distortion": BadFrame(
        "refused.camera_info", _changed("camera_info", d=[0.1], distortion_model=LONG)
    ),
}


def compressed(messages: Messages) -> Messages:
    """The same frame as image_transport sends it compressed."""
    color, depth = messages["color"], messages["depth"]
    size = (color.height, color.width)
    image = np.frombuffer(color.data, np.uint8).reshape(*size, 3)
    values = np.frombuffer(depth.data, np.uint16).reshape(size)
    return {
        "camera_info": messages["camera_info"],
        "color": _packed(color.header, "rgb8; jpeg compressed bgr8", encoded(image, "JPEG")),
        "depth": _packed(
            depth.header, "16UC1; compressedDepth png", bytes(12) + encoded(values, "PNG")
        ),
    }


def encoded(image: npt.NDArray, kind: str) -> bytes:
    """A picture as the bytes of a JPEG or PNG file."""
    buffer = io.BytesIO()
    Picture.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def _packed(header: Any, kind: str, data: bytes) -> CompressedImage:
    message = CompressedImage(header=header, format=kind)
    message.data.frombytes(data)
    return message


def _data(key: str, change: Callable[[bytes], bytes]) -> Callable[[Messages], None]:
    def damage(messages: Messages) -> None:
        before = messages[key]
        messages[key] = _packed(before.header, before.format, change(before.data.tobytes()))

    return damage


def _swapped(data: bytes) -> bytes:
    """Bytes in the middle of a file replaced."""
    middle = len(data) // 2
    return data[:middle] + bytes(64) + data[middle + 64 :]


def _bomb(data: bytes) -> bytes:
    """A PNG whose header says that it is 60000 px wide and high."""
    at = data.index(b"IHDR") + 4
    return data[:at] + 2 * (60000).to_bytes(4, "big") + data[at + 8 :]


BAD_COMPRESSED: Mapping[str, BadFrame] = {
    "JPEG cut short": BadFrame("refused.color", _data("color", lambda d: d[: len(d) // 2])),
    "no JPEG": BadFrame("refused.color", _data("color", lambda d: bytes(len(d)))),
    "no data": BadFrame("refused.color", _data("color", lambda d: b"")),
    "PNG bomb as colour": BadFrame(
        "refused.color",
        _data("color", lambda d: _bomb(encoded(np.zeros((8, 8, 3), np.uint8), "PNG"))),
    ),
    "colour that is depth": BadFrame(
        "refused.color", _changed("color", format="16UC1; compressedDepth png")
    ),
    "long format": BadFrame("refused.depth", _changed("depth", format=LONG)),
    "PNG cut short": BadFrame("refused.depth", _data("depth", lambda d: d[: len(d) // 2])),
    "broken PNG": BadFrame("refused.depth", _data("depth", _swapped)),
    "header alone": BadFrame("refused.depth", _data("depth", lambda d: d[:12])),
    "PNG bomb as depth": BadFrame("refused.depth", _data("depth", _bomb)),
    "depth of 8 bits": BadFrame(
        "refused.depth",
        _data("depth", lambda d: bytes(12) + encoded(np.full((96, 128), 80, np.uint8), "PNG")),
    ),
    "depth quantised by nothing": BadFrame(
        "refused.depth", _changed("depth", format="32FC1; compressedDepth png")
    ),
}
