"""Recordings played to the real node, and its answers held against those of a replay.

The node runs on the time of the recording, in a ROS graph that no robot takes part in, on the
settings and the references of the replay. What it is too slow for it drops, as it would on a robot.
"""

import math
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from dense_desc_interfaces.msg import GraspArray
from dense_desc_ros.data.any_bag import ROS1
from dense_desc_ros.data.camera_choice import ChosenTopics, untransported
from dense_desc_ros.data.messages import stamp_to_ns
from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.evaluation.replay.agreement import Agreement
from dense_desc_ros.evaluation.replay.answers import Answers, read_answers
from dense_desc_ros.evaluation.replay.run import FRAMES, REFERENCES, ReplayConfig
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.nodes.camera_topics import ALIGNED_DEPTH, COLOR
from dense_desc_ros.nodes.client import DescriptorClient
from dense_desc_ros.nodes.graph import ended, running_node

NAMESPACE = "/online_replay"  # where no topic of a recording is
NODE_LOG, PLAYER_LOG = "node.log", "player.log"
START_WAIT = 120.0  # s that a slow machine gets to load the model
LAST_ANSWER_WAIT = 20.0  # s for the answer to the last frame, which the node never drops
DISCOVERY_WAIT = 2  # s; `ros2 bag play` does not wait for subscribers


def check_playable(config: ReplayConfig) -> None:
    """Raise InvalidInputError for what can be replayed, but not be played to the node."""
    if ros1 := [bag.name for bag in config.bags if bag.name.endswith(ROS1)]:
        raise InvalidInputError(
            f"{ros1[0]} is a ROS 1 bag, which cannot be played to the node: convert it to a "
            "rosbag2 with rosbags-convert, or leave --online out"
        )
    if config.camera_file is not None:
        raise InvalidInputError(
            "the node takes intrinsics from camera_info topics alone: leave --camera-info or "
            "--online out"
        )


def replay_online(
    config: ReplayConfig, weights: Path, out: Path, rate: float = 1.0, device: str = "auto"
) -> Agreement:
    """Play the recordings of a replay to the node, and compare.

    Args:
        config: of the replay.
        weights: of its model.
        out: its folder, where the logs of node and player go too.
        rate: how many times as fast as they were recorded.
        device: of the node's network.

    Raises:
        InvalidInputError: see `check_playable`; a rate that is not positive.
        DenseDescError: the node or the player fails, or the node answers no frame at all.
    """
    check_playable(config)
    if not (math.isfinite(rate) and rate > 0):
        raise InvalidInputError(f"the rate must be a positive number, got {rate}")
    agreement = Agreement()
    for number, group in groupby(read_answers(out / FRAMES), lambda each: each.bag):
        answers = list(group)
        bag = config.bags[number]
        with config.open(bag) as recording:
            topics = recording.topics
        parameters = {
            "weights": weights.resolve(),
            "references": (out / REFERENCES).resolve(),
            "device": device,
            "threads": torch.get_num_threads(),
            "use_sim_time": "true",
            "sync_slop": float(config.slop),
            **_camera_parameters(topics),
            **_settings_parameters(config.settings),
        }
        log = out / NODE_LOG
        with running_node(parameters, log, NAMESPACE, _remappings(topics)) as client:
            online = _answers_to(client, topics, bag, out / PLAYER_LOG, rate, answers)
        agreement.add(answers, online)
    if not agreement.processed:
        raise DenseDescError(
            f"the node answered none of {agreement.frames} frames: see {out / NODE_LOG}, and try a "
            "lower --rate"
        )
    return agreement


def _answers_to(
    client: DescriptorClient,
    topics: ChosenTopics,
    bag: Path,
    log: Path,
    rate: float,
    answers: Sequence[Answers],
) -> dict[int, list[Any]]:
    """What the node publishes while a recording is played: by stamp, nanoseconds."""
    online: defaultdict[int, list[Any]] = defaultdict(list)
    client.node.create_subscription(
        GraspArray,
        f"{client.name}/grasps",
        lambda array: online[stamp_to_ns(array.header.stamp)].append(array),
        100,
    )
    heard = [topic for topic in vars(topics).values() if topic]
    is_heard = client.node.count_subscribers
    client.wait(lambda: all(map(is_heard, heard)), "the subscriptions", START_WAIT)
    stamps, last = {each.stamp_ns for each in answers}, answers[-1].stamp_ns
    with _playing(bag, rate, log) as player, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(f"Playing {bag.name}", total=len(stamps))

        def is_played() -> bool:
            progress.update(task, completed=len(stamps & online.keys()))
            return player.poll() is not None

        client.wait(is_played, "the end of the recording", math.inf)
        if player.returncode:
            said = log.read_text().strip().splitlines() or [f"exit code {player.returncode}"]
            raise DenseDescError(f"cannot play {bag}: {said[-1]}; all of it is in {log}")
        with suppress(TimeoutError):  # if it was lost on the way it counts as dropped
            client.wait(lambda: last in online, "the last answer", LAST_ANSWER_WAIT)
    return dict(online)


@contextmanager
def _playing(bag: Path, rate: float, log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as output:
        process = subprocess.Popen(
            _player(bag, rate), text=True, stdout=output, stderr=subprocess.STDOUT
        )
        with ended(process):
            yield process


def _player(bag: Path, rate: float) -> list[str]:
    if shutil.which("ros2") and find_spec("ros2bag"):
        return [
            *("ros2", "bag", "play", str(bag), "--clock", "--rate", str(rate)),
            *("--delay", str(DISCOVERY_WAIT), "--disable-keyboard-controls"),
        ]
    play = (sys.executable, "-m", "dense_desc_ros.cli", "play")
    return [*play, str(bag), "--clock", "--rate", str(rate)]


def _remappings(topics: ChosenTopics) -> dict[str, str]:
    """From the node's topics to those of a recording: as with image_transport, base topics."""
    own = COLOR | ALIGNED_DEPTH
    return {own[key]: untransported(name) for key, name in vars(topics).items() if name}


def _camera_parameters(topics: ChosenTopics) -> dict[str, object]:
    def transport(topic: str) -> str:
        base = untransported(topic)
        return "raw" if topic == base else topic.removeprefix(f"{base}/")

    is_rectified = "rect" in untransported(topics.color).rpartition("/")[2]  # as in `Recording`
    return {
        "color_transport": transport(topics.color),
        "depth_transport": transport(topics.depth),
        "rectified": str(is_rectified).lower(),
    }


def _settings_parameters(settings: PipelineSettings) -> dict[str, object]:
    """The node's parameters for how grasps are chosen; those of a base frame are never set."""
    gripper = settings.gripper
    sizes = {f.name: getattr(gripper, f.name) for f in fields(Gripper)} if gripper else {}
    return {
        "method": settings.method,
        "min_score": float(settings.min_score),
        "max_instances": settings.max_instances,
        "instance_radius": settings.instance_radius,
        "min_scale": float(settings.scales[0]),
        "max_scale": float(settings.scales[1]),
        "approach": settings.approach,
        "steady": str(settings.steady).lower(),
        **{f"gripper_{name}": float(size) for name, size in (sizes or {"max_width": 0.0}).items()},
    }
