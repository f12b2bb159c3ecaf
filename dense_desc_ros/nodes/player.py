"""Plays a bag into a ROS graph, as `ros2 bag play` does, where that is not installed."""

import importlib
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from dense_desc_ros.data.bags import BagReader, Topic
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.nodes.shared_memory import make_room_for_images

NANOSECONDS = 1_000_000_000
QUEUE_DEPTH = 10
CLOCK_PERIOD = 1 / 40  # seconds; `ros2 bag play --clock` has the same
# Seconds to wait for the first subscriber, and then for subscribers of the other topics. Processes
# announce themselves every 3 s, so that where an announcement is lost it takes that long.
FIRST_SUBSCRIBER_WAIT, OTHER_SUBSCRIBERS_WAIT = 10.0, 1.0
DELIVERY_WAIT = 2.0  # seconds that the last messages have to arrive
MESSAGE_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


def play(
    bag: Path,
    rate: float = 1.0,
    loop: bool = False,
    clock: bool = False,
    start: float = 0.0,
    duration: float | None = None,
) -> None:
    """Publish the messages of a bag, spaced as they were recorded; Ctrl-C ends it.

    Messages keep their own stamps. They are read as they are needed, so a bag may be of any size.

    Args:
        bag: an MCAP or SQLite rosbag2.
        rate: 2 plays twice as fast.
        loop: start again after the end.
        clock: publish the time of the recording on /clock.
        start: skip this many seconds of the recording.
        duration: play this many seconds of the recording; None plays to the end.

    Raises:
        InvalidInputError: a rate or a duration that is not positive, or a start outside the bag.
        DataError: the bag is missing or damaged, or none of its message types is installed.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise InvalidInputError(f"the rate must be a positive number, got {rate}")
    if duration is not None and not duration > 0:
        raise InvalidInputError(f"the duration must be positive, got {duration} s")
    with BagReader(bag) as reader:
        length = (reader.end_ns - reader.start_ns) / NANOSECONDS if reader.message_count else 0.0
        if not 0 <= start <= length:
            raise InvalidInputError(f"cannot start at {start} s: {bag} lasts {length:.3f} s")
        make_room_for_images()
        with (
            suppress(KeyboardInterrupt),  # the usual way to end it
            signals_as_interrupts(),
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO),
        ):
            _Player(reader, rate, clock).play(loop, start, duration)


def load_message_class(message_type: str) -> type | None:
    """The Python class of a type like "sensor_msgs/msg/Image"; None where it is not installed.

    Raises:
        DataError: that is no type of a message.
    """
    match = MESSAGE_TYPE.fullmatch(message_type)
    if match is None:
        raise DataError(f"{message_type!r} is not the type of a message, like std_msgs/msg/Header")
    package, name = match.groups()
    try:
        found = getattr(importlib.import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None
    # Whatever else Python finds under that name is none of ours.
    return found if hasattr(found, "get_fields_and_field_types") else None


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise KeyboardInterrupt.

    rclpy's own handlers would shut the context down in the middle of a call. Shells start
    background processes with SIGINT ignored, so that one is set as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers in the main thread only
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Player:
    """Publishers for the topics of an open bag, and the time of the recording."""

    def __init__(self, reader: BagReader, rate: float, clock: bool) -> None:
        self._reader, self._rate = reader, rate
        self._node = Node("bag_player")
        self._publishers: dict[tuple[str, str], Publisher] = {}
        for topic in reader.topics:
            self._advertise(topic)
        if not self._publishers:
            raise DataError(f"none of the message types of {reader.path} is installed")
        self._clock = self._node.create_publisher(Clock, "/clock", QUEUE_DEPTH) if clock else None
        self._restart(reader.start_ns)

    def _advertise(self, topic: Topic) -> None:
        message_class = load_message_class(topic.message_type)
        if message_class is None:
            self._node.get_logger().warning(
                f"{topic.name} is not played: {topic.message_type} is not installed"
            )
            return
        profile = QoSProfile(depth=QUEUE_DEPTH)  # reliable
        if topic.transient_local:
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        try:
            publisher = self._node.create_publisher(message_class, topic.name, profile)
        except InvalidTopicNameException as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{self._reader.path} has a topic of no valid name: {reason}"
            ) from error
        self._publishers[topic.name, topic.message_type] = publisher

    def play(self, loop: bool, start: float, duration: float | None) -> None:
        first = self._reader.start_ns + round(start * NANOSECONDS)
        last = self._reader.end_ns
        if duration is not None:
            last = min(last, first + round(min(duration, 1e9) * NANOSECONDS) - 1)
        self._wait_for_subscribers()
        self._node.get_logger().info(
            f"playing {(last - first) / NANOSECONDS:.1f} s of {self._reader.path} "
            f"at rate {self._rate:g}"
        )
        self._play_once(first, last)
        while loop:
            # The last messages last as long as the others, also where that is the only one.
            self._wait_until(last + self._spacing())
            self._play_once(first, last)
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=DELIVERY_WAIT))

    def _play_once(self, first: int, last: int) -> None:
        """Play what was recorded from `first` to `last`."""
        self._restart(first)
        for message in self._reader.messages(first, last + 1):
            publisher = self._publishers.get((message.topic, message.message_type))
            if publisher is None:
                continue
            self._wait_until(message.stamp_ns)
            try:
                publisher.publish(message.data)
            except RuntimeError as error:  # a subscriber that takes nothing for too long
                self._node.get_logger().error(f"a message on {message.topic} is lost: {error}")

    def _restart(self, first: int) -> None:
        self._first, self._began = first, time.monotonic()
        self._next_tick = self._began

    def _spacing(self) -> int:
        """Mean nanoseconds between the messages of a topic; a second where there is but one."""
        per_topic = self._reader.message_count / len(self._reader.topics)
        whole = self._reader.end_ns - self._reader.start_ns
        return round(whole / (per_topic - 1)) if per_topic > 1 and whole else NANOSECONDS

    def _wait_for_subscribers(self) -> None:
        """Let subscribers be found before the first messages, which would else be lost to them."""
        if comes_true(lambda: any(self._subscriptions()), FIRST_SUBSCRIBER_WAIT):
            comes_true(lambda: all(self._subscriptions()), OTHER_SUBSCRIBERS_WAIT)
        else:
            self._node.get_logger().warning("found no subscriber, playing all the same")

    def _subscriptions(self) -> list[int]:
        return [each.get_subscription_count() for each in self._publishers.values()]

    def _wait_until(self, stamp_ns: int) -> None:
        """Sleep until the recording has come to a stamp, and keep the clock going."""
        due = self._began + (stamp_ns - self._first) / NANOSECONDS / self._rate
        while (now := time.monotonic()) < due:
            if self._clock and now >= self._next_tick:
                self._clock.publish(self._time_of(now))
                self._next_tick = max(self._next_tick + CLOCK_PERIOD, now)
            until = min(due, self._next_tick) if self._clock else due
            time.sleep(max(until - now, 0))
        if self._clock:
            self._clock.publish(self._time_of(due))

    def _time_of(self, moment: float) -> Clock:
        """The time of the recording at a moment of the monotonic clock."""
        stamp = self._first + round((moment - self._began) * self._rate * NANOSECONDS)
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(stamp, NANOSECONDS)
        return message


def comes_true(condition: Callable[[], bool], within: float) -> bool:
    """Wait for a condition, at most so many seconds."""
    end = time.monotonic() + within
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return true
