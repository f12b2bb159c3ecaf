"""The cell around the node that picks: a descriptor node and an arm, real to ROS, scripted inside.

Run as a program it is a process of its own, which can be killed.
"""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import geometry_msgs.msg
import rclpy
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from scripted_arm import ScriptedArm, pose_above

from dense_desc_interfaces.action import MoveArm, MoveGripper
from dense_desc_interfaces.msg import Grasp, Refusal
from dense_desc_interfaces.srv import ComputeGrasp
from dense_desc_ros.grasp_messages import pose_matrix, pose_message
from dense_desc_ros.picking.arm import ArmError, ArmFailure

BASE = "base_link"
GRASP, PLACE = pose_above(0.5, 0.1, 0.02), pose_above(0.4, -0.3, 0.02)
STEP_TIME = 0.01  # s
MOTIONS = {
    MoveArm.Goal.FREE: "move_to",
    MoveArm.Goal.STRAIGHT: "move_straight",
    MoveArm.Goal.HOME: "go_home",
    MoveArm.Goal.CHECK: "check",
}


class ScriptedCell(Node):
    """Answers all that the pick node asks.

    Attributes:
        arm: as it is now; renewed by `reset`.
        stuck: name of a motion and how many such come before it: it only ends when cancelled.
        motions: how many were begun, of each name; of the fingers those away from home.
        frame_id, age: of what is seen; s.
        sees: whether the object is found at all.
    """

    def __init__(self) -> None:
        super().__init__("scripted_cell")
        self.reset()
        group = ReentrantCallbackGroup()
        self._servers = [
            ActionServer(
                self,
                kind,
                f"sim_cell/{name}",
                execute_callback=lambda handle, kind=kind: self._execute(kind, handle),
                cancel_callback=lambda _: CancelResponse.ACCEPT,
                callback_group=group,
            )
            for kind, name in ((MoveArm, "move_arm"), (MoveGripper, "move_gripper"))
        ]
        self.create_service(
            ComputeGrasp, "descriptor_node/compute_grasp", self._compute, callback_group=group
        )

    def reset(self) -> None:
        supports = [GRASP[:3, 3].copy(), PLACE[:3, 3].copy()]
        self.arm = ScriptedArm(supports[0].copy(), supports)
        self.stuck = ("none", 0)
        self.motions: Counter[str] = Counter()
        self.frame_id, self.age, self.sees = BASE, 0.0, True
        self.speeds: list[float] = []

    def _compute(
        self, request: ComputeGrasp.Request, response: ComputeGrasp.Response
    ) -> ComputeGrasp.Response:
        stamp = self.get_clock().now() - rclpy.duration.Duration(seconds=self.age)
        response.success = True
        response.grasps.header.stamp = stamp.to_msg()
        response.grasps.header.frame_id = self.frame_id
        for name in request.names:
            grasp = Grasp(name=name, method="registered", score=0.8, opening_width=float("nan"))
            grasp.pose.header = response.grasps.header
            pose = pose_message(geometry_msgs.msg, pose_above(*self.arm.object_at))
            if not self.sees:
                pose.orientation.w = 7.0  # no rotation
                response.grasps.refusals.append(Refusal(name=name, reason="it is hidden"))
            grasp.pose.pose = pose
            grasp.around = [float(x) for x in self.arm.object_at]
            response.grasps.grasps.append(grasp)
        return response

    def _execute(self, kind: Any, handle: Any) -> Any:
        goal, result = handle.request, kind.Result()
        name = MOTIONS[goal.motion] if kind is MoveArm else "move_gripper"
        counts = name != "check" and not (name == "move_gripper" and self.arm.is_home)
        is_stuck = counts and (name, self.motions[name]) == self.stuck
        self.motions[name] += counts

        def cancelled() -> bool:
            """Asked at each step of a motion, which takes its time and is told of."""
            while True:
                time.sleep(STEP_TIME)
                handle.publish_feedback(kind.Feedback())
                if handle.is_cancel_requested or not self.context.ok():
                    return True
                if not is_stuck:
                    return False

        try:
            if kind is MoveGripper:
                state = self.arm.move_gripper(goal.width, cancelled)
                result.width, result.stalled = state.width, state.stalled
            else:
                self._move(goal, cancelled)
            result.success = True
            handle.succeed()
        except ArmError as error:
            result.failure, result.message = error.failure.value, str(error)
            (handle.canceled if error.failure is ArmFailure.CANCELLED else handle.abort)()
        return result

    def _move(self, goal: Any, cancelled: Callable[[], bool]) -> None:
        if goal.motion == MoveArm.Goal.HOME:
            return self.arm.go_home(goal.speed, cancelled)
        pose = pose_matrix(goal.pose)
        if goal.motion == MoveArm.Goal.CHECK:
            return self.arm.check(pose)
        self.speeds.append(goal.speed)
        straight = goal.motion == MoveArm.Goal.STRAIGHT
        return (self.arm.move_straight if straight else self.arm.move_to)(
            pose, goal.speed, cancelled
        )


class Spinning:
    """Spins nodes in a thread of its own; whatever a node consists of has to be made before."""

    def __init__(self, *nodes: Node) -> None:
        self._executor = MultiThreadedExecutor(num_threads=4)
        for node in nodes:
            self.add(node)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, node: Node) -> None:
        self._executor.add_node(node)

    def end(self) -> None:
        rclpy.try_shutdown()  # which also ends what is stuck
        self._thread.join()
        self._executor.shutdown()

    def _run(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()


if __name__ == "__main__":
    rclpy.init()
    cell = ScriptedCell()
    cell.stuck = (sys.argv[1], 0)
    print("ready", flush=True)
    Spinning(cell)
    threading.Event().wait()
