"""An arm that MoveIt 2 plans for and moves, through the actions and services of move_group.

Built on moveit_msgs alone: pymoveit2 spins the node that it is given within its calls, waits
without limits, and answers plans that fail with None, where an arm has to say why, and in time.
"""

import math

import geometry_msgs.msg
import numpy as np
from geometry_msgs.msg import Pose
from moveit_msgs.action import ExecuteTrajectory, MoveGroup
from moveit_msgs.msg import RobotTrajectory
from moveit_msgs.srv import ApplyPlanningScene, GetCartesianPath, GetPositionIK
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import String

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.grasp_messages import matrix_from_values, pose_message
from dense_desc_ros.nodes.moveit_gripper import MoveItGripper
from dense_desc_ros.nodes.moveit_requests import Requests, check_code
from dense_desc_ros.nodes.moveit_scene import MoveItScene
from dense_desc_ros.nodes.moveit_settings import MoveItSettings
from dense_desc_ros.nodes.remote_calls import ActionCaller, Answer, Patience, ServiceCaller
from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled, GripperState

COMPLETE = 0.999  # share of a straight motion; less is not the whole of it


class MoveItArm:
    """Implements `picking.arm.Arm`.

    Free motions are planned, then executed, so that what failed is known, and how long it may take.

    Args:
        node: calls; is spun by another thread.
        settings: see there.
        base_frame: that poses are given in.

    Attributes:
        distance: NaN, as move_group does not tell how far it is.
    """

    distance = math.nan

    def __init__(self, node: Node, settings: MoveItSettings, base_frame: str) -> None:
        self._node, self._settings = node, settings
        self._requests = Requests(settings, base_frame)
        self._T_grasp_tip = np.linalg.inv(matrix_from_values(settings.grasp_in_tip))
        patience = Patience(settings.server_timeout, settings.answer_timeout)
        namespace = settings.move_group_namespace
        prefix = f"{namespace.rstrip('/')}/" if namespace else ""
        self._plan = ActionCaller(node, MoveGroup, f"{prefix}move_action", patience)
        self._execute = ActionCaller(
            node, ExecuteTrajectory, f"{prefix}execute_trajectory", patience
        )
        self._ik = ServiceCaller(node, GetPositionIK, f"{prefix}compute_ik", patience)
        self._straight = ServiceCaller(
            node, GetCartesianPath, f"{prefix}compute_cartesian_path", patience
        )
        self._apply = ServiceCaller(
            node, ApplyPlanningScene, f"{prefix}apply_planning_scene", patience
        )
        self._scene = MoveItScene(settings, base_frame)
        self._events = node.create_publisher(String, f"{prefix}trajectory_execution_event", 1)
        self._gripper = MoveItGripper(node, settings, patience)

    def check(self, T_base_grasp: FloatArray) -> None:
        self._scene.touch()  # what was to be grasped before is in the way of a grasp
        self._apply_scene()
        request = self._requests.inverse_kinematics(self._tip(T_base_grasp))
        code = self._ik.call(request).error_code
        check_code(code, ArmFailure.UNREACHABLE, "to find joint angles for a pose")

    def avoid(self, points: FloatArray) -> None:
        self._scene.see(points)

    def move_to(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        tip = self._tip(T_base_grasp)
        self._plan_and_execute(self._requests.plan_to_pose(tip, speed), cancelled)

    def move_straight(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        self._scene.touch(T_base_grasp @ self._T_grasp_tip)
        self._apply_scene()
        tip = self._tip(T_base_grasp)
        answer = self._straight.call(self._requests.straight(tip, speed), cancelled)
        check_code(answer.error_code, ArmFailure.NO_PLAN, "to plan a straight motion")
        if answer.fraction < COMPLETE:
            raise ArmError(
                ArmFailure.NO_PLAN,
                f"only {100 * answer.fraction:.0f} % of a straight motion is possible, for "
                "collisions, joint limits or a jump of a joint",
            )
        self._run(answer.solution, cancelled)

    def go_home(self, speed: float, cancelled: Cancelled) -> None:
        self._plan_and_execute(self._requests.plan_home(speed), cancelled)

    def move_gripper(self, width: float, cancelled: Cancelled) -> GripperState:
        state = self._gripper.move(width, cancelled)
        self._scene.grip(state.stalled)
        return state

    def gripper(self) -> GripperState:
        return self._gripper.state()

    def stop(self) -> None:
        for action in (self._plan, self._execute):
            action.cancel()
        self._gripper.stop()
        self._events.publish(String(data="stop"))  # what move_group executes for whomever

    def close(self) -> None:
        """Leave move_group and the gripper alone."""
        for part in (self._plan, self._execute, self._ik, self._straight, self._apply):
            part.close()
        self._gripper.close()
        self._node.destroy_publisher(self._events)

    def _tip(self, T_base_grasp: FloatArray) -> Pose:
        """Where the tip link is at a grasp."""
        return pose_message(geometry_msgs.msg, T_base_grasp @ self._T_grasp_tip)

    def _apply_scene(self) -> None:
        request = self._scene.request()
        if request is not None and not self._apply.call(request).success:
            raise ArmError(
                ArmFailure.NO_PLAN, "MoveIt does not take the table or the object into its scene"
            )

    def _plan_and_execute(self, goal: MoveGroup.Goal, cancelled: Cancelled) -> None:
        self._apply_scene()
        settings = self._settings
        within = settings.planning_time + settings.answer_timeout
        answer = self._plan.call(goal, cancelled, within)
        _check(answer, ArmFailure.NO_PLAN, "to plan a motion")
        self._run(answer.result.planned_trajectory, cancelled)

    def _run(self, trajectory: RobotTrajectory, cancelled: Cancelled) -> None:
        if not (points := trajectory.joint_trajectory.points):
            return  # it is there already
        planned = Duration.from_msg(points[-1].time_from_start).nanoseconds * 1e-9
        within = 2 * planned + self._settings.execution_margin
        answer = self._execute.call(
            ExecuteTrajectory.Goal(trajectory=trajectory), cancelled, within
        )
        _check(answer, ArmFailure.EXECUTION, "to execute a motion")


def _check(answer: Answer, otherwise: ArmFailure, doing: str) -> None:
    """Raise ArmError unless the goal succeeded; the code says more than how the goal ended."""
    check_code(answer.result.error_code, otherwise, doing)
    if answer.ending:
        raise ArmError(otherwise, f"MoveIt failed {doing}: it was {answer.ending}")
