"""The results of a replay as a bag and as tables, read as others would: by what is in the files."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bag_scene import whole, write_ros2
from geometry_msgs.msg import PoseArray
from local_scene import local_model, scene
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CompressedImage
from visualization_msgs.msg import MarkerArray

from dense_desc_interfaces.msg import GraspArray, KeypointArray
from dense_desc_ros.data.any_bag import AnyBag
from dense_desc_ros.data.compressed import decode_image
from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.answers import read_answers
from dense_desc_ros.evaluation.replay.inputs import Click
from dense_desc_ros.evaluation.replay.outputs import FrameOutputs
from dense_desc_ros.evaluation.replay.report import write_replay_report
from dense_desc_ros.evaluation.replay.run import FRAMES, REFERENCES, ReplayConfig, replay
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.nodes.conversions import grasp_array, pose_array
from dense_desc_ros.nodes.markers import marker_array
from dense_desc_ros.pictures import draw_matches
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

FRAME_COUNT, HIDDEN = 4, 2
LATER_NS = 7_000_001  # by which a frame is recorded after its exposure
KINDS = {
    "/descriptor_node/grasps": GraspArray,
    "/descriptor_node/grasp_poses": PoseArray,
    "/descriptor_node/markers": MarkerArray,
    "/descriptor_node/matches/compressed": CompressedImage,
}
SETTINGS = PipelineSettings(method="straight", max_instances=2)


def recorded_frames() -> list[Any]:
    frames = [replace(scene(4 * n), stamp_ns=(n + 10) * 100_000_003) for n in range(FRAME_COUNT)]
    noise = np.random.default_rng(1).integers(0, 256, frames[0].image.shape, dtype=np.uint8)
    frames[HIDDEN] = replace(frames[HIDDEN], image=noise)
    return [replace(frame, frame_id="optical") for frame in frames]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replay of two recordings of the same in `out`, and the same again in `again`."""
    folder = tmp_path_factory.mktemp("replay")
    records = [
        each._replace(recorded_ns=each.recorded_ns + LATER_NS) for each in whole(recorded_frames())
    ]
    write_ros2(folder / "bag", records)
    clicks = {"here": Click(0, (120.0, 100.0)), "there": Click(1, (180.0, 60.0))}
    config = ReplayConfig((folder / "bag",) * 2, clicks=clicks, settings=SETTINGS)
    model = local_model()
    for out in (folder / "out", folder / "again"):
        store = replay(model, config, out)
        write_replay_report(config, out, store.names(), {}, {})
    return folder


def messages(file: Path) -> Iterator[tuple[Any, str, Any]]:
    """Schema, topic and message of each in an MCAP file."""
    with file.open("rb") as stream:
        for schema, channel, message in make_reader(stream, validate_crcs=True).iter_messages():
            yield schema, channel.topic, message


def test_the_bag_has_what_the_node_would_publish(folder: Path) -> None:
    """Read by the C code of ROS itself, and held against the messages of the running node."""
    model = local_model()
    store = ReferenceStore(folder / "out" / REFERENCES, model.fingerprint)
    pipeline = GraspPipeline(model, store, SETTINGS)
    read: dict[str, list[Any]] = {topic: [] for topic in KINDS}
    for _, topic, message in messages(folder / "out" / "results.mcap"):
        read[topic].append((message.log_time, deserialize_message(message.data, KINDS[topic])))
    for number, frame in enumerate(recorded_frames()):
        result = pipeline.process(frame)
        grasps = grasp_array(result, "optical", None)
        for grasp in grasps.grasps:
            grasp.around = []  # much, and the same in each frame: it is not in the bag
        assert len(grasps.grasps) >= 2 or number == HIDDEN
        expected = (grasps, pose_array(grasps), marker_array(grasps, Gripper(), KeypointArray()))
        for (topic, kind), live in zip(KINDS.items(), expected, strict=False):
            recorded_ns, message = read[topic][number]
            assert recorded_ns == frame.stamp_ns + LATER_NS, "as the recording, to play beside it"
            # As it comes out of the wire; in words, since not a number is not equal to itself.
            assert repr(message) == repr(deserialize_message(serialize_message(live), kind))
        _, picture = read["/descriptor_node/matches/compressed"][number]
        assert picture.header == grasps.header
        difference = decode_image(picture).astype(int) - draw_matches(result)
        assert np.abs(difference).mean() < 6 or number == HIDDEN  # what JPEG leaves out
    assert [len(each) for each in read.values()] == [FRAME_COUNT] * 4


def test_the_bag_explains_itself(folder: Path) -> None:
    """All types are in the file, so that readers need no definitions of ours, nor of ROS."""
    seen = set()
    for schema, topic, message in messages(folder / "out" / "results.mcap"):
        assert schema.encoding == "ros2msg"
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(schema.data.decode(), schema.name))
        decoded = store.deserialize_cdr(message.data, schema.name)
        if topic == "/descriptor_node/grasps" and decoded.grasps:
            assert {each.name for each in decoded.grasps} == {"here", "there"}
            assert decoded.grasps[0].pose.header.frame_id == "optical"
        seen.add(topic)
    assert seen == set(KINDS)
    with AnyBag(folder / "out" / "results.mcap") as bag:  # as rosbag2 and rosbags see it
        assert bag.is_whole and bag.topics.keys() == set(KINDS)
        assert set(bag.counts.values()) == {FRAME_COUNT}


def test_the_same_bytes_each_time_and_for_each_recording(folder: Path) -> None:
    names = ("results.mcap", "results_1.mcap", "grasps.csv", "grasps.parquet", "overlay.mp4")
    for name in names:
        first, second = ((folder / run / name).read_bytes() for run in ("out", "again"))
        assert first == second and first
    both = [(folder / "out" / name).read_bytes() for name in names[:2]]
    assert both[0] == both[1], "the second recording is the first one again"


def test_the_tables_hold_every_grasp(folder: Path) -> None:
    table = pq.read_table(folder / "out" / "grasps.parquet").to_pylist()
    with (folder / "out" / "grasps.csv").open() as file:
        text = list(csv.DictReader(file))
    answers = list(read_answers(folder / "out" / FRAMES))
    grasps = [(each, grasp) for each in answers for grasp in each.grasps]
    assert len(table) == len(text) == len(grasps) > 2 * FRAME_COUNT
    for row, words, (each, grasp) in zip(table, text, grasps, strict=True):
        assert list(row) == list(words)
        assert (row["bag"], row["frame"], row["stamp_ns"]) == (each.bag, each.frame, each.stamp_ns)
        assert (row["name"], row["method"]) == (grasp.name, grasp.method)
        assert [row[key] for key in ("x", "y", "z")] == grasp.T_camera_grasp[:3, 3].tolist()
        assert np.isnan(row.pop("opening_width")) and words.pop("opening_width") == "nan"
        assert all(str(value) == words[key] for key, value in row.items())


def test_what_fails_on_a_thread_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay.mp4").mkdir()
    answers = next(read_answers(folder / "out" / FRAMES))
    recorded = RecordedFrame(0, 0.0, recorded_frames()[0], 1)
    with (
        pytest.raises(DataError, match="cannot write .*overlay.mp4"),
        FrameOutputs(tmp_path, 10.0, None) as outputs,
    ):
        outputs.add(answers, recorded)
    with (tmp_path / "results.mcap").open("rb") as stream:  # whole, with what came before
        assert len(list(make_reader(stream).iter_messages())) == len(KINDS)
