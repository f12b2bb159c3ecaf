"""One scene in the forms in which cameras send it, and a camera that sends them to the node."""

import array
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import cv2
import numpy as np
from local_scene import CAMERA, DEPTH, HEIGHT, WIDTH
from managed_node import ManagedNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.messages import COLOR_ENCODINGS, DEPTH_ENCODINGS, camera_to_message
from dense_desc_ros.nodes.client import CAMERA_TOPICS, frame_messages
from dense_desc_ros.nodes.conversions import header_of, matrix_from_values
from dense_desc_ros.rgbd_frame import RgbdFrame

Messages = dict[str, Any]  # by topic, without the camera's namespace
COLOR, ALIGNED, INFO = (topic for topic, _ in CAMERA_TOPICS.values())
DEPTH_TOPIC, DEPTH_INFO = "depth/image_rect_raw", "depth/camera_info"
POINT = (100.0, 80.0)  # px, registered in the scene unmoved
MOVE = (-56, -40)  # px, towards a corner, where a lens distorts
DISTORTION = (-0.25, 0.06, 0.002, -0.001, 0.0)
DEPTH_CAMERA = PinholeCamera(110.0, 112.0, 78.0, 61.0, 160, 120)
DEPTH_POSE = [0.05, -0.01, 0.1, 0.03, 0.02, 0.0, (1 - 0.0013) ** 0.5]
BIG = CAMERA.resized(1280, 960)


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(big_endian)
    message.data.frombytes(rows.tobytes())
    return message


def compressed(data: bytes, text_format: str) -> CompressedImage:
    return CompressedImage(data=array.array("B", data), format=text_format)


def encoded(pixels: np.ndarray, ending: str = ".png", *options: int) -> bytes:
    return cv2.imencode(ending, pixels, options)[1].tobytes()


def info(camera: PinholeCamera, *d: float) -> CameraInfo:
    message = camera_to_message(CameraInfo, None, camera)
    message.d = list(d)
    return message


def stamped(frame: RgbdFrame, messages: Messages) -> Messages:
    """The messages with the header of the frame."""
    for topic, message in messages.items():
        is_unaligned = topic.startswith("depth/")
        message.header = header_of(frame, "depth_optical" if is_unaligned else None)
    return messages


# How a frame of the scene is sent.


def plain(frame: RgbdFrame) -> Messages:
    return dict(zip((COLOR, ALIGNED, INFO), frame_messages(frame).values(), strict=True))


def color_of(frame: RgbdFrame, encoding: str) -> np.ndarray:
    """The pixels of a frame's image as an encoding has them."""
    rgb = frame.image
    opaque = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if encoding in ("uyvy", "yuv422", "yuyv", "yuv422_yuy2"):
        y, cb, cr = np.moveaxis(
            cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., (0, 2, 1)], 2, 0
        ).astype(float)
        # Video range, as OpenCV reads it; of two neighbours one chroma is kept.
        y = np.rint(16 + y * 219 / 255)
        u, v = (np.rint(128 + (c - 128) * 224 / 255) for c in (cb, cr))
        chroma = np.where(np.arange(WIDTH) % 2 == 0, u, np.roll(v, 1, axis=1))
        pair = (chroma, y) if encoding in ("uyvy", "yuv422") else (y, chroma)
        return np.stack(pair, axis=-1).astype(np.uint8)
    return {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, opaque], axis=2),
        "bgra8": np.concatenate([rgb[..., ::-1], opaque], axis=2),
        "mono8": grey,
    }[encoding]


def depth_of(frame: RgbdFrame, encoding: str) -> np.ndarray:
    return frame.depth if encoding == "32FC1" else np.rint(frame.depth * 1000).astype(np.uint16)


def encoded_as(color: str, depth: str, big_endian: bool) -> Callable[[RgbdFrame], Messages]:
    """Every row is padded."""

    def form(frame: RgbdFrame) -> Messages:
        return {
            COLOR: image(color_of(frame, color), color, padding=13),
            ALIGNED: image(depth_of(frame, depth), depth, padding=6, big_endian=big_endian),
            INFO: info(frame.camera),
        }

    return form


def jpeg(frame: RgbdFrame) -> Messages:
    data = encoded(frame.image[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_QUALITY, 90)
    a, b = 100 * 101, 1 - 100 * 101 / 10  # as compressed_depth_image_transport, up to 10 m
    values = np.rint(a / frame.depth + b).astype(np.uint16)
    return {
        f"{COLOR}/compressed": compressed(data, "rgb8; jpeg compressed bgr8"),
        f"{ALIGNED}/compressedDepth": compressed(
            struct.pack("<iff", 0, a, b) + encoded(values), "32FC1; compressedDepth png"
        ),
        INFO: info(frame.camera),
    }


def distorted(frame: RgbdFrame) -> Messages:
    """As a lens with DISTORTION shows it, in colour and depth."""
    k = frame.camera.matrix
    pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)
    places = cv2.undistortPoints(pixels.reshape(-1, 1, 2).astype(float), k, np.array(DISTORTION))
    places = (places.reshape(HEIGHT, WIDTH, 2) @ k[:2, :2].T + k[:2, 2]).astype(np.float32)
    bent = [
        cv2.remap(x, places, None, interpolation, borderValue=0)
        for x, interpolation in (
            (frame.image, cv2.INTER_LINEAR),
            (depth_of(frame, "16UC1"), cv2.INTER_NEAREST),
        )
    ]
    return {
        COLOR: image(bent[0], "rgb8"),
        ALIGNED: image(bent[1], "16UC1"),
        INFO: info(frame.camera, *DISTORTION),
    }


def through_lens(pixel: tuple[float, float]) -> np.ndarray:
    point, nothing = CAMERA.rays([pixel]), np.zeros(3)
    return cv2.projectPoints(point, nothing, nothing, CAMERA.matrix, np.array(DISTORTION))[
        0
    ].ravel()


def rectified(frame: RgbdFrame) -> Messages:
    """As image_proc leaves it: camera_info tells of the distortion that there was, and K is old."""
    messages = plain(frame)
    messages[INFO].k = frame.camera.resized(300, 200).matrix.ravel()
    messages[INFO].d = list(DISTORTION)
    return messages


def unaligned(frame: RgbdFrame) -> Messages:
    """Depth of DEPTH_CAMERA, which sees the wall from behind and beside the colour camera."""
    T_color_depth = matrix_from_values(DEPTH_POSE)
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), axis=-1)
    depth = (DEPTH - T_color_depth[2, 3]) / (DEPTH_CAMERA.rays(pixels) @ T_color_depth[2, :3])
    return {
        **{topic: plain(frame)[topic] for topic in (COLOR, INFO)},
        DEPTH_TOPIC: image(depth.astype(np.float32), "32FC1"),
        DEPTH_INFO: info(DEPTH_CAMERA),
    }


def enlarged(frame: RgbdFrame) -> RgbdFrame:
    size = (BIG.width, BIG.height)
    return replace(
        frame,
        image=cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC),
        depth=cv2.resize(frame.depth, size, interpolation=cv2.INTER_NEAREST),
        camera=BIG,
    )


def big(frame: RgbdFrame) -> Messages:
    return plain(enlarged(frame))


def everything(frame: RgbdFrame) -> Messages:
    """A large JPEG, and small compressed depth of another camera."""
    messages = unaligned(enlarged(frame))
    depth = np.frombuffer(messages.pop(DEPTH_TOPIC).data, np.float32).reshape(120, 160)
    data = bytes(12) + encoded(np.rint(depth * 1000).astype(np.uint16))
    messages[f"{DEPTH_TOPIC}/compressedDepth"] = compressed(data, "16UC1; compressedDepth png")
    del messages[COLOR]
    return messages | {f"{COLOR}/compressed": jpeg(enlarged(frame))[f"{COLOR}/compressed"]}


@dataclass(frozen=True)
class Form:
    """How frames are sent, the parameters that this takes, and where their pixels are then."""

    send: Callable[[RgbdFrame], Messages]
    parameters: dict[str, Any] = field(default_factory=dict)
    place: Callable[[Any], Any] = lambda pixel: pixel
    pixel_width: float = 1.0  # of the scene in pixels of the picture sent


UNALIGNED = {"aligned_depth": False, "depth_pose": DEPTH_POSE}
COMPRESSED = {"color_transport": "compressed", "depth_transport": "compressedDepth"}
SHRUNK = {"largest_side": WIDTH}


def in_big(pixel: Any) -> Any:
    return CAMERA.pixels_in(BIG, pixel)


FORMS = {
    "plain": Form(plain),
    **{
        f"{color} and {depth}": Form(encoded_as(color, depth, big_endian))
        for color, depth, big_endian in zip(
            sorted(COLOR_ENCODINGS),
            cycle(sorted(DEPTH_ENCODINGS)),
            cycle([False, True]),
            strict=False,
        )
    },
    "JPEG and inverse depth": Form(jpeg, COMPRESSED),
    "distorted": Form(distorted, {}, through_lens),
    "rectified": Form(rectified, {"rectified": True}),
    "unaligned": Form(unaligned, UNALIGNED),
    "big": Form(big, SHRUNK, in_big, 5.0),
    "everything": Form(everything, UNALIGNED | COMPRESSED | SHRUNK, in_big, 5.0),
}


@dataclass
class Sender:
    """Publishes what a camera sends, under its namespace, to a node."""

    node: ManagedNode

    def __post_init__(self) -> None:
        self._publishers: dict[str, Any] = {}

    def close(self) -> None:
        """Publish nothing any more: as a camera that is switched off."""
        for publisher in self._publishers.values():
            self.node.client.node.destroy_publisher(publisher)
        self._publishers.clear()

    def send(self, messages: Messages) -> None:
        """Publish on all topics, once the node listens to them."""
        client = self.node.client
        for topic, message in messages.items():
            if topic not in self._publishers:
                name = f"/camera/{topic}"
                self._publishers[topic] = client.node.create_publisher(type(message), name, 1)
            heard = self._publishers[topic].get_subscription_count
            client.wait(heard, f"a subscription to {topic}")
        for topic, message in messages.items():
            self._publishers[topic].publish(message)

    def grasps_in(self, frame: RgbdFrame, send: Callable[[RgbdFrame], Messages] = plain) -> Any:
        """Publish a frame until the node says what it finds in it."""
        messages, client = stamped(frame, send(frame)), self.node.client
        stamp = header_of(frame).stamp

        def found() -> list[Any]:
            return [array for array in client.grasps if array.header.stamp == stamp]

        for _ in range(15):
            self.send(messages)
            try:
                client.wait(lambda: bool(found()), "grasps", timeout=2)
            except TimeoutError:
                continue
            return found()[-1]
        raise TimeoutError(client.values())

    def refused(self, kind: str) -> int:
        """How many frames the node has refused for this reason."""
        return int(self.node.client.values().get(f"refused.{kind}", 0))

    def wait_until_refused(self, kind: str, words: str, send: Callable[[], Messages]) -> None:
        """Publish until a frame is refused for this reason."""
        before = self.refused(kind)

        def counted() -> bool:
            self.send(send())
            return self.refused(kind) > before

        self.node.client.wait(counted, f"a frame refused for {kind}")
        assert words in self.node.client.values()["last_error"]


def xyz(point: Any) -> list[float]:
    return [point.x, point.y, point.z]


def uv(pixel: Any) -> list[float]:
    return [pixel.u, pixel.v]
