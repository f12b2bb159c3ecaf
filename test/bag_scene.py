"""Bags of RGB-D frames in every format, written by rosbags and by the mcap library."""

import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.messages import camera_to_message, depth_to_message, image_to_message
from dense_desc_ros.rgbd_frame import RgbdFrame

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_KILTED)
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
COLOR_TOPIC, DEPTH_TOPIC = "/c/color/image_raw", "/c/aligned_depth_to_color/image_raw"
INFO_TOPIC = "/c/color/camera_info"
PERIOD_NS = 100_000_000


class Record(NamedTuple):
    """A message to write: `fill` makes it, given the classes of a type store."""

    topic: str
    message_type: str
    recorded_ns: int
    fill: Callable[[Any], Any]


def header(store: Any, stamp_ns: int, frame_id: str = "optical") -> Any:
    time = store.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    number = (0,) if store is ROS1 else ()
    return store.types["std_msgs/msg/Header"](*number, time, frame_id)


def color(frame: RgbdFrame, recorded: int | None = None, topic: str = COLOR_TOPIC) -> Record:
    def fill(store: Any) -> Any:
        return image_to_message(store.types[IMAGE], header(store, frame.stamp_ns), frame.image)

    return Record(topic, IMAGE, recorded or frame.stamp_ns, fill)


def depth(
    frame: RgbdFrame,
    recorded: int | None = None,
    topic: str = DEPTH_TOPIC,
    frame_id: str = "optical",
) -> Record:
    def fill(store: Any) -> Any:
        stamped = header(store, frame.stamp_ns, frame_id)
        return depth_to_message(store.types[IMAGE], stamped, frame.depth)

    return Record(topic, IMAGE, recorded or frame.stamp_ns, fill)


def info(camera: PinholeCamera, recorded: int, topic: str = INFO_TOPIC) -> Record:
    def fill(store: Any) -> Any:
        region = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        others = {"binning_x": 0, "binning_y": 0, "roi": region}
        make = store.types[INFO]
        if store is ROS1:  # where the matrices have capital letters

            def make(**fields: Any) -> Any:
                names = {name: name.upper() if name in "dkrp" else name for name in fields}
                return store.types[INFO](**{names[name]: fields[name] for name in fields})

        return camera_to_message(make, header(store, recorded), camera, **others)

    return Record(topic, INFO, recorded, fill)


def compressed(frame: RgbdFrame) -> tuple[Record, Record]:
    """Colour as PNG, and depth as compressed_depth_image_transport writes it."""
    png = cv2.imencode(".png", frame.image[..., ::-1])[1].ravel()
    millimetres = np.nan_to_num(frame.depth * 1000).round().astype(np.uint16)
    depth_png = cv2.imencode(".png", millimetres)[1].tobytes()
    depth_data = np.frombuffer(struct.pack("<iff", 0, 0, 0) + depth_png, np.uint8)

    def filling(text_format: str, data: np.ndarray) -> Callable[[Any], Any]:
        return lambda store: store.types[COMPRESSED](
            header(store, frame.stamp_ns), text_format, data
        )

    stamp = frame.stamp_ns
    return (
        Record(
            f"{COLOR_TOPIC}/compressed",
            COMPRESSED,
            stamp,
            filling("rgb8; png compressed bgr8", png),
        ),
        Record(
            f"{DEPTH_TOPIC}/compressedDepth",
            COMPRESSED,
            stamp,
            filling("16UC1; compressedDepth png", depth_data),
        ),
    )


def whole(frames: Iterable[RgbdFrame]) -> list[Record]:
    """Colour, depth and camera_info of each frame."""
    return [
        record
        for frame in frames
        for record in (info(frame.camera, frame.stamp_ns), color(frame), depth(frame))
    ]


def write_ros2(
    bag: Path,
    records: Iterable[Record],
    storage: str = "mcap",
    compression: str | None = None,
) -> Path:
    """A rosbag2 folder; `compression` is by "file", "message" or "storage"."""
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Ros2Writer(bag, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    return _write(bag, records, writer, ROS2, ROS2.serialize_cdr)


def write_ros1(bag: Path, records: Iterable[Record], compression: str | None = None) -> Path:
    """A ROS 1 file; `compression` is "bz2" or "lz4"."""
    writer = Ros1Writer(bag)
    if compression:
        writer.set_compression(Ros1Writer.CompressionFormat[compression.upper()])
    return _write(bag, records, writer, ROS1, ROS1.serialize_ros1)


def _write(bag: Path, records: Iterable[Record], writer: Any, store: Any, serialize: Any) -> Path:
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, recorded, fill in records:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], recorded, serialize(fill(store), kind))
    return bag


def write_unindexed(file: Path, records: Iterable[Record]) -> Path:
    """An MCAP without chunks and index, as rosbag2's preset `fastwrite` writes it."""
    with file.open("wb") as stream:
        writer = McapWriter(
            stream,
            compression=CompressionType.NONE,
            index_types=IndexType.NONE,
            use_chunking=False,
            use_statistics=False,
            use_summary_offsets=False,
            repeat_channels=False,
            repeat_schemas=False,
        )
        writer.start(profile="ros2", library="")
        channels: dict[str, int] = {}
        for topic, kind, recorded, fill in records:
            if topic not in channels:
                definition, _ = ROS2.generate_msgdef(kind, ros_version=2)
                schema = writer.register_schema(kind, "ros2msg", definition.encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            data = bytes(ROS2.serialize_cdr(fill(ROS2), kind))
            writer.add_message(channels[topic], recorded, data, recorded)
        writer.finish()
    return file
