"""MoveItArm against a scripted move_group in another process, with MoveIt's real messages."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.node import Node

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasp_messages import matrix_from_values
from dense_desc_ros.nodes.remote_calls import never
from dense_desc_ros.picking.arm import ArmError, ArmFailure

pytest.importorskip(
    "moveit_msgs.msg",
    reason="moveit_msgs is not among the ROS 2 wheels: run this test where MoveIt is installed",
    exc_type=ImportError,
)
pytest.importorskip("control_msgs.action", exc_type=ImportError)

from moveit_msgs.msg import MoveItErrorCodes as Codes  # noqa: E402
from moveit_scene import QUIET, SETTINGS, Graph, MoveGroup  # noqa: E402
from pick_scene import CONFIG, User, pick_node, place  # noqa: E402
from scripted_cell import ScriptedCell  # noqa: E402
from scripted_move_group import FRAME  # noqa: E402

from dense_desc_ros.nodes.moveit_arm import MoveItArm  # noqa: E402

TABLE = (0.4, 0.0, -0.05, 1.0, 1.0, 0.1)
DOWN = [0.5, 0.1, 0.2, 1.0, 0.0, 0.0, 0.0]
POSE = matrix_from_values(DOWN)


@pytest.fixture(scope="module")
def whole_graph() -> Iterator[Graph]:
    rclpy.init()
    graph = Graph()
    yield graph
    graph.group.end()
    graph.spinning.end()


@pytest.fixture
def graph(whole_graph: Graph) -> Graph:
    whole_graph.group.set(**QUIET)
    return whole_graph


@pytest.fixture
def group(graph: Graph) -> MoveGroup:
    return graph.group


@pytest.fixture(scope="module")
def arm(whole_graph: Graph) -> MoveItArm:
    return whole_graph.arm()


def failure_of(call: Any, *arguments: Any) -> ArmError:
    with pytest.raises(ArmError) as raised:
        call(*arguments)
    return raised.value


def test_motions_end_where_they_are_told(arm: MoveItArm, group: MoveGroup) -> None:
    arm.check(POSE)
    assert group.account()["ik"] == pytest.approx(DOWN)
    arm.move_to(POSE, 0.4, never)
    assert group.account()["at"] == pytest.approx(DOWN)
    assert group.account()["speed"] == pytest.approx(0.4)
    above = POSE.copy()
    above[2, 3] += 0.1
    arm.move_straight(above, 0.2, never)
    assert group.account()["at"] == pytest.approx([0.5, 0.1, 0.3, 1, 0, 0, 0])
    assert group.account()["speed"] == pytest.approx(0.2)
    arm.go_home(0.3, never)
    assert group.account()["at"] == pytest.approx(SETTINGS.home_positions)


def test_the_grasp_frame_may_be_elsewhere_than_the_tip_link(graph: Graph, group: MoveGroup) -> None:
    """As with a gripper mounted 0.15 m before a flange, and turned by a quarter."""
    half = np.sqrt(0.5)
    mounted = (0, 0, 0.15, 0, 0, half, half)
    arm = graph.arm(tip_link="tool", grasp_in_tip=mounted, table=TABLE)
    arm.move_to(POSE, 0.4, never)
    assert group.account()["world"]["table"] == [FRAME, [list(TABLE[:3])], list(TABLE[3:])]
    T_base_tip = matrix_from_values(group.account()["at"])
    np.testing.assert_allclose(T_base_tip @ matrix_from_values(mounted), POSE, atol=1e-9)
    assert T_base_tip[2, 3] == pytest.approx(0.35)


def test_the_object_is_in_the_way_until_it_is_grasped_and_then_a_part_of_the_hand(
    graph: Graph, group: MoveGroup
) -> None:
    arm = graph.arm(object_box=0.04, table=TABLE)
    points = np.array([[0.5, 0.1, 0.18], [0.55, 0.1, 0.15]])
    on_table = [0.5, 0.1, 0.01]  # a box there would collide with the table
    size = [0.04, 0.04, 0.04]
    group.set(between=0.03)
    above = POSE.copy()
    above[2, 3] += 0.1
    arm.check(POSE)
    assert set(group.account()["world"]) == {"table"}
    arm.avoid(np.vstack([points, on_table]))
    arm.move_to(above, 0.4, never)
    assert group.account()["world"]["object"] == [FRAME, points.tolist(), size]
    arm.move_straight(POSE, 0.2, never)
    assert set(group.account()["world"]) == {"table"}
    assert arm.move_gripper(0.0, never).stalled
    arm.move_straight(above, 0.2, never)
    frame, in_tip, *rest = group.account()["attached"]["object"]
    assert (frame, rest) == (SETTINGS.tip_link, [size, *SETTINGS.touch_links])
    np.testing.assert_allclose(in_tip @ POSE[:3, :3].T + POSE[:3, 3], points, atol=1e-9)
    arm.move_gripper(0.08, never)
    arm.go_home(0.3, never)
    assert (set(group.account()["world"]), group.account()["attached"]) == ({"table"}, {})


def test_an_object_that_was_not_reached_is_not_in_the_way_of_the_next(
    graph: Graph, group: MoveGroup
) -> None:
    arm = graph.arm(object_box=0.04)
    arm.avoid(POSE[None, :3, 3])
    group.set(plan=Codes.PLANNING_FAILED)
    failure_of(arm.move_to, POSE, 0.4, never)
    assert "object" in group.account()["world"]
    arm.check(POSE)
    assert "object" not in group.account()["world"]


ALWAYS = {
    Codes.NO_IK_SOLUTION: ArmFailure.UNREACHABLE,
    Codes.GOAL_IN_COLLISION: ArmFailure.UNREACHABLE,
    Codes.PLANNING_FAILED: ArmFailure.NO_PLAN,
    Codes.START_STATE_IN_COLLISION: ArmFailure.NO_PLAN,
    Codes.CONTROL_FAILED: ArmFailure.EXECUTION,
    Codes.COMMUNICATION_FAILURE: ArmFailure.CONNECTION,
    Codes.ROBOT_STATE_STALE: ArmFailure.CONNECTION,
    Codes.CRASH: ArmFailure.CONNECTION,
}
OFTEN = {  # what most codes mean where they come up
    "ik": ArmFailure.UNREACHABLE,
    "plan": ArmFailure.NO_PLAN,
    "path": ArmFailure.NO_PLAN,
    "execute": ArmFailure.EXECUTION,
}
SPECIFIC = {
    Codes.GOAL_STATE_INVALID,
    Codes.INVALID_MOTION_PLAN,
    Codes.START_STATE_INVALID,
    Codes.MOTION_PLAN_INVALIDATED_BY_ENVIRONMENT_CHANGE,
    Codes.UNABLE_TO_AQUIRE_SENSOR_DATA,
    Codes.SENSOR_INFO_STALE,
}
ALL_CODES = {
    name: value
    for name in dir(Codes)
    if name.isupper() and isinstance(value := getattr(Codes, name), int) and value != Codes.SUCCESS
}


@pytest.mark.parametrize("step", OFTEN)
def test_every_error_code_becomes_a_failure(arm: MoveItArm, group: MoveGroup, step: str) -> None:
    assert len(ALL_CODES) >= 30
    calls = {
        "ik": lambda: arm.check(POSE),
        "plan": lambda: arm.move_to(POSE, 0.1, never),
        "path": lambda: arm.move_straight(POSE, 0.1, never),
        "execute": lambda: arm.go_home(0.1, never),
    }
    for name, value in ALL_CODES.items():
        group.set(**{step: value})
        error = failure_of(calls[step])
        assert name in str(error) and "on command" in str(error)
        if value in ALWAYS:
            assert error.failure is ALWAYS[value], name
        elif value not in SPECIFIC:
            assert error.failure is OFTEN[step], name
        assert error.failure is not ArmFailure.CANCELLED


def test_what_is_called_wrongly_is_said(graph: Graph, group: MoveGroup) -> None:
    for values, name in (
        ({"planning_group": "arm"}, "INVALID_GROUP_NAME"),
        ({"tip_link": "hand"}, "INVALID_LINK_NAME"),
        ({"frame": "world"}, "FRAME_TRANSFORM_FAILURE"),
    ):
        arm = graph.arm(**values)
        assert name in str(failure_of(arm.move_to, POSE, 0.1, never))


def test_half_a_straight_motion_is_none(arm: MoveItArm, group: MoveGroup) -> None:
    group.set(fraction=0.6)
    error = failure_of(arm.move_straight, POSE, 0.1, never)
    assert error.failure is ArmFailure.NO_PLAN and "60 %" in str(error)


def test_cancelled_in_a_motion(arm: MoveItArm, group: MoveGroup) -> None:
    group.set(behaviour="stuck")
    start = time.monotonic()
    error = failure_of(arm.move_to, POSE, 0.1, lambda: time.monotonic() > start + 0.5)
    assert error.failure is ArmFailure.CANCELLED
    assert not group.account()["executing"]  # it stands still when the error is raised


def test_a_motion_without_end_is_given_up_and_stopped(arm: MoveItArm, group: MoveGroup) -> None:
    group.set(behaviour="stuck")
    error = failure_of(arm.go_home, 0.1, never)
    assert error.failure is ArmFailure.CONNECTION and "within 1." in str(error)
    before = group.account()["stops"]
    arm.stop()
    end = time.monotonic() + 10
    while group.account()["stops"] == before:
        assert time.monotonic() < end
    assert not group.account()["executing"]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("gripper_command", SETTINGS.gripper_action),
        ("parallel_gripper_command", "parallel"),
        ("trajectory", "trajectory"),
    ],
)
def test_the_fingers(graph: Graph, group: MoveGroup, kind: str, action: str) -> None:
    arm = graph.arm(gripper_kind=kind, gripper_action=action)
    state = arm.move_gripper(0.0, never)
    assert state.width == pytest.approx(0.0) and not state.stalled
    assert arm.move_gripper(0.06, never).width == pytest.approx(0.06)
    group.set(between=0.03)
    state = arm.move_gripper(0.0, never)  # which some controllers call a failure
    assert state.width == pytest.approx(0.03) and state.stalled
    assert arm.gripper() == state
    group.set(jammed=True)
    if kind != "parallel_gripper_command":  # which calls nothing a failure
        error = failure_of(arm.move_gripper, 0.08, never)
        assert error.failure is ArmFailure.GRIPPER and "did not move" in str(error)


def test_move_group_dies_in_a_motion_and_is_absent_then(graph: Graph) -> None:
    node = Node("other_controls")
    graph.spinning.add(node)
    group = MoveGroup(node, "other")
    arm = graph.arm(
        move_group_namespace="/other",
        gripper_action="/other/fr3_gripper/gripper_action",
        joint_states="/other/joint_states",
        server_timeout=2.0,
        answer_timeout=0.5,
    )
    arm.move_to(POSE, 0.4, never)
    group.set(behaviour="dies")
    start = time.monotonic()
    assert failure_of(arm.go_home, 0.1, never).failure is ArmFailure.CONNECTION
    assert time.monotonic() - start < 5.0
    for call, arguments in (
        (arm.check, (POSE,)),
        (arm.move_to, (POSE, 0.1, never)),
        (arm.move_straight, (POSE, 0.1, never)),
        (arm.move_gripper, (0.0, never)),
        (arm.gripper, ()),
    ):
        assert failure_of(call, *arguments).failure is ArmFailure.CONNECTION
    arm.stop()
    group.end()


def test_picks_as_configured_for_a_franka(graph: Graph, group: MoveGroup) -> None:
    """The whole way: user, pick node with the parameter file that ships, MoveIt, gripper."""
    user, eyes = User(), ScriptedCell()
    eyes.frame_id = FRAME
    graph.spinning.add(user)
    graph.spinning.add(eyes)
    group.set(between=0.03)
    with pick_node("joint_states:=joint_states", file=CONFIG / "pick_franka.yaml"):
        _, result = user.pick(**place(FRAME))
        assert result.success, result.message
        assert result.held_width == pytest.approx(0.03)
        assert group.account()["at"] == pytest.approx(SETTINGS.home_positions)
        group.set(plan=Codes.PLANNING_FAILED)
        _, result = user.pick()
        assert (result.reason, result.phase) == ("no_plan", "approaching")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"home_positions": (0.0,)}, "home_joints and home_positions"),
        ({"gripper_kind": "suction"}, "gripper_kind"),
        ({"gripper_open": 0.0}, "gripper_open"),
        ({"table": (0.0, 0.0, 0.0, 1.0, 1.0, 0.0)}, "table"),
        ({"grasp_in_tip": (0.0,) * 7}, "quaternion"),
        ({"planning_time": 0.0}, "planning_time"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        replace(SETTINGS, **values)
