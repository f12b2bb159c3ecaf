"""How the node that picks starts and ends, and what it does when the arm dies."""

import signal
import subprocess
import sys
import time
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import yaml
from action_msgs.msg import GoalStatus
from pick_scene import CONFIG, TIMEOUT, User, pick_node, wait
from scripted_cell import ScriptedCell, Spinning

from dense_desc_ros.nodes.moveit_settings import MoveItSettings
from dense_desc_ros.nodes.pick_node import main
from dense_desc_ros.nodes.pick_server import PickNodeSettings
from dense_desc_ros.nodes.remote_arm import RemoteArmSettings
from dense_desc_ros.picking.settings import PickSettings


def test_an_arm_that_dies_in_a_motion(ros: ModuleType, tmp_path: Path) -> None:
    """It is not the one of the other tests: its process is killed, as by a crash."""
    user = User()
    spinning = Spinning(user)
    script = Path(__file__).with_name("scripted_cell.py")
    arm = subprocess.Popen(
        [sys.executable, script, "move_straight"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert arm.stdout is not None and arm.stdout.readline() == "ready\n"
        impatient = ("silence", "server", "answer", "look")
        # The patience also holds for the way to the approach, where a busy machine may stand still.
        with pick_node(*(f"{name}_timeout:=4.0" for name in impatient)):
            ending = user.send().get_result_async()
            wait(lambda: "approaching" in user.phases or ending.done(), "the approach")
            assert not ending.done(), ending.result().result.message
            arm.kill()
            start = time.monotonic()
            wait(ending.done, "the end of the goal")
            status, result = ending.result().status, ending.result().result
            assert time.monotonic() - start < 9.0
            assert (status, result.reason) == (GoalStatus.STATUS_ABORTED, "connection")
            assert result.phase == "approaching"
            _, result = user.pick(dry_run=True)  # the descriptor node died as well
            assert (result.reason, result.phase) == ("connection", "looking")
            assert "compute_grasp" in result.message
    finally:
        arm.kill()
        arm.wait()
        spinning.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_stops_the_arm(ros: ModuleType, number: signal.Signals) -> None:
    user, cell = User(), ScriptedCell()
    cell.stuck = ("move_straight", 0)
    spinning = Spinning(user, cell)
    try:
        with pick_node() as process:
            ending = user.send().get_result_async()
            wait(lambda: cell.motions["move_straight"], "the motion")
            process.send_signal(number)
            wait(ending.done, "the end of the goal")
            status, result = ending.result().status, ending.result().result
            assert (status, result.reason) == (GoalStatus.STATUS_ABORTED, "cancelled")
            assert "stopped where it was" in result.message
            assert process.wait(timeout=TIMEOUT) == 0
            assert not cell.arm.is_moving and not cell.motions["go_home"]
    finally:
        spinning.end()


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("arm:=leg", "arm must be remote or moveit"),
        ("look_again:=always", "look_again must be"),
        ("speed:=7.0", "speed"),
        ("looks:=soon", "looks"),
        ("base_frame:=''", "base_frame"),
    ],
)
def test_says_why_it_cannot_start(
    parameter: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--ros-args", "-p", parameter]) == 2
    complaint = capfd.readouterr().err
    assert complaint.startswith("pick_node: ") and said in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.skipif(find_spec("moveit_msgs") is not None, reason="MoveIt is installed here")
def test_says_what_to_install_for_moveit(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--ros-args", "-p", "arm:=moveit"]) == 2
    complaint = capfd.readouterr().err
    assert "moveit_msgs cannot be imported" in complaint and "apt install" in complaint


@pytest.mark.parametrize("robot", ["franka", "ur", "sim"])
def test_parameter_files_name_parameters_that_exist(robot: str) -> None:
    """And their values are accepted, as far as they concern the arm of the file."""
    content = yaml.safe_load((CONFIG / f"pick_{robot}.yaml").read_text())
    values = content["/**"]["ros__parameters"]
    arm = {"moveit": MoveItSettings, "remote": RemoteArmSettings}[values["arm"]]
    rest = set(values) - {"use_sim_time"}
    for kind in (PickNodeSettings, PickSettings, arm):
        names = {item.name for item in fields(kind)}
        kind(**{name: values[name] for name in names & rest})
        missing = names - rest
        rest -= names
        assert robot != "franka" or missing <= {"table"}, "it is to explain all parameters"
    assert not rest


def test_a_node_that_waits_hardly_works(ros: ModuleType) -> None:
    user = User()
    spinning = Spinning(user)
    try:
        with pick_node() as process:
            wait(lambda: user.state, "diagnostics")
            before = psutil.Process(process.pid).cpu_times().user
            time.sleep(1.0)
            assert psutil.Process(process.pid).cpu_times().user - before < 0.3
    finally:
        spinning.end()
