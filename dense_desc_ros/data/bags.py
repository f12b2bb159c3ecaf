"""rosbag2 recordings without ROS: writing RGB-D frames, reading any bag's raw messages."""

import math
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.data.messages import (
    NANOSECONDS,
    camera_to_message,
    depth_to_message,
    image_to_message,
)
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame

IMAGE, CAMERA_INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
COLOR_TOPIC = "color/image_raw"
DEPTH_TOPIC = "aligned_depth_to_color/image_raw"
CAMERA_TOPIC = "color/camera_info"
# A stamp of zero means "no time given" to much of ROS, so recordings start at one second.
FIRST_STAMP_NS = NANOSECONDS

_FOREVER = QosTime(2147483647, 4294967295)
RELIABLE = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)


def stamp_ns(index: int, rate_hz: float) -> int:
    """The stamp, in nanoseconds, that `record` gives to frame `index`."""
    return FIRST_STAMP_NS + round(index * NANOSECONDS / rate_hz)


def record(
    frames: FrameFolder, bag: Path, rate_hz: float = 1.0, namespace: str = "/camera"
) -> None:
    """Write frames as a rosbag2 (MCAP) of colour, aligned depth and camera_info.

    The three messages of a frame carry the same stamp. The bag appears under its name only when it
    is whole.

    Args:
        frames: what to record, in order.
        bag: the folder to make.
        rate_hz: frames per second.
        namespace: of the topics, which are named as a RealSense names them.

    Raises:
        InvalidInputError: a rate that is not positive, or a namespace that is none.
        DataError: the bag exists already or cannot be written, or a frame cannot be read.
    """
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise InvalidInputError(f"the rate must be a positive number of Hz, got {rate_hz}")
    if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)*/?", namespace):
        raise InvalidInputError(f"{namespace!r} is not a topic namespace like /camera")
    bag = Path(bag)
    with new_bag(bag) as writer:
        _write(frames, writer, rate_hz, namespace, f"Recording {bag.name}")


@contextmanager
def new_bag(bag: Path) -> Iterator[Writer]:
    """A rosbag2 (MCAP) to be written, which appears under its name only when it is whole.

    Raises:
        DataError: it exists already or cannot be written.
    """
    with _told(bag, "cannot write bag"):
        bag.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=bag.parent, prefix=f".{bag.name}.") as temporary:
            unfinished = Path(temporary) / bag.name  # rosbags names the file in it after the folder
            with Writer(unfinished, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
                yield writer
            unfinished.rename(bag)


@contextmanager
def growing_bag(bag: Path) -> Iterator[Writer]:
    """A rosbag2 (MCAP) of what cannot be had again: it keeps what could be written, a megabyte at a
    time, when the disk is full or the process killed. `AnyBag` reads it as far as it goes.

    Raises:
        DataError: it exists already or cannot be written.
    """
    with _told(bag, "the recording ends early, with what is there already: cannot write bag"):
        bag.parent.mkdir(parents=True, exist_ok=True)
        with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            yield writer


@contextmanager
def _told(bag: Path, what: str) -> Iterator[None]:
    if bag.exists():
        raise DataError(f"{bag} exists already: remove it or choose another name")
    try:
        yield
    except (OSError, WriterError) as error:
        raise DataError(f"{what} {bag}: {error}") from error


def _write(frames: FrameFolder, writer: Writer, rate_hz: float, namespace: str, title: str) -> None:
    store = get_typestore(Stores.ROS2_KILTED)
    connections = {
        topic: writer.add_connection(
            f"{namespace.rstrip('/')}/{topic}",
            message_type,
            typestore=store,
            offered_qos_profiles=[RELIABLE],
        )
        for topic, message_type in (
            (COLOR_TOPIC, IMAGE),
            (DEPTH_TOPIC, IMAGE),
            (CAMERA_TOPIC, CAMERA_INFO),
        )
    }
    for index in track(range(len(frames)), title, console=Console(stderr=True)):
        frame = frames.read(index, stamp_ns(index, rate_hz))
        for topic, message in _messages(store, frame).items():
            connection = connections[topic]
            data = store.serialize_cdr(message, connection.msgtype)
            writer.write(connection, frame.stamp_ns, data)


def _messages(store: Typestore, frame: RgbdFrame) -> dict[str, Any]:
    types = store.types
    seconds, nanoseconds = divmod(frame.stamp_ns, NANOSECONDS)
    stamp = types["builtin_interfaces/msg/Time"](seconds, nanoseconds)
    header = types["std_msgs/msg/Header"](stamp, frame.frame_id)
    whole_image = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return {
        COLOR_TOPIC: image_to_message(types[IMAGE], header, frame.image),
        DEPTH_TOPIC: depth_to_message(types[IMAGE], header, frame.depth),
        CAMERA_TOPIC: camera_to_message(
            types[CAMERA_INFO], header, frame.camera, binning_x=0, binning_y=0, roi=whole_image
        ),
    }


@dataclass(frozen=True)
class Topic:
    """What a bag says of one topic; `message_type` is like "sensor_msgs/msg/Image"."""

    name: str
    message_type: str
    transient_local: bool


@dataclass(frozen=True)
class RawMessage:
    """A message as it is in a bag: serialized (CDR), with the time at which it was recorded."""

    topic: str
    message_type: str
    stamp_ns: int
    data: bytes


class BagReader:
    """Reads a rosbag2 folder or file, MCAP or SQLite, one message at a time; use it with `with`.

    Attributes, once open:
        topics: every topic of the bag.
        message_count: of the whole bag.
        start_ns, end_ns: recording times of the first and of the last message.

    Raises:
        DataError: the bag is missing, truncated or corrupt; on opening or while reading.
    """

    def __init__(self, bag: str | Path) -> None:
        self.path = Path(bag)

    def __enter__(self) -> "BagReader":
        with self._refusing_damage():
            self._reader = Reader(self.path)
            self._reader.open()
        self.message_count = self._reader.message_count
        self.start_ns, self.end_ns = self._reader.start_time, self._reader.end_time - 1
        self.topics = [
            Topic(each.topic, each.msgtype, _is_transient_local(each))
            for each in self._reader.connections
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def messages(
        self, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[RawMessage]:
        """The messages recorded from `start_ns` on and before `stop_ns`, in order of that time."""
        messages = self._reader.messages(start=start_ns, stop=stop_ns)
        while True:
            with self._refusing_damage():
                found = next(messages, None)
            if found is None:
                return
            connection, stamp, data = found
            yield RawMessage(connection.topic, connection.msgtype, stamp, data)

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # damaged bytes make the parsers fail in every possible way
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"cannot read bag {self.path}: {reason}") from error


def _is_transient_local(connection: Connection) -> bool:
    profiles = getattr(connection.ext, "offered_qos_profiles", [])
    return any(profile.durability is QosDurability.TRANSIENT_LOCAL for profile in profiles)
