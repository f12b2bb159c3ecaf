"""What is asked of MoveIt's move_group, and what its error codes mean for an arm."""

from collections.abc import Mapping

from geometry_msgs.msg import Pose, PoseStamped
from moveit_msgs.action import MoveGroup
from moveit_msgs.msg import (
    BoundingVolume,
    Constraints,
    JointConstraint,
    MoveItErrorCodes,
    OrientationConstraint,
    PositionConstraint,
)
from moveit_msgs.srv import GetCartesianPath, GetPositionIK
from rclpy.duration import Duration
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Header

from dense_desc_ros.nodes.moveit_settings import MoveItSettings
from dense_desc_ros.picking.arm import ArmError, ArmFailure

# What a code means whatever was asked; the others mean that what was asked failed.
FAILURES = {
    MoveItErrorCodes.NO_IK_SOLUTION: ArmFailure.UNREACHABLE,
    MoveItErrorCodes.GOAL_IN_COLLISION: ArmFailure.UNREACHABLE,
    MoveItErrorCodes.GOAL_STATE_INVALID: ArmFailure.UNREACHABLE,
    MoveItErrorCodes.PLANNING_FAILED: ArmFailure.NO_PLAN,
    MoveItErrorCodes.INVALID_MOTION_PLAN: ArmFailure.NO_PLAN,
    MoveItErrorCodes.START_STATE_IN_COLLISION: ArmFailure.NO_PLAN,
    MoveItErrorCodes.START_STATE_INVALID: ArmFailure.NO_PLAN,
    MoveItErrorCodes.CONTROL_FAILED: ArmFailure.EXECUTION,
    MoveItErrorCodes.MOTION_PLAN_INVALIDATED_BY_ENVIRONMENT_CHANGE: ArmFailure.EXECUTION,
    MoveItErrorCodes.COMMUNICATION_FAILURE: ArmFailure.CONNECTION,
    MoveItErrorCodes.CRASH: ArmFailure.CONNECTION,
    MoveItErrorCodes.ROBOT_STATE_STALE: ArmFailure.CONNECTION,
    MoveItErrorCodes.UNABLE_TO_AQUIRE_SENSOR_DATA: ArmFailure.CONNECTION,
    MoveItErrorCodes.SENSOR_INFO_STALE: ArmFailure.CONNECTION,
}
NAMES: Mapping[int, str] = {
    value: name
    for name in dir(MoveItErrorCodes)
    if name.isupper() and isinstance(value := getattr(MoveItErrorCodes, name), int)
}


def check_code(code: MoveItErrorCodes, otherwise: ArmFailure, doing: str) -> None:
    """Raise ArmError unless a code is that of success; `otherwise` is what most codes mean."""
    if code.val != MoveItErrorCodes.SUCCESS:
        name = NAMES.get(code.val, f"error {code.val}")
        said = getattr(code, "message", "")
        raise ArmError(
            FAILURES.get(code.val, otherwise),
            f"MoveIt failed {doing}: {name}{f', {said}' if said else ''}",
        )


class Requests:
    """Makes requests for one arm.

    Args:
        settings: of the arm.
        base_frame: that poses are given in.
    """

    def __init__(self, settings: MoveItSettings, base_frame: str) -> None:
        self._settings = settings
        self._header = Header(frame_id=base_frame)

    def inverse_kinematics(self, pose: Pose) -> GetPositionIK.Request:
        """For a pose of the tip link, without collisions, from the state of now."""
        settings = self._settings
        request = GetPositionIK.Request()
        ik = request.ik_request
        ik.group_name, ik.ik_link_name = settings.planning_group, settings.tip_link
        ik.robot_state.is_diff = True
        ik.avoid_collisions = True
        ik.pose_stamped = PoseStamped(header=self._header, pose=pose)
        ik.timeout = Duration(seconds=settings.answer_timeout / 2).to_msg()
        return request

    def plan_to_pose(self, pose: Pose, speed: float) -> MoveGroup.Goal:
        """A free motion of the tip link."""
        settings = self._settings
        region = BoundingVolume(
            primitives=[
                SolidPrimitive(type=SolidPrimitive.SPHERE, dimensions=[settings.position_tolerance])
            ],
            primitive_poses=[Pose(position=pose.position)],
        )
        position = PositionConstraint(
            header=self._header, link_name=settings.tip_link, constraint_region=region, weight=1.0
        )
        tolerance = settings.orientation_tolerance
        orientation = OrientationConstraint(
            header=self._header,
            link_name=settings.tip_link,
            orientation=pose.orientation,
            absolute_x_axis_tolerance=tolerance,
            absolute_y_axis_tolerance=tolerance,
            absolute_z_axis_tolerance=tolerance,
            weight=1.0,
        )
        return self._plan(
            Constraints(position_constraints=[position], orientation_constraints=[orientation]),
            speed,
        )

    def plan_home(self, speed: float) -> MoveGroup.Goal:
        """A free motion to where the arm waits."""
        settings = self._settings
        joints = [
            JointConstraint(
                joint_name=name,
                position=position,
                tolerance_above=settings.orientation_tolerance,
                tolerance_below=settings.orientation_tolerance,
                weight=1.0,
            )
            for name, position in zip(settings.home_joints, settings.home_positions, strict=True)
        ]
        return self._plan(Constraints(joint_constraints=joints), speed)

    def straight(self, pose: Pose, speed: float) -> GetCartesianPath.Request:
        """A straight motion of the tip link from where it is."""
        settings = self._settings
        request = GetCartesianPath.Request(
            header=self._header,
            group_name=settings.planning_group,
            link_name=settings.tip_link,
            waypoints=[pose],
            max_step=settings.straight_step,
            revolute_jump_threshold=settings.joint_jump,
            avoid_collisions=settings.straight_avoids_collisions,
            max_velocity_scaling_factor=speed,
            max_acceleration_scaling_factor=speed,
        )
        request.start_state.is_diff = True
        return request

    def _plan(self, constraints: Constraints, speed: float) -> MoveGroup.Goal:
        settings = self._settings
        goal = MoveGroup.Goal()
        request = goal.request
        request.workspace_parameters.header = self._header
        request.start_state.is_diff = True
        request.goal_constraints = [constraints]
        request.pipeline_id, request.planner_id = settings.planning_pipeline, settings.planner
        request.group_name = settings.planning_group
        request.num_planning_attempts = settings.planning_attempts
        request.allowed_planning_time = settings.planning_time
        request.max_velocity_scaling_factor = request.max_acceleration_scaling_factor = speed
        goal.planning_options.plan_only = True
        goal.planning_options.planning_scene_diff.is_diff = True
        goal.planning_options.planning_scene_diff.robot_state.is_diff = True
        return goal
