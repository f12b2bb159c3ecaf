"""The two ends of a transport that is measured, for processes of their own: quick to import."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.messages import (
    NANOSECONDS,
    camera_to_message,
    depth_to_message,
    image_to_message,
    stamp_to_ns,
)

QUIET = 2.0  # s without a message after which no more are expected
CONNECTING = 120.0  # s
POLL = 0.05  # s
Topics = dict[str, str]  # names by "color", "depth" and "camera_info"


@dataclass(frozen=True)
class Sent:
    """What the sender did: median seconds for the messages of a frame, and share of a core.

    `first` is the stamp of the first frame that counts; those before only look for the receiver.
    """

    first: int
    frames: int
    publish_s: float
    cpu: float


@dataclass
class Received:
    """What came: seconds from the stamp to the callback, by stamp; and the share of a core."""

    color: dict[int, float] = field(default_factory=dict)
    depth: dict[int, float] = field(default_factory=dict)
    cpu: float = 0.0


def profile(reliable: bool, depth: int) -> QoSProfile:
    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)


def camera_messages(size: tuple[int, int] = (480, 640)) -> dict[str, Any]:
    """Noise, as rgb8, 16UC1 and camera_info, of an image (height, width)."""
    height, width = size
    rng = np.random.default_rng(0)
    header = Image().header
    camera = PinholeCamera(600.0, 600.0, (width - 1) / 2, (height - 1) / 2, width, height)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {
        "color": image_to_message(Image, header, image),
        "depth": depth_to_message(Image, header, rng.uniform(0.5, 1.0, (height, width))),
        "camera_info": camera_to_message(CameraInfo, header, camera),
    }


def send(
    results: Connection, topics: Topics, qos: tuple[bool, int], frames: int, rate: float
) -> None:
    """Publish frames as a camera does, stamped with the steady time of this machine.

    Frames that do not count are published until anything comes over the connection: the receiver
    has been found then, for certain. When something comes again, those that count begin.

    Args:
        results: gets `Sent`.
        topics: where "color", "depth" and "camera_info" go.
        qos: whether reliable, and the depth of the history.
        frames, rate: how many, and how many a second.
    """
    with rclpy.init():
        node = rclpy.create_node("camera")
        messages = camera_messages()
        publishers = {
            key: node.create_publisher(type(message), topics[key], profile(*qos))
            for key, message in messages.items()
        }

        def publish() -> int:
            stamp = time.monotonic_ns()
            for key, message in messages.items():
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
                publishers[key].publish(message)
            return stamp

        while not results.poll(1 / rate):
            publish()
        for _ in ("found", "begin"):
            results.recv()
        took, first = [], 0
        start, cpu = time.monotonic(), time.process_time()
        for index in range(frames):
            time.sleep(max(start + index / rate - time.monotonic(), 0))
            before = time.perf_counter()
            stamp = publish()
            took.append(time.perf_counter() - before)
            first = first or stamp
        share = (time.process_time() - cpu) / (time.monotonic() - start)
        results.send(Sent(first, frames, float(np.median(took)), share))
        time.sleep(QUIET)  # what is on its way comes from this process's memory


def receive(results: Connection, topics: Topics, qos: tuple[bool, int]) -> None:
    """Receive the colour and depth images of a camera until they end; arguments as `send`.

    Once both come, it says so over the connection, which gets `Received` in the end.
    """
    with rclpy.init():
        node = rclpy.create_node("receiver")
        received, told = Received(), False
        last = time.monotonic() + CONNECTING
        began: tuple[float, float] | None = None

        def keep(latencies: dict[int, float]) -> Callable[[Any], None]:
            def callback(message: Any) -> None:
                nonlocal last, began
                stamp, last = stamp_to_ns(message.header.stamp), time.monotonic()
                began = began or (last, time.process_time())
                latencies[stamp] = last - stamp / NANOSECONDS

            return callback

        for key, latencies in (("color", received.color), ("depth", received.depth)):
            node.create_subscription(Image, topics[key], keep(latencies), profile(*qos))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while time.monotonic() - last < QUIET:
            executor.spin_once(timeout_sec=POLL)
            if received.color and received.depth and not told:
                told = True
                results.send("found")
        if began:
            received.cpu = (time.process_time() - began[1]) / max(last - began[0], POLL)
        results.send(received)
