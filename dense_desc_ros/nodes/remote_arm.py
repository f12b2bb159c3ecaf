"""An arm behind the actions MoveArm and MoveGripper, as the simulated cell offers them."""

import math
from dataclasses import dataclass
from typing import Any

import geometry_msgs.msg
from geometry_msgs.msg import Pose
from rclpy.node import Node

from dense_desc_interfaces.action import MoveArm, MoveGripper
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.grasp_messages import pose_message
from dense_desc_ros.nodes.remote_calls import ActionCaller, Answer, Patience, never
from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled, GripperState
from dense_desc_ros.picking.settings import check_limits, setting

SECONDS = (0.1, 600.0)


@dataclass(frozen=True)
class RemoteArmSettings:
    """Where the actions are and how long they may take, SI units.

    Raises:
        InvalidInputError: a value out of its limits.
    """

    move_arm: str = setting("sim_cell/move_arm", "Action that moves the arm.")
    move_gripper: str = setting("sim_cell/move_gripper", "Action that moves the fingers.")
    server_timeout: float = setting(5.0, "To wait for an action to be there, s.", SECONDS)
    answer_timeout: float = setting(5.0, "To wait for each answer, s.", SECONDS)
    motion_timeout: float = setting(60.0, "For one motion, s.", SECONDS)
    silence_timeout: float = setting(
        2.0, "Without feedback of a motion the connection counts as lost, s.", SECONDS
    )

    def __post_init__(self) -> None:
        check_limits(self)


class RemoteArm:
    """Implements `picking.arm.Arm`.

    The state of the gripper is only told after it moved. So `gripper` has it close on again, to the
    width of the last time: what is held stays held, and what is not there is not felt.

    Args:
        node: calls; is spun by another thread.
        settings: see there.

    Attributes:
        distance: from the finger tips to the target of the motion under way, metres; NaN: none.
    """

    def __init__(self, node: Node, settings: RemoteArmSettings) -> None:
        patience = Patience(settings.server_timeout, settings.answer_timeout)
        self._settings = settings
        self._arm = ActionCaller(node, MoveArm, settings.move_arm, patience)
        self._gripper = ActionCaller(node, MoveGripper, settings.move_gripper, patience)
        self._wanted_width: float | None = None
        self.distance = math.nan

    def check(self, T_base_grasp: FloatArray) -> None:
        goal = MoveArm.Goal(
            motion=MoveArm.Goal.CHECK, pose=pose_message(geometry_msgs.msg, T_base_grasp), speed=1.0
        )
        within = self._settings.answer_timeout
        _check_success(self._arm, self._arm.call(goal, never, end_within=within))

    def avoid(self, points: FloatArray) -> None:
        """Nothing: whoever serves the actions sees to it that nothing is run into."""

    def move_to(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        self._move(
            MoveArm.Goal.FREE, pose_message(geometry_msgs.msg, T_base_grasp), speed, cancelled
        )

    def move_straight(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        self._move(
            MoveArm.Goal.STRAIGHT, pose_message(geometry_msgs.msg, T_base_grasp), speed, cancelled
        )

    def go_home(self, speed: float, cancelled: Cancelled) -> None:
        self._move(MoveArm.Goal.HOME, Pose(), speed, cancelled)

    def move_gripper(self, width: float, cancelled: Cancelled) -> GripperState:
        result = self._call(self._gripper, MoveGripper.Goal(width=width), cancelled)
        self._wanted_width = width
        return GripperState(float(result.width), bool(result.stalled))

    def gripper(self) -> GripperState:
        if self._wanted_width is None:  # nobody here has moved it yet, so it is not known
            return GripperState(math.nan, False)
        return self.move_gripper(self._wanted_width, never)

    def stop(self) -> None:
        for action in (self._arm, self._gripper):
            action.cancel()

    def close(self) -> None:
        """Leave the actions alone."""
        for action in (self._arm, self._gripper):
            action.close()

    def _move(self, motion: int, pose: Pose, speed: float, cancelled: Cancelled) -> None:
        goal = MoveArm.Goal(motion=motion, pose=pose, speed=speed)
        try:
            self._call(self._arm, goal, cancelled)
        finally:
            self.distance = math.nan

    def _call(self, action: ActionCaller, goal: Any, cancelled: Cancelled) -> Any:
        """The result of a motion that succeeded."""
        settings = self._settings
        answer = action.call(
            goal,
            cancelled,
            end_within=settings.motion_timeout,
            heard_within=settings.silence_timeout,
            feedback=self._hear,
        )
        _check_success(action, answer)
        return answer.result

    def _hear(self, feedback: Any) -> None:
        self.distance = getattr(feedback, "distance", math.nan)


def _check_success(action: ActionCaller, answer: Answer) -> None:
    result = answer.result
    if answer.ending or not result.success:
        reason = result.message or result.failure or answer.ending or "no reason is given"
        raise ArmError(_failure(result.failure), f"the action {action.name} failed: {reason}")


def _failure(name: str) -> ArmFailure:
    """The one of this name. CANCELLED cannot be, as nobody here cancelled."""
    try:
        failure = ArmFailure(name)
    except ValueError:
        return ArmFailure.EXECUTION
    return ArmFailure.EXECUTION if failure is ArmFailure.CANCELLED else failure
