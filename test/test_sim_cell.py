"""The simulated cell as a node, in another process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Pose, TransformStamped
from rclpy.action import ActionClient

from dense_desc_interfaces.action import MoveArm
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.grasp_messages import pose_matrix
from dense_desc_ros.nodes.cell_graph import CellUser, running_cell
from dense_desc_ros.pick_demo import TAUGHT
from dense_desc_ros.sim.anatomy import POINTS

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "caps.safetensors"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CellUser]:
    folder = tmp_path_factory.mktemp("cell")
    cell = {"first": TAUGHT, "frame_rate": 2.0, "real_time_factor": 0.0}
    with running_cell(WEIGHTS, folder, cell) as user:
        user.wait_until_connected()
        yield user


def move(user: CellUser, **goal: object) -> tuple[bool, MoveArm.Result | None]:
    """Whether a goal of the arm is accepted, and its result."""
    client = ActionClient(user.client.node, MoveArm, "/sim_cell/move_arm")
    try:
        user.client.wait(client.server_is_ready, "the arm", 60)
        sent = client.send_goal_async(MoveArm.Goal(**goal))
        user.client.wait(sent.done, "an answer", 60)
        if not sent.result().accepted:
            return False, None
        ending = sent.result().get_result_async()
        user.client.wait(ending.done, "its end", 120)
        return True, ending.result().result
    finally:
        client.destroy()


def test_a_scene_is_what_was_asked_for_and_seen_where_it_is(user: CellUser) -> None:
    user.reset(seed=3, first=TAUGHT + 1, distractors=1)
    frame, T_base_camera = user.see()
    (there,) = user.objects()
    assert there.number == TAUGHT + 1
    assert set(there.points) <= set(POINTS["caps"])
    T_camera_base = np.linalg.inv(T_base_camera)
    button = (T_camera_base @ np.append(there.points["button"], 1))[:3]
    u, v = np.rint(frame.camera.project(button)).astype(int)
    around = frame.depth[v - 3 : v + 4, u - 3 : u + 4]
    assert np.nanmedian(around) == pytest.approx(button[2], abs=0.008)
    assert frame.stamp_ns > 0


def test_the_camera_is_known_to_tf_where_that_is(user: CellUser) -> None:
    messages = pytest.importorskip(
        "tf2_msgs.msg", reason="tf2_msgs is not among the ROS 2 wheels", exc_type=ImportError
    )
    heard: list[TransformStamped] = []
    node = user.client.node
    topic = node.create_subscription(
        messages.TFMessage, "/tf", lambda message: heard.extend(message.transforms), 10
    )
    user.client.wait(lambda: len(heard) > 0, "a transform", 60)
    node.destroy_subscription(topic)
    frame, T_base_camera = user.see()
    assert (heard[0].header.frame_id, heard[0].child_frame_id) == ("base_link", frame.frame_id)
    told = heard[0].transform
    pose = Pose(orientation=told.rotation)
    pose.position.x, pose.position.y, pose.position.z = (
        told.translation.x,
        told.translation.y,
        told.translation.z,
    )
    np.testing.assert_allclose(pose_matrix(pose), T_base_camera, atol=1e-3)  # the arm stands still


def test_a_scene_that_is_not_possible_is_refused(user: CellUser) -> None:
    with pytest.raises(DenseDescError, match="cell has no such scene"):
        user.reset(seed=1, category="spoons")
    user.reset(seed=1)  # and the cell goes on


def test_what_the_arm_cannot_do_is_said(user: CellUser) -> None:
    away = Pose()
    away.position.x, away.orientation.x, away.orientation.w = 5.0, 1.0, 0.0
    accepted, result = move(user, motion=MoveArm.Goal.CHECK, pose=away, speed=1.0)
    assert accepted and not result.success
    assert result.failure == "unreachable"
    nowhere = Pose()
    nowhere.orientation.w = 0.0
    accepted, result = move(user, motion=MoveArm.Goal.FREE, pose=nowhere, speed=0.5)
    assert accepted and not result.success and result.message
    accepted, result = move(user, motion=MoveArm.Goal.HOME, speed=1.0)
    assert accepted and result.success, result.message


def test_ctrl_c_ends_the_cell_well_also_twice() -> None:
    """As `ros2 launch` does, whose processes get one of the terminal and one of launch."""
    command = [sys.executable, "-m", "dense_desc_ros.nodes.sim_cell"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("the cell is ready" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=90), process.stderr.read()) == (0, "")


def test_without_a_display_there_is_no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-m", "dense_desc_ros.nodes.sim_cell"]
    command += ["--ros-args", "-p", "viewer:=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("sim_cell: a viewer needs a display")
    assert len(done.stderr.splitlines()) == 1
