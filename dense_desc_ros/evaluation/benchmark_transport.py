"""RGB-D frames from process to process: what gets lost, how late the rest is, what it costs.

Sender and receiver are processes of their own, as camera driver and node are.
"""

import array
import math
import multiprocessing
import os
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from sensor_msgs.msg import Image

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.transport_ends import Received, Sent, camera_messages, receive, send
from dense_desc_ros.nodes.client import CAMERA_TOPICS
from dense_desc_ros.nodes.graph import private_graph
from dense_desc_ros.nodes.newest_subscription import DEPTH
from dense_desc_ros.nodes.shared_memory import CHOICES, PROFILE, PROFILES_FILE

SENDER_DEPTH = 10  # of most camera drivers
DEPTHS = (1, DEPTH)  # of the receiver
PROCESSES = multiprocessing.get_context("spawn")  # with nothing of this one in them
TIMEOUT = 120.0  # s beside the frames' own time


def benchmark_transport(frames: int = 150, rate: float = 30.0) -> dict[str, Any]:
    """Measure 640x480 frames, rgb8 and 16UC1 of 1.5 MB together, for the settings that matter.

    Args:
        frames, rate: for each setting, how many, and how many a second.

    Returns:
        `results`, a list with a dictionary of figures for each setting of `shared_memory` (whether
        the sender makes room for images in it), `reliable` and `depth` (of the receiver); and
        `filling`, ways to put pixels into a message -> milliseconds.

    Raises:
        DenseDescError: sender or receiver ended without an answer.
    """
    cases = list(product((False, True), (True, False), DEPTHS))
    results = [
        {
            "shared_memory": room,
            "reliable": reliable,
            "depth": depth,
            **measure(room, reliable, depth, frames, rate),
        }
        for room, reliable, depth in track(cases, "settings", console=Console(stderr=True))
    ]
    return {"rate": rate, "results": results, "filling": filling()}


def measure(room: bool, reliable: bool, depth: int, frames: int, rate: float) -> dict[str, float]:
    """The figures of one setting, see `benchmark_transport`."""
    with private_graph(), _sending(room):
        receiver, received_by = start_process(receive, topics_of("/camera"), (reliable, depth))
        sender, sent_by = start_process(
            send, topics_of("/camera"), (reliable, SENDER_DEPTH), frames, rate
        )
        try:
            answer_of(received_by, 0)
            for word in ("found", "begin"):
                sent_by.send(word)
            sent: Sent = answer_of(sent_by, frames / rate)
            received: Received = answer_of(received_by, frames / rate)
        finally:
            for process in (sender, receiver):
                process.kill()
                process.join()
    color, depth_images = (
        {stamp: late for stamp, late in images.items() if stamp >= sent.first}
        for images in (received.color, received.depth)
    )
    paired = color.keys() & depth_images.keys()
    late = [1e3 * max(color[stamp], depth_images[stamp]) for stamp in paired]
    median, p95 = np.percentile(late, (50, 95)).tolist() if late else (math.nan, math.nan)
    return {
        "sent": sent.frames,
        "color": len(color),
        "depth_images": len(depth_images),
        "paired": len(paired),
        "lost": sent.frames - len(paired),
        "latency_ms": median,
        "latency_ms_p95": p95,
        "publish_ms": 1e3 * sent.publish_s,
        "sender_cpu": sent.cpu,
        "receiver_cpu": received.cpu,
    }


def filling(repeats: int = 5) -> dict[str, float]:
    """Milliseconds to put the pixels of a colour image into a message, by what is assigned."""
    pixels = np.frombuffer(camera_messages()["color"].data, np.uint8)
    message = Image()

    def from_bytes() -> None:
        message.data = array.array("B")
        message.data.frombytes(pixels.data)

    def assigning(make: Callable[[], Any]) -> Callable[[], None]:
        return lambda: setattr(message, "data", make())

    ways = {
        "array, frombytes": from_bytes,
        "array, assigned": assigning(lambda: array.array("B", pixels.tobytes())),
        "bytes": assigning(pixels.tobytes),
        "numpy": assigning(lambda: pixels),
    }
    return {
        name: 1e3 * min(timeit.repeat(fill, number=1, repeat=repeats))
        for name, fill in ways.items()
    }


@contextmanager
def _sending(room: bool) -> Iterator[None]:
    """Processes started meanwhile send with room for images, or as Fast DDS does by itself."""
    before = {name: os.environ.pop(name, None) for name in CHOICES}
    if room:
        os.environ[PROFILES_FILE] = str(PROFILE)
    try:
        yield
    finally:
        os.environ.pop(PROFILES_FILE, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def topics_of(camera: str) -> dict[str, str]:
    """The topics of a camera by its namespace, as the client of the node has them."""
    return {key: f"{camera}/{topic}" for key, (topic, _) in CAMERA_TOPICS.items()}


def start_process(work: Callable[..., None], *arguments: Any) -> tuple[Any, Any]:
    """A process at work, and the connection that its answer comes by."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=work, args=(there, *arguments))
    process.start()
    there.close()  # so that its end is noticed here
    return process, here


def answer_of(connection: Any, seconds: float) -> Any:
    try:
        if connection.poll(seconds + TIMEOUT):
            return connection.recv()
    except EOFError:
        pass
    raise DenseDescError("a process of the benchmark ended without an answer: see what it said")
