"""Recordings played to the real node in a process of its own, against the replay of them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_scene import whole, write_ros2
from local_scene import local_model, scene
from scipy.spatial.transform import Rotation

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.replay.agreement import Agreement
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.evaluation.replay.inputs import Click
from dense_desc_ros.evaluation.replay.run import REFERENCES, ReplayConfig, replay
from dense_desc_ros.grasp_messages import grasp_array_message
from dense_desc_ros.grasping.grasp import Grasp, PointPose, Refusal
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.nodes.conversions import LIVE
from dense_desc_ros.nodes.online_replay import check_playable, replay_online
from dense_desc_ros.pipeline import Timings
from dense_desc_ros.reference_store import ReferenceStore

FRAME_COUNT, HIDDEN = 8, 5
CLICKS = {
    "here": Click(0, (120.0, 100.0)),
    "moved": Click(0, (80.0, 130.0)),
    "there": Click(0, (180.0, 60.0)),
}
SETTINGS = PipelineSettings(method="straight", min_score=0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReplayConfig]:
    """A folder with weights and a replay in `out`, and what was replayed."""
    folder = tmp_path_factory.mktemp("run")
    model = local_model()
    model.save(folder / "weights.safetensors")
    frames = [
        replace(scene(4 * n, -4 * n), stamp_ns=(n + 10) * 400_000_000) for n in range(FRAME_COUNT)
    ]
    noise = np.random.default_rng(1).integers(0, 256, frames[0].image.shape, dtype=np.uint8)
    frames[HIDDEN] = replace(frames[HIDDEN], image=noise)
    write_ros2(folder / "bag", whole(frames))
    config = ReplayConfig((folder / "bag",), clicks=CLICKS, settings=SETTINGS)
    replay(model, config, folder / "out")
    return folder, config


def test_the_node_answers_as_the_replay(run: tuple[Path, ReplayConfig]) -> None:
    """But for one reference, which has another point when the node finds it."""
    folder, config = run
    out, domain = folder / "out", os.environ["ROS_DOMAIN_ID"]
    store = ReferenceStore(out / REFERENCES, local_model().fingerprint)
    store.add(replace(store.get("there"), name="moved"))
    agreement = replay_online(config, folder / "weights.safetensors", out, device="cpu")
    assert os.environ["ROS_DOMAIN_ID"] == domain
    assert agreement.frames == FRAME_COUNT
    # The node may drop frames on a busy machine, but never the last one.
    assert 1 <= agreement.processed == agreement.frames - agreement.dropped
    assert agreement.same == 0 and len(agreement.differences) == agreement.processed
    assert all(", moved: " in each for each in agreement.differences)  # the others are the same
    assert 100 < agreement.largest_mm < 1000 and agreement.largest_deg < 0.1


def test_what_cannot_be_played(run: tuple[Path, ReplayConfig], tmp_path: Path) -> None:
    _, config = run
    with pytest.raises(InvalidInputError, match="ROS 1 bag"):
        check_playable(replace(config, bags=(tmp_path / "old.bag",)))
    with pytest.raises(InvalidInputError, match="camera_info topics"):
        check_playable(replace(config, camera_file=tmp_path / "camera.yaml"))


def grasp(name: str, x: float, method: str = "registered", degrees: float = 0.0) -> Grasp:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    pose[:3, 3] = x, 0.0, 0.8
    return Grasp(name, PointPose(pose, np.zeros(2), method, 0.9, 1, 0.0, 0.0), pose, 0.05)


def test_what_counts_as_the_same() -> None:
    frame = scene()

    def compared(ours: list[Any], theirs: list[Any]) -> Agreement:
        """Of answers in one frame of the replay, and of the node."""
        sorted_out = [
            (
                [each for each in some if isinstance(each, Grasp)],
                [each for each in some if isinstance(each, Refusal)],
            )
            for some in (ours, theirs)
        ]
        answers = Answers(0, 7, frame.stamp_ns, 0.0, 1.0, *sorted_out[0], Timings())
        message = grasp_array_message(LIVE, frame, *sorted_out[1])
        agreement = Agreement()
        agreement.add([answers, replace(answers, stamp_ns=1)], {frame.stamp_ns: [message]})
        assert (agreement.frames, agreement.processed, agreement.dropped) == (2, 1, 1)
        return agreement

    mug, no_cap = grasp("mug", 0.1), Refusal("cap", 0.1, "score 0.10 is below min_score 0.40")
    for same in (
        [mug, no_cap],
        [
            grasp("mug", 0.10009, degrees=0.09),
            replace(no_cap, reason="score 0.11 is below min_score 0.40"),
        ],
    ):
        assert compared([mug, no_cap], same).same == 1
    for theirs, told in (
        ([grasp("mug", 0.1002), no_cap], "mug: 0.20 mm and 0.00 deg apart"),
        ([grasp("mug", 0.1, degrees=1.0), no_cap], "mug: 0.00 mm and 1.00 deg apart"),
        ([grasp("mug", 0.1, "straight"), no_cap], "mug: found registered in the replay, straight"),
        ([mug, mug, no_cap], "mug: 1 grasps in the replay, 2 of the node"),
        ([mug], "cap: refused because 'score … is below"),
        ([mug, grasp("cap", 0.0)], "cap: 0 grasps in the replay, 1 of the node"),
        ([mug, Refusal("cap", 0.1, "no depth")], "cap: refused because"),
    ):
        found = compared([mug, no_cap], theirs)
        assert found.same == 0 and len(found.differences) == 1
        assert f"recording 0, frame 7, {told}" in found.differences[0]
    # Of two messages with one stamp, one is enough.
    agreement = Agreement()
    answers = Answers(0, 7, 5, 0.0, 1.0, [mug], [], Timings())
    both = [grasp_array_message(LIVE, frame, [each], []) for each in (grasp("mug", 0.2), mug)]
    agreement.add([answers], {5: both})
    assert agreement.same == 1


def test_the_launch_file_tells_by_its_exit_code(
    run: tuple[Path, ReplayConfig], tmp_path: Path
) -> None:
    pytest.importorskip(
        "launch_ros",
        reason="launch is not among the ROS 2 wheels: run this test in a ROS 2 distribution",
        exc_type=ImportError,
    )
    from test_launch import LAUNCH

    folder, _ = run
    (tmp_path / "lib/dense_desc_ros").mkdir(parents=True)
    program = Path(sys.executable).with_name("dense-desc")
    (tmp_path / "lib/dense_desc_ros/dense-desc").symlink_to(program)
    index = tmp_path / "share/ament_index/resource_index/packages/dense_desc_ros"
    index.parent.mkdir(parents=True)
    index.touch()
    paths = [str(tmp_path), os.environ.get("AMENT_PREFIX_PATH", "")]
    environment = {**os.environ, "AMENT_PREFIX_PATH": os.pathsep.join(filter(None, paths))}
    file = Path(__file__).resolve().parents[1] / "launch" / "replay.launch.py"
    for weights, code in (("weights.safetensors", 0), ("missing.safetensors", 1)):
        arguments = {
            "bag": folder / "bag",
            "weights": folder / weights,
            "register": "here=0:120,100 there=0:180,60",
            "out": tmp_path / weights,
            "options": "--method straight --device cpu",
        }
        given = [f"{name}:={value}" for name, value in arguments.items()]
        command = [sys.executable, "-c", LAUNCH, str(file), *given]
        assert subprocess.run(command, env=environment, timeout=120).returncode == code
    results = json.loads((tmp_path / "weights.safetensors" / "results.json").read_text())
    assert results["online"]["same"] == results["online"]["processed"] > 0
