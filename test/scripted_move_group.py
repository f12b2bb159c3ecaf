"""A move_group and a gripper controller, real to ROS, scripted inside; run as a program.

The robot's seven joints are the pose of its tip link: x, y, z, qx, qy, qz, qw. What is to fail is
told by parameters of the node, and what was asked of it is read from its parameter `account`.
"""

import json
import os
import time
from typing import Any

import rclpy
from control_msgs.action import FollowJointTrajectory, GripperCommand, ParallelGripperCommand
from moveit_msgs.action import ExecuteTrajectory, MoveGroup
from moveit_msgs.msg import CollisionObject, MoveItErrorCodes, RobotTrajectory
from moveit_msgs.srv import ApplyPlanningScene, GetCartesianPath, GetPositionIK
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectoryPoint

JOINTS = [f"fr3_joint{number}" for number in range(1, 8)]
FINGER = "fr3_finger_joint1"
GROUP, LINKS, FRAME = "fr3_arm", ("fr3_hand_tcp", "tool"), "fr3_link0"
SUCCESS = MoveItErrorCodes.SUCCESS
MOTION_TIME = 0.05  # s
CONTROLS = {"ik": SUCCESS, "plan": SUCCESS, "path": SUCCESS, "execute": SUCCESS}


class MoveGroupNode(Node):
    """Answers what MoveItArm asks, checking it as move_group does."""

    def __init__(self) -> None:
        super().__init__("move_group")
        for name, code in CONTROLS.items():
            self.declare_parameter(name, code)
        self.declare_parameter("fraction", 1.0)  # of a straight motion
        self.declare_parameter("between", 0.0)  # m, thickness of what is between the fingers
        self.declare_parameter("jammed", False)  # the fingers
        self.declare_parameter("behaviour", "")  # of execution: stuck, dies
        self.declare_parameter("account", "{}")
        self.account: dict[str, Any] = {"stops": 0}
        self.world: dict[str, Any] = {}
        self.attached: dict[str, Any] = {}
        self.finger = 0.04
        group = ReentrantCallbackGroup()
        for kind, name, serve in (
            (GetPositionIK, "compute_ik", self.ik),
            (GetCartesianPath, "compute_cartesian_path", self.path),
            (ApplyPlanningScene, "apply_planning_scene", self.scene),
        ):
            self.create_service(kind, name, serve, callback_group=group)
        self.servers = [
            ActionServer(
                self,
                kind,
                name,
                execute_callback=execute,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
                callback_group=group,
            )
            for kind, name, execute in (
                (MoveGroup, "move_action", self.plan),
                (ExecuteTrajectory, "execute_trajectory", self.execute),
                (GripperCommand, "fr3_gripper/gripper_action", self.grip),
                (ParallelGripperCommand, "parallel", self.grip_parallel),
                (FollowJointTrajectory, "trajectory", self.grip_by_trajectory),
            )
        ]
        self.create_subscription(String, "trajectory_execution_event", self.stop, 1)
        self.joints = self.create_publisher(JointState, "joint_states", 10)
        self.create_timer(0.02, self.tell)

    def value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def note(self, **what: Any) -> None:
        self.account |= what
        self.set_parameters([Parameter("account", value=json.dumps(self.account))])

    def code(self, name: str, group: str, link: str | None, frame: str) -> MoveItErrorCodes:
        wrong = {
            MoveItErrorCodes.INVALID_GROUP_NAME: group != GROUP,
            MoveItErrorCodes.INVALID_LINK_NAME: link is not None and link not in LINKS,
            MoveItErrorCodes.FRAME_TRANSFORM_FAILURE: frame != FRAME,
        }
        found = next((code for code, is_wrong in wrong.items() if is_wrong), self.value(name))
        return MoveItErrorCodes(val=found, message="on command" if found != SUCCESS else "")

    def ik(self, request: Any, response: Any) -> Any:
        asked = request.ik_request
        stamped = asked.pose_stamped
        assert asked.robot_state.is_diff and asked.avoid_collisions
        self.note(ik=numbers(stamped.pose))
        response.error_code = self.code(
            "ik", asked.group_name, asked.ik_link_name, stamped.header.frame_id
        )
        return response

    def path(self, request: Any, response: Any) -> Any:
        assert request.start_state.is_diff and request.max_step > 0
        (pose,) = request.waypoints
        response.error_code = self.code(
            "path", request.group_name, request.link_name, request.header.frame_id
        )
        response.fraction = self.value("fraction")
        response.solution = trajectory(numbers(pose))
        self.note(speed=request.max_velocity_scaling_factor)
        return response

    def scene(self, request: Any, response: Any) -> Any:
        scene = request.scene
        assert scene.is_diff and scene.robot_state.is_diff
        response.success = True
        for attached in scene.robot_state.attached_collision_objects:
            response.success &= self.attach(attached)
        for what in scene.world.collision_objects:
            response.success &= self.put(what)
        self.note(world=self.world, attached=self.attached)
        return response

    def attach(self, attached: Any) -> bool:
        """As MoveIt does: what is detached is an object of the world again."""
        name = attached.object.id
        if attached.object.operation == CollisionObject.REMOVE:
            if name in self.attached:
                self.world[name] = self.attached.pop(name)
                return True
            return False
        assert attached.link_name in LINKS
        self.attached[name] = [*described(attached.object), *attached.touch_links]
        self.world.pop(name, None)
        return True

    def put(self, what: Any) -> bool:
        """MoveIt fails to remove what is not there."""
        if what.operation == CollisionObject.REMOVE:
            return self.world.pop(what.id, None) is not None
        self.world[what.id] = described(what)
        return True

    def plan(self, handle: Any) -> Any:
        request, result = handle.request.request, MoveGroup.Result()
        assert handle.request.planning_options.plan_only and request.start_state.is_diff
        (goal,) = request.goal_constraints
        if goal.joint_constraints:
            assert [joint.joint_name for joint in goal.joint_constraints] == JOINTS
            position, link, frame = [j.position for j in goal.joint_constraints], None, FRAME
        else:
            (where,), (how,) = goal.position_constraints, goal.orientation_constraints
            region = where.constraint_region
            point, q = region.primitive_poses[0].position, how.orientation
            position = [point.x, point.y, point.z, q.x, q.y, q.z, q.w]
            link, frame = where.link_name, where.header.frame_id
            assert (link, frame) == (how.link_name, how.header.frame_id)
            assert region.primitives[0].dimensions[0] > 0 and how.absolute_z_axis_tolerance > 0
        self.note(speed=request.max_velocity_scaling_factor)
        result.error_code = self.code("plan", request.group_name, link, frame)
        if result.error_code.val == SUCCESS:
            result.planned_trajectory = trajectory(position)
            handle.succeed()
        else:
            handle.abort()
        return result

    def execute(self, handle: Any) -> Any:
        result = ExecuteTrajectory.Result()
        points = handle.request.trajectory.joint_trajectory.points
        self.note(executing=True)
        behaviour = self.value("behaviour")
        if behaviour == "dies":
            time.sleep(MOTION_TIME / 2)
            os._exit(1)
        end = time.monotonic() + (1e6 if behaviour == "stuck" else MOTION_TIME)
        while time.monotonic() < end:
            time.sleep(0.01)
            if handle.is_cancel_requested:
                result.error_code.val = MoveItErrorCodes.PREEMPTED
                handle.canceled()
                self.note(executing=False)
                return result
        result.error_code = self.code("execute", GROUP, None, FRAME)
        if result.error_code.val == SUCCESS:
            self.note(at=list(points[-1].positions), executing=False)
            handle.succeed()
        else:
            handle.abort()
        return result

    def grip(self, handle: Any) -> Any:
        """As the Franka hand: takes the half of a width, and aborts where something is between."""
        is_there = self.move_finger(handle.request.command.position)
        (handle.succeed if is_there else handle.abort)()
        return GripperCommand.Result(position=2 * self.finger, reached_goal=is_there)

    def grip_parallel(self, handle: Any) -> Any:
        """As ros2_controllers do where stalling is allowed."""
        command = handle.request.command
        assert command.name == [FINGER] and command.effort[0] > 0
        is_there = self.move_finger(command.position[0])
        handle.succeed()
        return ParallelGripperCommand.Result(stalled=not is_there, reached_goal=is_there)

    def grip_by_trajectory(self, handle: Any) -> Any:
        (point,) = handle.request.trajectory.points
        assert handle.request.trajectory.joint_names == [FINGER]
        assert Duration.from_msg(point.time_from_start).nanoseconds > 0
        is_there = self.move_finger(point.positions[0])
        (handle.succeed if is_there else handle.abort)()
        return FollowJointTrajectory.Result()

    def move_finger(self, wanted: float) -> bool:
        assert 0 <= wanted <= 0.04 + 1e-9
        if not self.value("jammed"):
            self.finger = max(wanted, self.value("between") / 2)
        return abs(self.finger - wanted) < 1e-6

    def stop(self, message: String) -> None:
        assert message.data == "stop"
        self.note(stops=self.account["stops"] + 1)

    def tell(self) -> None:
        names = [FINGER, "fr3_finger_joint2"]
        self.joints.publish(JointState(name=names, position=[self.finger] * 2))


def numbers(pose: Any) -> list[float]:
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]


def described(what: Any) -> list[Any]:
    """A collision object made of boxes of the same size: frame, centres, and that size."""
    (size,) = {tuple(box.dimensions) for box in what.primitives}
    assert len(what.primitives) == len(what.primitive_poses)
    p = what.pose.position
    centres = [numbers(pose)[:3] for pose in what.primitive_poses]
    centres = [[x + p.x, y + p.y, z + p.z] for x, y, z in centres]
    return [what.header.frame_id, centres, list(size)]


def trajectory(positions: list[float]) -> RobotTrajectory:
    solution = RobotTrajectory()
    solution.joint_trajectory.joint_names = JOINTS
    time_from_start = Duration(seconds=MOTION_TIME).to_msg()
    solution.joint_trajectory.points = [
        JointTrajectoryPoint(positions=positions, time_from_start=time_from_start)
    ]
    return solution


if __name__ == "__main__":
    rclpy.init()
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(MoveGroupNode())
    print("ready", flush=True)
    executor.spin()
