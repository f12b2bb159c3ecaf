"""A gripper behind an action of its controller, and what its joint state says of its fingers."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from control_msgs.action import FollowJointTrajectory, GripperCommand, ParallelGripperCommand
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectoryPoint

from dense_desc_ros.nodes.moveit_settings import MoveItSettings
from dense_desc_ros.nodes.remote_calls import ActionCaller, Patience, never, wait_for
from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled, GripperState

READINGS = 3  # that agree; the first may have been sent before the fingers moved


class MoveItGripper:
    """Opens and closes to widths.

    Its width is read from the joint state: controllers disagree about what the results of their
    actions mean. That of the Franka hand takes the position of one finger, answers the distance of
    both, and calls it a failure when it closes on something thicker than the position wanted.

    Args:
        node: calls; is spun by another thread.
        settings: of the arm.
        patience: with the controller.
    """

    def __init__(self, node: Node, settings: MoveItSettings, patience: Patience) -> None:
        self._node, self._settings, self._patience = node, settings, patience
        kind, self._goal = KINDS[settings.gripper_kind]
        self._action = ActionCaller(node, kind, settings.gripper_action, patience)
        self._wanted: float | None = None
        self._widths: deque[float] = deque(maxlen=READINGS)
        # Of one message at most: older ones would tell of what was before a motion.
        self._subscription = node.create_subscription(
            JointState, settings.joint_states, self._hear, 1
        )

    def move(self, width: float, cancelled: Cancelled) -> GripperState:
        """Open or close to a width, metres."""
        settings = self._settings
        before = self.state(cancelled).width
        self._wanted = width
        share = width / settings.gripper_width
        position = settings.gripper_closed + share * (
            settings.gripper_open - settings.gripper_closed
        )
        within = settings.gripper_time + self._patience.answer
        answer = self._action.call(self._goal(settings, position), cancelled, within)
        state = self.state(cancelled)
        if answer.ending and state.stalled and abs(state.width - before) < settings.stall_tolerance:
            raise ArmError(
                ArmFailure.GRIPPER,
                f"the action {self._action.name} was {answer.ending}, and the fingers did not move",
            )
        return state

    def state(self, cancelled: Cancelled = never) -> GripperState:
        """The fingers as the next joint states tell them, once they are at rest."""
        settings = self._settings
        self._widths.clear()
        wait_for(
            self._are_at_rest,
            self._patience.answer,
            cancelled,
            f"the joint {settings.gripper_joint} on {self._subscription.topic_name} is not heard "
            "of, or does not come to rest",
        )
        width = self._widths[-1]
        off = 0.0 if self._wanted is None else abs(width - self._wanted)
        return GripperState(width, off > settings.stall_tolerance)

    def _are_at_rest(self) -> bool:
        widths = list(self._widths)
        return len(widths) == READINGS and np.ptp(widths) <= self._settings.stall_tolerance / 2

    def stop(self) -> None:
        """Stop the fingers where they are."""
        self._action.cancel()

    def close(self) -> None:
        """Leave the gripper alone."""
        self._action.close()
        self._node.destroy_subscription(self._subscription)

    def _hear(self, message: JointState) -> None:
        settings = self._settings
        positions = dict(zip(message.name, message.position, strict=False))
        if (position := positions.get(settings.gripper_joint)) is not None:
            travel = settings.gripper_open - settings.gripper_closed
            share = (position - settings.gripper_closed) / travel
            self._widths.append(share * settings.gripper_width)


def _gripper_command(settings: MoveItSettings, position: float) -> GripperCommand.Goal:
    goal = GripperCommand.Goal()
    goal.command.position, goal.command.max_effort = position, settings.gripper_effort
    return goal


def _parallel_command(settings: MoveItSettings, position: float) -> ParallelGripperCommand.Goal:
    command = JointState(
        name=[settings.gripper_joint], position=[position], effort=[settings.gripper_effort]
    )
    return ParallelGripperCommand.Goal(command=command)


def _trajectory(settings: MoveItSettings, position: float) -> FollowJointTrajectory.Goal:
    point = JointTrajectoryPoint(
        positions=[position],
        time_from_start=Duration(seconds=settings.gripper_time).to_msg(),
    )
    goal = FollowJointTrajectory.Goal()
    goal.trajectory.joint_names = [settings.gripper_joint]
    goal.trajectory.points = [point]
    return goal


KINDS: dict[str, tuple[Any, Callable[[MoveItSettings, float], Any]]] = {
    "gripper_command": (GripperCommand, _gripper_command),
    "parallel_gripper_command": (ParallelGripperCommand, _parallel_command),
    "trajectory": (FollowJointTrajectory, _trajectory),
}
