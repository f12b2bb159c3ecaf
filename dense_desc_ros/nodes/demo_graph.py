"""The ROS graph of the demonstration: a player, the node, and this process as their user."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from sensor_msgs.msg import Image

from dense_desc_interfaces.msg import GraspArray, Pixel
from dense_desc_ros.data.bags import stamp_ns
from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.data.messages import image_from_message, stamp_to_ns
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.points import Sighting
from dense_desc_ros.nodes.client import DescriptorClient
from dense_desc_ros.nodes.graph import ended, running_node

NODE = "/descriptor_node"
TIMEOUT = 180.0  # s that a slow machine gets for an answer


class Seen(NamedTuple):
    """What the node published for a frame: each reference, and two pictures (H, W, 3) RGB."""

    sightings: dict[str, Sighting]
    matches: npt.NDArray[np.uint8]
    descriptors: npt.NDArray[np.uint8]


def run_graph(
    frames: FrameFolder, weights: Path, bag: Path, rate_hz: float, folder: Path, console: Console
) -> list[Seen]:
    """Register all points visible on frame 0 by service, and find them in every frame.

    Args:
        frames: with their points.
        weights: of the model.
        bag: the recording of the frames at `rate_hz`, which is played to the node.
        folder: where the node's references and log go.
        console: told about each registration.

    Raises:
        DenseDescError: the node does not answer, or refuses a registration.
    """
    # What is learnt from a few plain pictures tells points, but hardly whole surroundings; and the
    # points were not chosen for a gripper.
    parameters = {
        "weights": weights,
        "references": folder / "references",
        "method": "straight",
        "min_score": 0.2,
        "gripper_max_width": 0.0,
    }
    with running_node(parameters, folder / "node.log") as client:
        return _register_and_watch(client, frames, bag, rate_hz, console)


def _register_and_watch(
    client: DescriptorClient, frames: FrameFolder, bag: Path, rate_hz: float, console: Console
) -> list[Seen]:
    stamps = [stamp_ns(index, rate_hz) for index in range(len(frames))]
    answers = _watch(client, GraspArray, "grasps", _sightings)
    matches = _watch(client, Image, "matches", image_from_message)
    descriptors = _watch(client, Image, "descriptors", image_from_message)
    client.wait_until_connected(TIMEOUT)
    with _playing(bag, "--loop", "--duration", str(0.5 / rate_hz)):
        client.wait(lambda: stamps[0] in answers, "an answer to frame 0", TIMEOUT)
        for name, track in frames.points.items():
            if track[0] is not None:
                _register(client, name, track[0], console)
    for seen in (answers, matches, descriptors):
        seen.clear()
    with _playing(bag, "--loop"):
        client.wait(
            lambda: all(set(stamps) <= set(seen) for seen in (answers, matches, descriptors)),
            "answers to all frames",
            TIMEOUT,
        )
    return [Seen(answers[stamp], matches[stamp], descriptors[stamp]) for stamp in stamps]


def _watch(
    client: DescriptorClient, kind: type, topic: str, read: Callable[[Any], Any]
) -> dict[int, Any]:
    """What is published on a topic of the node, as it comes in: by stamp, nanoseconds."""
    seen: dict[int, Any] = {}

    def remember(message: Any) -> None:
        seen[stamp_to_ns(message.header.stamp)] = read(message)

    client.node.create_subscription(kind, f"{NODE}/{topic}", remember, 10)
    return seen


def _register(
    client: DescriptorClient, name: str, pixel: Sequence[float], console: Console
) -> None:
    answer = client.call("register_reference", name=name, pixel=Pixel(u=pixel[0], v=pixel[1]))
    if not answer.success:
        raise DenseDescError(f"{name} was not registered: {answer.message}")
    p = answer.point.point
    console.print(f"registered {name} at {pixel}: ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m")


def _sightings(array: GraspArray) -> dict[str, Sighting]:
    found = {
        g.name: Sighting(g.score, (g.pixel.u, g.pixel.v), (g.point.x, g.point.y, g.point.z))
        for g in reversed(array.grasps)  # the best one of each name stays
    }
    return found | {r.name: Sighting(r.score, None, None) for r in array.refusals}


@contextmanager
def _playing(bag: Path, *options: str) -> Iterator[None]:
    command = [sys.executable, "-m", "dense_desc_ros.cli", "play", str(bag), *options]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, text=True)
    with ended(process):
        yield
