"""Records topics to a bag, as `ros2 bag record` does, where that is not installed."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import Progress
from rosbags.rosbag2 import Writer

from dense_desc_ros.data.bag_messages import interfaces_store
from dense_desc_ros.data.bags import RELIABLE, growing_bag
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.player import comes_true, load_message_class, signals_as_interrupts
from dense_desc_ros.nodes.shared_memory import make_room_for_images

QUEUE_DEPTH = 100
TURN = 0.1  # s between two looks at what is left
APPEARING = 30.0  # s that publishers of the topics have to be found


def record_topics(topics: Sequence[str], bag: Path, seconds: float | None = None) -> Counter[str]:
    """Record until Ctrl-C, or for some seconds from the first message on.

    Args:
        topics: full names.
        bag: the folder to make, a rosbag2 (MCAP), see `growing_bag`.
        seconds: how long; None: until Ctrl-C.

    Returns:
        How many messages of each topic.

    Raises:
        InvalidInputError: no topics, a duration that is not positive, a topic that nobody
            publishes, or one whose type is unknown here.
        DataError: the bag exists already, or cannot be written; it has what came before.
    """
    if not topics:
        raise InvalidInputError("no topics are named")
    if seconds is not None and not seconds > 0:
        raise InvalidInputError(f"the duration must be positive, got {seconds} s")
    make_room_for_images()
    counts: Counter[str] = Counter()
    with (
        signals_as_interrupts(),
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO),
    ):
        node = Node("bag_recorder")
        kinds = _kinds(node, topics)
        with growing_bag(bag) as writer, suppress(KeyboardInterrupt):
            for topic, kind in kinds.items():
                _subscribe(node, writer, topic, kind, counts)
            _spin(node, counts, seconds, bag.name)
    return counts


def _kinds(node: Node, topics: Sequence[str]) -> dict[str, str]:
    """The type of each topic, when somebody publishes them all."""

    def published() -> dict[str, str]:
        return {
            name: types[0]
            for name, types in node.get_topic_names_and_types()
            if node.count_publishers(name)
        }

    comes_true(lambda: published().keys() >= set(topics), APPEARING)
    found = published()
    if missing := [topic for topic in topics if topic not in found]:
        raise InvalidInputError(
            f"nobody publishes {', '.join(missing)}; there are {', '.join(sorted(found))}"
        )
    for topic in topics:
        if found[topic] not in interfaces_store().types or load_message_class(found[topic]) is None:
            raise InvalidInputError(f"the type of {topic}, {found[topic]}, is not known here")
    return {topic: found[topic] for topic in topics}


def _subscribe(node: Node, writer: Writer, topic: str, kind: str, counts: Counter[str]) -> None:
    connection = writer.add_connection(
        topic, kind, typestore=interfaces_store(), offered_qos_profiles=[RELIABLE]
    )

    def write(data: bytes) -> None:
        writer.write(connection, node.get_clock().now().nanoseconds, data)
        counts[topic] += 1

    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
    profile = QoSProfile(depth=QUEUE_DEPTH)  # what each publisher offers at least
    if any(each.reliability == ReliabilityPolicy.BEST_EFFORT for each in offered):
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
    if all(each.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in offered):
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    node.create_subscription(load_message_class(kind), topic, write, profile, raw=True)


def _spin(node: Node, counts: Counter[str], seconds: float | None, name: str) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    began: float | None = None
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(f"Recording {name}", total=seconds)
        while began is None or seconds is None or time.monotonic() - began < seconds:
            executor.spin_once(timeout_sec=TURN)
            if began is None and counts:
                began = time.monotonic()
            if began is not None:
                told = f"Recording {name}: {counts.total()} messages"
                progress.update(task, completed=time.monotonic() - began, description=told)
