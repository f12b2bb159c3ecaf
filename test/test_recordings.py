"""Frames of recordings of every kind, whatever is missing or torn."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bag_scene import (
    COLOR_TOPIC,
    DEPTH_TOPIC,
    IMAGE,
    INFO_TOPIC,
    PERIOD_NS,
    Record,
    color,
    compressed,
    depth,
    header,
    info,
    whole,
    write_ros1,
    write_ros2,
    write_unindexed,
)
from full_disk import full_disk
from rosbags.typesys import Stores, get_typestore

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.bags import growing_bag
from dense_desc_ros.data.camera_choice import CameraTopics
from dense_desc_ros.data.recordings import ALL, LeftOut, RecordedFrame, Recording, Selection
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(61.0, 62.0, 31.5, 23.5, 64, 48)
MS = 1_000_000


def make_frames(count: int, camera: PinholeCamera = CAMERA) -> list[RgbdFrame]:
    """Noise with some holes in the depth, ten times a second."""
    rng = np.random.default_rng(0)
    size = camera.height, camera.width
    frames = []
    for number in range(count):
        depth = (rng.integers(300, 3000, size) / 1000).astype(np.float32)
        depth[rng.random(size) < 0.1] = np.nan
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        frames.append(RgbdFrame(image, depth, camera, (number + 10) * PERIOD_NS, "optical"))
    return frames


FRAMES = make_frames(6)


def read(bag: Path, **arguments: Any) -> tuple[list[RecordedFrame], LeftOut, list[str]]:
    with Recording(bag, **arguments) as recording:
        return list(recording.frames()), recording.left_out, recording.notes


def refusal(bag: Path, **arguments: Any) -> str:
    with pytest.raises(DataError) as error:
        read(bag, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_same(found: Iterable[RecordedFrame], frames: Iterable[RgbdFrame]) -> None:
    for each, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(each.frame.image, frame.image)
        np.testing.assert_array_equal(each.frame.depth, frame.depth)
        assert (each.frame.camera, each.frame.stamp_ns) == (frame.camera, frame.stamp_ns)


def split(bag: Path, records: list[Record]) -> Path:
    """A bag of two files."""
    write_ros2(bag, records[: len(records) // 2])
    second = write_ros2(bag.with_name("second"), records[len(records) // 2 :])
    (second / "second.mcap").rename(bag / "bag_1.mcap")
    described = yaml.safe_load((bag / "metadata.yaml").read_text())
    described["rosbag2_bagfile_information"]["relative_file_paths"].append("bag_1.mcap")
    (bag / "metadata.yaml").write_text(yaml.safe_dump(described))
    return bag


WRITERS: dict[str, Callable[[Path], Path]] = {
    "mcap": lambda bag: write_ros2(bag, whole(FRAMES)),
    "mcap, zstd chunks": lambda bag: write_ros2(bag, whole(FRAMES), "mcap", "storage"),
    "mcap, file": lambda bag: write_ros2(bag, whole(FRAMES), "mcap", "file"),
    "sqlite": lambda bag: write_ros2(bag, whole(FRAMES), "sqlite3"),
    "sqlite, messages": lambda bag: write_ros2(bag, whole(FRAMES), "sqlite3", "message"),
    "split": lambda bag: split(bag, whole(FRAMES)),
    "unindexed": lambda bag: write_unindexed(bag.with_suffix(".mcap"), disordered()),
    "ros 1": lambda bag: write_ros1(bag.with_suffix(".bag"), whole(FRAMES)),
    "ros 1, bz2": lambda bag: write_ros1(bag.with_suffix(".bag"), whole(FRAMES), "bz2"),
    "compressed images": lambda bag: write_ros2(
        bag, [info(CAMERA, 1), *(each for frame in FRAMES for each in compressed(frame))]
    ),
}


def disordered() -> list[Record]:
    """Messages that were not written in the order of time, which MCAP allows."""
    return [*whole(FRAMES[1::-1]), *whole(FRAMES[2:])]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_bag_gives_the_frames_exactly(tmp_path: Path, kind: str) -> None:
    found, left_out, notes = read(WRITERS[kind](tmp_path / "bag"))
    found.sort(key=lambda each: each.frame.stamp_ns)  # those of the disordered bag
    assert_same(found, FRAMES)
    assert left_out.counts.total() == 0 and notes == []


def test_numbers_and_times_are_those_of_the_whole_recording(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", whole(FRAMES))
    with Recording(bag) as recording:
        some = list(recording.frames(Selection(0.1, 0.5, 2)))
        expected = map(recording.expected, (ALL, Selection(0.1, 0.5, 2), Selection(9.0)))
        assert list(expected) == [6, 2, 0]
        assert [(each.number, each.seconds) for each in some] == [(2, 0.2), (4, 0.4)]
        assert_same(some, FRAMES[2:5:2])
        (one,) = recording.frames(ALL, {3}.__contains__)
        assert one.number == 3
    for impossible in ({"every": 0}, {"start": 2.0, "end": 2.0}):
        with pytest.raises(InvalidInputError):
            Selection(**impossible)


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "unindexed", "ros 1", "ros 1, bz2"])
def test_of_a_bag_cut_short_what_is_there_is_read(tmp_path: Path, kind: str) -> None:
    frames = make_frames(12, PinholeCamera(300, 300, 159.5, 119.5, 320, 240))  # 3.7 MB
    records = whole(frames)
    bag = tmp_path / "bag"
    if kind.startswith("ros 1"):
        bag = write_ros1(bag.with_suffix(".bag"), records, "bz2" if "bz2" in kind else None)
    elif kind == "unindexed":
        bag = write_unindexed(bag.with_suffix(".mcap"), records)
    else:
        write_ros2(bag, records, "sqlite3" if kind == "sqlite" else "mcap")
    file = bag if bag.is_file() else next(each for each in bag.iterdir() if each.suffix != ".yaml")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    found, _, notes = read(bag)
    assert 3 <= len(found) <= 8
    assert_same(found, frames[: len(found)])
    (note,) = notes
    assert "only a part could be read" in note and file.name in note
    file.write_bytes(content[:100])
    assert str(bag) in refusal(bag)


def test_a_recording_keeps_what_came_before_the_disk_was_full(tmp_path: Path) -> None:
    frames, store = make_frames(200), get_typestore(Stores.ROS2_KILTED)
    with (
        full_disk(2_500_000),
        pytest.raises(DataError, match="ends early, with what is there already: cannot write bag"),
        growing_bag(tmp_path / "bag") as writer,
    ):
        connections: dict[str, Any] = {}
        for topic, kind, recorded, fill in whole(frames):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], recorded, store.serialize_cdr(fill(store), kind))
    found, _, notes = read(tmp_path / "bag")
    assert 100 < len(found) < 200 and any("only a part could be read" in each for each in notes)
    assert_same(found, frames[: len(found)])


def test_a_damaged_file_of_a_split_bag_leaves_the_others(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", whole(FRAMES))
    (bag / "bag.mcap").write_bytes(b"torn")
    found, _, notes = read(bag)
    assert_same(found, FRAMES[3:])
    assert len(notes) == 1 and "bag.mcap" in notes[0]
    (bag / "bag.mcap").unlink()
    found, _, notes = read(bag)
    assert_same(found, FRAMES[3:])
    assert len(notes) == 1 and "missing" in notes[0]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_folder_without_metadata(tmp_path: Path, storage: str) -> None:
    bag = write_ros2(tmp_path / "bag", whole(FRAMES), storage)
    (bag / "metadata.yaml").unlink()
    found, _, notes = read(bag)
    assert_same(found, FRAMES)
    assert len(notes) == 1 and "metadata.yaml is missing" in notes[0]
    (bag / "other.mcap").write_bytes(b"")
    assert "other.mcap" in refusal(bag) and "name the file" in refusal(bag)


def test_what_is_no_bag(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "bag")
    (tmp_path / "text.txt").write_text("no bag")
    assert "text.txt" in refusal(tmp_path / "text.txt")


def test_what_gives_no_frame_is_counted(tmp_path: Path) -> None:
    a, b, c, d, e, f = FRAMES
    small = replace(
        d, depth=d.depth[:24, :32], image=d.image[:24, :32], camera=CAMERA.resized(32, 24)
    )

    def torn(store: Any) -> Any:
        return replace(color(e).fill(store), step=1)

    records = [
        info(CAMERA, a.stamp_ns),
        *(color(a), depth(a)),
        color(b),
        depth(replace(b, stamp_ns=b.stamp_ns + 50 * MS)),
        *(color(f), depth(f), color(c), depth(c)),  # an older stamp after a newer one
        *(color(d), depth(small)),
        *(Record(COLOR_TOPIC, IMAGE, e.stamp_ns, torn), depth(e)),
    ]
    steps = [record._replace(recorded_ns=10**9 + n * MS) for n, record in enumerate(records)]
    found, left_out, _ = read(write_ros2(tmp_path / "bag", steps))
    assert_same(found, [a, f, c])
    assert left_out.counts == {
        "colour without depth": 1,
        "depth without colour": 1,
        "sizes that differ": 1,
        "undecodable colour": 1,
    }
    assert "step 1" in left_out.examples["undecodable colour"]
    assert "32x24" in left_out.examples["sizes that differ"]
    assert left_out.backwards == 1


def test_images_without_stamps_have_the_time_of_recording(tmp_path: Path) -> None:
    bare = [replace(frame, stamp_ns=0) for frame in FRAMES]
    records = [
        record
        for frame, unstamped in zip(FRAMES, bare, strict=True)
        for record in (color(unstamped, frame.stamp_ns), depth(unstamped, frame.stamp_ns))
    ]
    found, _, _ = read(write_ros2(tmp_path / "bag", [info(CAMERA, 1), *records]))
    assert_same(found, FRAMES)


def test_the_cameras_topics_are_found_among_others(tmp_path: Path) -> None:
    """Two cameras, infrared, depth that is not registered, and a picture of somebody's results."""
    a = FRAMES[0]
    small = replace(
        a, depth=a.depth[:24, :32], image=a.image[:24, :32], camera=CAMERA.resized(32, 24)
    )

    def infrared(store: Any) -> Any:
        data = np.zeros(48 * 64, np.uint8)
        kind = store.types[IMAGE]
        return kind(header(store, a.stamp_ns), 48, 64, "mono8", 0, 64, data)

    others = [
        Record("/c/infra1/image_rect_raw", IMAGE, a.stamp_ns, infrared),
        info(CAMERA, 1, "/c/infra1/camera_info"),
        depth(small, topic="/c/depth/image_rect_raw"),
        depth(a, topic="/c/depth/other"),
        color(a, topic="/detector/overlay"),
        *compressed(a),
    ]
    bag = write_ros2(tmp_path / "bag", [*whole(FRAMES), *others])
    with Recording(bag) as recording:
        topics = recording.topics
    assert (topics.color, topics.depth, topics.camera_info) == (
        *(COLOR_TOPIC, DEPTH_TOPIC),
        INFO_TOPIC,
    )
    second = [record._replace(topic=f"/d{record.topic[2:]}") for record in whole(FRAMES)]
    bag = write_ros2(tmp_path / "two", [*whole(FRAMES), *second])
    message = refusal(bag)
    assert "several topics could be the colour images: name one with --color-topic" in message
    assert f"/d/color/image_raw ({IMAGE}: colour 64x48)" in message
    with Recording(bag, CameraTopics(color="/d/color/image_raw")) as recording:
        assert recording.topics.depth.startswith("/d/aligned")
        assert recording.topics.camera_info == "/d/color/camera_info"


def test_topics_that_are_missing(tmp_path: Path) -> None:
    a = FRAMES[0]
    bag = write_ros2(tmp_path / "color", [info(CAMERA, 1), color(a)])
    message = refusal(bag)
    assert "no topic has depth images: name one with --depth-topic" in message
    assert f"{COLOR_TOPIC} ({IMAGE}: colour 64x48)" in message
    assert "no depth topic /x" in refusal(bag, topics=CameraTopics(depth="/x"))
    assert "not of type" in refusal(bag, topics=CameraTopics(depth=INFO_TOPIC))
    bag = write_ros2(tmp_path / "depth", [info(CAMERA, 1), depth(a)])
    assert "no topic has colour images" in refusal(bag)
    small = replace(
        a, depth=a.depth[:24, :32], image=a.image[:24, :32], camera=CAMERA.resized(32, 24)
    )
    bag = write_ros2(tmp_path / "small", [info(CAMERA, 1), color(a), depth(small)])
    assert "no depth has the 64x48 pixels" in refusal(bag)


def test_intrinsics_from_a_file(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", [each for f in FRAMES for each in (color(f), depth(f))])
    assert "--camera-info" in refusal(bag)
    calibration = {
        "image_width": 64,
        "image_height": 48,
        "camera_matrix": {"rows": 3, "cols": 3, "data": CAMERA.matrix.ravel().tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [0.0] * 12},
    }
    file = tmp_path / "camera.yaml"
    file.write_text(yaml.safe_dump(calibration))
    found, _, _ = read(bag, camera_file=file)
    assert_same(found, FRAMES)
    del calibration["camera_matrix"]
    file.write_text(yaml.safe_dump(calibration))
    assert "camera_matrix" in refusal(bag, camera_file=file)


def test_rectified_images_are_not_undistorted_again(tmp_path: Path) -> None:
    def distorted(store: Any) -> Any:
        return replace(info(CAMERA, 1).fill(store), d=np.array([0.3, 0.1, 0, 0, 0]))

    a = FRAMES[0]
    for name, is_same in (("image_rect_color", True), ("image_raw", False)):
        topic = f"/c/color/{name}"
        messages = [Record(INFO_TOPIC, "sensor_msgs/msg/CameraInfo", 1, distorted)]
        messages += [color(a, topic=topic), depth(a)]
        (found,), _, _ = read(write_ros2(tmp_path / name, messages))
        assert np.array_equal(found.frame.image, a.image) == is_same


def test_depth_of_another_frame_is_said_to_be_taken_as_registered(tmp_path: Path) -> None:
    records = [info(CAMERA, 1), color(FRAMES[0]), depth(FRAMES[0], frame_id="depth_optical")]
    _, _, (note,) = read(write_ros2(tmp_path / "bag", records))
    assert "depth_optical" in note and "registered" in note
