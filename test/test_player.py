"""The player in a process of its own, heard by a real subscriber in this one."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from dense_desc_ros.data.bags import RELIABLE, BagReader, record
from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.data.messages import frame_from_messages, stamp_to_ns
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.nodes import player, recorder
from dense_desc_ros.nodes.player import load_message_class, play
from dense_desc_ros.nodes.recorder import record_topics

TOPICS = {
    "/camera/color/image_raw": Image,
    "/camera/aligned_depth_to_color/image_raw": Image,
    "/camera/color/camera_info": CameraInfo,
}
RATE_HZ = 20
LAST = 3 / RATE_HZ
PATIENCE = 30  # seconds for what should take one; machines can be busy


@pytest.fixture
def bag(frame_folder: FrameFolder, tmp_path: Path) -> Path:
    record(frame_folder, tmp_path / "bag", RATE_HZ)
    return tmp_path / "bag"


class Listener:
    """Keeps all that arrives on some topics, with the time of its arrival."""

    def __init__(self, ros: ModuleType, topics: dict[str, type], latched: bool = False) -> None:
        self._ros, self.node = ros, ros.create_node("listener")
        self.heard: dict[str, list[Any]] = {topic: [] for topic in topics}
        self.times: list[float] = []
        profile = QoSProfile(depth=100)
        if latched:
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        for topic, kind in topics.items():
            self.node.create_subscription(kind, topic, self._keeper(topic), profile)

    def _keeper(self, topic: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            self.heard[topic].append(message)
            self.times.append(time.monotonic())

        return keep

    def listen(self, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not enough():
            assert time.monotonic() < end, {topic: len(all_) for topic, all_ in self.heard.items()}
            self._ros.spin_once(self.node, timeout_sec=0.05)

    def stamps(self, topic: str) -> list[int]:
        return [stamp_to_ns(message.header.stamp) for message in self.heard[topic]]


@contextmanager
def playing(bag: Path, **options: Any) -> Iterator[subprocess.Popen]:
    """`play` in another process."""
    code = (
        "import json, sys\n"
        "from dense_desc_ros.nodes.player import play\n"
        "play(sys.argv[1], **json.loads(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(bag), json.dumps(options)], stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_ends_well(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_all_messages_arrive_in_order(
    ros: ModuleType, bag: Path, frame_folder: FrameFolder
) -> None:
    listener = Listener(ros, TOPICS)
    with playing(bag) as process:
        listener.listen(lambda: all(len(all_) == 4 for all_ in listener.heard.values()))
        assert_ends_well(process)
    for topic in TOPICS:
        assert listener.stamps(topic) == [1_000_000_000 + i * 50_000_000 for i in range(4)]
    for frame, messages in zip(
        frame_folder, zip(*listener.heard.values(), strict=True), strict=True
    ):
        again = frame_from_messages(*messages)
        np.testing.assert_array_equal(again.image, frame.image)
        np.testing.assert_array_equal(again.depth, frame.depth)


def test_part(ros: ModuleType, bag: Path) -> None:
    listener = Listener(ros, TOPICS)
    with playing(bag, start=0.05, duration=0.1) as process:
        listener.listen(lambda: process.poll() is not None)
        listener.listen(lambda: len(listener.times) >= 6)
    for topic in TOPICS:
        assert listener.stamps(topic) == [1_050_000_000, 1_100_000_000]


def test_loop_until_ctrl_c(ros: ModuleType, bag: Path) -> None:
    topic = "/camera/color/camera_info"
    listener = Listener(ros, {topic: CameraInfo})
    with playing(bag, loop=True, duration=0.12) as process:
        listener.listen(lambda: len(listener.heard[topic]) >= 7)
        process.send_signal(signal.SIGINT)
        assert_ends_well(process)
    once = [1_000_000_000, 1_050_000_000, 1_100_000_000]
    assert listener.stamps(topic)[:7] == [*once, *once, once[0]]
    # The last message of a round lasts as long as the others.
    assert listener.times[3] - listener.times[0] > 0.12


def test_clock_and_rate(ros: ModuleType, bag: Path) -> None:
    topic, rate = "/camera/color/camera_info", 0.2
    listener = Listener(ros, {"/clock": Clock, topic: CameraInfo})
    with playing(bag, clock=True, rate=rate) as process:
        listener.listen(lambda: process.poll() is not None and len(listener.heard[topic]) == 4)
    clock = [stamp_to_ns(message.clock) for message in listener.heard["/clock"]]
    assert clock == sorted(clock)
    assert clock[0] >= 1_000_000_000
    assert clock[-1] <= 1_150_000_000
    assert len(clock) > 10  # 40 Hz for 0.75 s
    took = listener.times[-1] - listener.times[0]
    assert 0.8 * LAST / rate < took < LAST / rate + 5


def string_bag(path: Path, topic: str = "/latched", kind: str = "std_msgs/msg/String") -> Path:
    """A bag with one message, published as transient local; unknown kinds are strings as well."""
    store = get_typestore(Stores.ROS2_KILTED)
    if kind not in store.types:
        store.register(get_types_from_msg("string data", kind))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            topic,
            kind,
            typestore=store,
            offered_qos_profiles=[RELIABLE._replace(durability=QosDurability.TRANSIENT_LOCAL)],
        )
        data = store.serialize_cdr(store.types[kind]("hello"), kind)
        writer.write(connection, 5_000_000_000, data)
    return path


def test_latched_topics_stay_latched(ros: ModuleType, tmp_path: Path) -> None:
    with playing(string_bag(tmp_path / "bag"), loop=True, rate=0.001) as process:
        listener = Listener(ros, {"/latched": String}, latched=True)
        listener.listen(lambda: len(listener.times) == 1)
        process.send_signal(signal.SIGTERM)
        assert_ends_well(process)
    assert listener.heard["/latched"][0].data == "hello"


def test_types_that_are_not_installed(tmp_path: Path) -> None:
    bag = string_bag(tmp_path / "bag", kind="robot_msgs/msg/Mood")
    with pytest.raises(DataError, match="none of the message types"):
        play(bag)


def test_topic_without_a_valid_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="valid name"):
        play(string_bag(tmp_path / "bag", topic="/1 2"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": -1}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"duration": 0}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"start": -0.1}, "start"),
        ({"start": 0.16}, "lasts 0.150 s"),
        ({"start": float("nan")}, "start"),
    ],
)
def test_options_that_make_no_sense(bag: Path, options: dict[str, float], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        play(bag, **options)


def test_damaged_bag(bag: Path) -> None:
    content = (bag / "bag.mcap").read_bytes()
    (bag / "bag.mcap").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot read bag"):
        play(bag)


def test_message_classes() -> None:
    assert load_message_class("sensor_msgs/msg/Image") is Image
    assert load_message_class("robot_msgs/msg/Mood") is None
    assert load_message_class("sensor_msgs/msg/Nothing") is None
    assert load_message_class("email/msg/Message") is None


@pytest.mark.parametrize("name", ["", "Image", "sensor_msgs/Image", "os/msg/a.b", "../msg/Image"])
def test_names_that_are_no_types(name: str) -> None:
    with pytest.raises(DataError, match="not the type"):
        load_message_class(name)


def test_what_is_played_can_be_recorded_and_is_the_same(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process of its own, as a user starts it; what is played begins when it is heard."""
    for wait in ("FIRST_SUBSCRIBER_WAIT", "OTHER_SUBSCRIBERS_WAIT"):  # it starts slowly
        monkeypatch.setattr(player, wait, 60.0)
    copy = tmp_path / "copy"
    command = [sys.executable, "-m", "dense_desc_ros.cli", "record-topics", copy, *TOPICS]
    with subprocess.Popen([*command, "--seconds", "3"], stdout=subprocess.PIPE, text=True) as done:
        play(bag)
        said, _ = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0
    assert sorted(line.split() for line in said.splitlines()) == sorted(
        ["4", topic] for topic in TOPICS
    )
    for one, other in zip(messages(bag), messages(copy), strict=True):
        assert one == other


def messages(bag: Path) -> list[tuple[str, Any]]:
    """Topics and messages, in order of topics and stamps."""
    with BagReader(bag) as reader:
        every = [
            (each.topic, deserialize_message(bytes(each.data), TOPICS[each.topic]))
            for each in reader.messages(reader.start_ns, reader.end_ns + 1)
        ]
    return sorted(every, key=lambda each: (each[0], stamp_to_ns(each[1].header.stamp)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"topics": []}, "no topics"),
        ({"topics": ["/a"], "seconds": 0.0}, "duration must be positive"),
        ({"topics": ["/nobody"]}, "nobody publishes /nobody; there are "),
    ],
)
def test_what_cannot_be_recorded(
    arguments: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "APPEARING", 0.5)
    with pytest.raises(InvalidInputError, match=said):
        record_topics(bag=tmp_path / "bag", **arguments)
    assert not list(tmp_path.iterdir())
