"""The node that picks, as a process in a real graph with scripted partners."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from pick_scene import User, pick_node, place, wait
from scripted_cell import BASE, GRASP, PLACE, ScriptedCell, Spinning
from std_msgs.msg import Header

from dense_desc_ros.grasp_messages import pose_matrix

# A motion of each phase: what it is called, and how many such a pick makes before.
MOTION_IN = {
    "approaching": ("move_to", 0),
    "closing": ("move_gripper", 0),
    "lifting": ("move_straight", 1),
    "placing": ("move_to", 1),
    "retreating": ("move_straight", 3),
    "returning": ("go_home", 0),
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, ScriptedCell, Path]]:
    log = tmp_path_factory.mktemp("pick") / "log"
    rclpy.init()
    user, cell = User(), ScriptedCell()
    spinning = Spinning(user, cell)
    with pick_node("max_age:=5.0", log=log):
        yield user, cell, log
    spinning.end()


@pytest.fixture
def user(graph: tuple[User, ScriptedCell, Path]) -> User:
    return graph[0]


@pytest.fixture
def cell(graph: tuple[User, ScriptedCell, Path]) -> ScriptedCell:
    graph[1].reset()
    return graph[1]


def test_picks_and_places(user: User, cell: ScriptedCell) -> None:
    status, result = user.pick(**place(), speed=0.5)
    assert (status, result.success, result.reason) == (GoalStatus.STATUS_SUCCEEDED, True, "")
    assert result.phase == "returning" and not result.held
    assert result.held_width == pytest.approx(0.03)
    assert result.grasp.method == "registered" and result.grasp.score == pytest.approx(0.8)
    np.testing.assert_allclose(pose_matrix(result.grasp.pose.pose), GRASP, atol=1e-6)
    np.testing.assert_allclose(cell.arm.object_at, PLACE[:3, 3], atol=1e-6)
    assert cell.arm.is_home and {round(speed, 6) for speed in cell.speeds} == {0.5, 0.1}
    assert user.phases == ["looking", *MOTION_IN]
    wait(lambda: user.state and user.state.get("ended.success") == "1", "diagnostics")


def test_a_dry_run_moves_nothing(user: User, cell: ScriptedCell) -> None:
    _, result = user.pick(dry_run=True)
    assert result.success and result.has_grasp and not cell.motions.total()


@pytest.mark.parametrize("phase", MOTION_IN)
def test_cancelled_in_a_motion(user: User, cell: ScriptedCell, phase: str) -> None:
    """While one of its motions lasts for as long as nobody cancels it, others are refused."""
    cell.stuck = MOTION_IN[phase]
    handle = user.send(**place())
    name, before = cell.stuck
    wait(lambda: cell.motions[name] > before, "the motion")
    wait(lambda: user.phases and user.phases[-1] == phase, "the feedback")
    assert not user.send().accepted
    cancelling = handle.cancel_goal_async()
    wait(cancelling.done, "an answer to cancelling")
    status, result = user.end_of(handle)
    assert (status, result.reason) == (GoalStatus.STATUS_CANCELED, "cancelled")
    assert result.phase == phase
    assert cell.arm.is_home and not cell.arm.fell
    assert result.held == cell.arm.holds == (phase == "placing")


def test_cancelled_while_it_looks(user: User, cell: ScriptedCell) -> None:
    cell.age = 1000.0  # what is stale is looked for again
    handle = user.send()
    handle.cancel_goal_async()
    status, result = user.end_of(handle)
    assert (status, result.reason, result.phase) == (
        GoalStatus.STATUS_CANCELED,
        "cancelled",
        "looking",
    )
    assert not cell.motions.total()


def test_what_is_seen_cannot_be_used(
    user: User, cell: ScriptedCell, graph: tuple[User, ScriptedCell, Path]
) -> None:
    cell.age = 60.0
    status, result = user.pick()
    assert (status, result.reason) == (GoalStatus.STATUS_ABORTED, "stale")
    cell.reset()
    cell.sees = False
    _, result = user.pick()
    assert result.reason == "not_found"
    assert "it is hidden" in result.message and "quaternion" in result.message
    cell.reset()
    cell.frame_id = "camera_color_optical_frame"
    _, result = user.pick()
    assert result.reason == "frame" and "camera_pose" in result.message
    assert not result.has_grasp and math.isnan(result.held_width)


def test_goals_that_make_no_sense(user: User, cell: ScriptedCell) -> None:
    for goal, reason, word in (
        (place(frame="world"), "frame", "world"),
        ({"has_place": True, "place": PoseStamped(header=Header(frame_id=BASE))}, "", ""),
        ({"speed": float("nan")}, "invalid", "speed"),
        ({"approach_distance": -0.1}, "invalid", "approach_distance"),
    ):
        if "place" in goal and not reason:
            goal["place"].pose.orientation.w = 3.0
            reason, word = "invalid", "quaternion"
        status, result = user.pick(**goal)
        assert (status, result.reason) == (GoalStatus.STATUS_ABORTED, reason)
        assert word in result.message and not cell.motions.total()


def test_failures_of_the_arm_are_named(user: User, cell: ScriptedCell) -> None:
    cell.arm.reach = 0.1
    assert user.pick()[1].reason == "unreachable"
    cell.reset()
    cell.arm.object_width = 0.0
    _, result = user.pick()
    assert (result.reason, result.phase) == ("empty", "closing")
    assert cell.arm.is_home and cell.arm.calls.count("go_home") == 2
