"""Bags: what is recorded is read back bit by bit, and a damaged bag is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_ros.data.bags import BagReader, RawMessage, record, stamp_ns
from dense_desc_ros.data.frames import FrameFolder
from dense_desc_ros.data.messages import frame_from_messages, stamp_to_ns
from dense_desc_ros.errors import DataError, InvalidInputError

COLOR = "/camera/color/image_raw"
DEPTH = "/camera/aligned_depth_to_color/image_raw"
INFO = "/camera/color/camera_info"


@pytest.fixture
def bag(frame_folder: FrameFolder, tmp_path: Path) -> Path:
    record(frame_folder, tmp_path / "bag", rate_hz=4)
    return tmp_path / "bag"


def read(bag: Path, **limits: int) -> list[RawMessage]:
    with BagReader(bag) as reader:
        return list(reader.messages(**limits))


def test_recording_reads_back_with_rclpy(bag: Path, frame_folder: FrameFolder) -> None:
    found = read(bag)
    assert [message.topic for message in found] == [COLOR, DEPTH, INFO] * 4
    for index, frame in enumerate(frame_folder):
        triple = found[3 * index : 3 * index + 3]
        image, depth = (deserialize_message(raw.data, Image) for raw in triple[:2])
        info = deserialize_message(triple[2].data, CameraInfo)
        again = frame_from_messages(image, depth, info)
        np.testing.assert_array_equal(again.image, frame.image)
        np.testing.assert_array_equal(again.depth, frame.depth)
        assert again.camera == frame_folder.camera
        assert (image.encoding, depth.encoding) == ("rgb8", "16UC1")
        assert info.distortion_model == "plumb_bob"
        for message, raw in zip((image, depth, info), triple, strict=True):
            assert message.header.frame_id == "camera_color_optical_frame"
            assert stamp_to_ns(message.header.stamp) == stamp_ns(index, 4) == raw.stamp_ns


def test_what_a_bag_says_of_itself(bag: Path) -> None:
    with BagReader(bag) as reader:
        assert {topic.name: topic.message_type for topic in reader.topics} == {
            COLOR: "sensor_msgs/msg/Image",
            DEPTH: "sensor_msgs/msg/Image",
            INFO: "sensor_msgs/msg/CameraInfo",
        }
        assert not any(topic.transient_local for topic in reader.topics)
        assert reader.message_count == 12
        assert (reader.start_ns, reader.end_ns) == (1_000_000_000, 1_750_000_000)


def test_part_of_a_bag(bag: Path) -> None:
    stamps = {
        message.stamp_ns for message in read(bag, start_ns=1_250_000_000, stop_ns=1_750_000_000)
    }
    assert stamps == {1_250_000_000, 1_500_000_000}


def test_namespace(frame_folder: FrameFolder, tmp_path: Path) -> None:
    record(frame_folder, tmp_path / "bag", namespace="/left/camera/")
    assert {message.topic for message in read(tmp_path / "bag")} == {
        f"/left{topic}" for topic in (COLOR, DEPTH, INFO)
    }


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rate_that_is_none(frame_folder: FrameFolder, tmp_path: Path, rate: float) -> None:
    with pytest.raises(InvalidInputError, match="rate"):
        record(frame_folder, tmp_path / "bag", rate_hz=rate)


@pytest.mark.parametrize("namespace", ["camera", "/came ra", "/1", "//"])
def test_namespace_that_is_none(frame_folder: FrameFolder, tmp_path: Path, namespace: str) -> None:
    with pytest.raises(InvalidInputError, match="namespace"):
        record(frame_folder, tmp_path / "bag", namespace=namespace)


def test_an_existing_bag_is_kept(bag: Path, frame_folder: FrameFolder) -> None:
    before = (bag / "bag.mcap").read_bytes()
    with pytest.raises(DataError, match="exists already"):
        record(frame_folder, bag)
    assert (bag / "bag.mcap").read_bytes() == before


def test_a_failed_recording_leaves_nothing(frame_folder: FrameFolder, tmp_path: Path) -> None:
    (frame_folder.path / "000003-depth.png").write_bytes(b"")
    with pytest.raises(DataError, match="000003-depth"):
        record(frame_folder, tmp_path / "bag")
    assert list(tmp_path.iterdir()) == [frame_folder.path]


def test_recording_where_nothing_can_be_written(frame_folder: FrameFolder) -> None:
    with pytest.raises(DataError, match="cannot write bag"):
        record(frame_folder, frame_folder.path / "camera_params.json" / "bag")


def as_sqlite(bag: Path, target: Path) -> Path:
    """The same messages as an SQLite bag."""
    store = get_typestore(Stores.ROS2_KILTED)
    with (
        BagReader(bag) as reader,
        Writer(target, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer,
    ):
        connections = {
            topic.name: writer.add_connection(topic.name, topic.message_type, typestore=store)
            for topic in reader.topics
        }
        for message in reader.messages():
            writer.write(connections[message.topic], message.stamp_ns, message.data)
    return target


def test_sqlite(bag: Path, tmp_path: Path) -> None:
    assert read(as_sqlite(bag, tmp_path / "sqlite")) == read(bag)


def refuse(bag: Path) -> None:
    with pytest.raises(DataError, match=f"cannot read bag {bag}: .") as error:
        read(bag)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("storage", ["mcap", "sqlite"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.6, 0.999])
def test_truncated(bag: Path, tmp_path: Path, storage: str, kept: float) -> None:
    damaged = bag if storage == "mcap" else as_sqlite(bag, tmp_path / "sqlite")
    (file,) = [file for file in damaged.iterdir() if file.suffix in (".mcap", ".db3")]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    refuse(damaged)
    refuse(file)


def test_metadata_that_is_missing_or_damaged(bag: Path) -> None:
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information:\n  version: [9\n nine")
    refuse(bag)
    (bag / "metadata.yaml").write_text("- 1")
    refuse(bag)
    (bag / "metadata.yaml").unlink()
    refuse(bag)


def test_storage_that_is_missing(bag: Path) -> None:
    (bag / "bag.mcap").unlink()
    refuse(bag)


def test_no_bag_at_all(tmp_path: Path, frame_folder: FrameFolder) -> None:
    refuse(tmp_path / "missing")
    refuse(frame_folder.path)
    refuse(frame_folder.path / "000000-color.png")


def test_errors_of_the_user_of_a_bag_pass_through(bag: Path) -> None:
    with pytest.raises(KeyError), BagReader(bag) as reader:
        for _ in reader.messages():
            raise KeyError
