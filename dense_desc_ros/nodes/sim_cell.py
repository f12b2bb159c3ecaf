"""The simulated cell as a node: what its camera and joints tell, and an arm that can be moved."""

import math
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from dense_desc_interfaces.action import MoveArm, MoveGripper
from dense_desc_interfaces.srv import ResetCell
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.nodes.cell_loop import CellLoop
from dense_desc_ros.nodes.cell_topics import CellTopics
from dense_desc_ros.nodes.conversions import pose_matrix
from dense_desc_ros.nodes.declaring import declare
from dense_desc_ros.nodes.process import initialise, log_refused, told_by_signals, turn
from dense_desc_ros.nodes.shared_memory import make_room_for_images
from dense_desc_ros.nodes.sim_cell_parameters import CellParameters
from dense_desc_ros.picking.arm import ArmError, ArmFailure, GripperState
from dense_desc_ros.sim.arm import SimArm
from dense_desc_ros.sim.cell import Cell

if TYPE_CHECKING:
    from dense_desc_ros.sim.viewer import CellViewer

NODE_NAME = "sim_cell"
FEEDBACK_PERIOD = 0.2  # simulated s
THREADS = 4  # of the executor: two actions, what cancels them, and the service


class SimCellNode(Node):
    """Publishes what `CellTopics` tells, and moves the arm by actions."""

    def __init__(self) -> None:
        super().__init__(NODE_NAME)
        self._settings = declare(self, CellParameters)
        self._topics = CellTopics(self, self._settings.base_frame)
        self._moving = threading.Lock()
        self._loop = CellLoop(
            self._settings.cell,
            self._settings.real_time_factor,
            1 / self._settings.frame_rate,
            self._tick,
            self._topics.tell_frame,
        )
        self._viewer: CellViewer | None = None

    def start(self) -> None:
        """Build the cell and its first scene, then offer what it can do.

        Raises:
            DenseDescError: this machine cannot render, or has no display for the viewer, or
                there is no such scene.
        """
        first = self._settings
        self._loop.start(
            lambda cell: cell.reset(
                first.seed, first.category, first.instances, first.distractors, first.first
            )
        )
        if first.viewer:
            from dense_desc_ros.sim.viewer import CellViewer  # needs libraries of a desktop

            self._viewer = CellViewer()
        group = ReentrantCallbackGroup()
        self._servers = [
            ActionServer(
                self,
                kind,
                name,
                execute_callback=partial(self._execute, run, kind),
                goal_callback=self._accept,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
                callback_group=group,
            )
            for kind, name, run in (
                (MoveArm, "~/move_arm", self._move_arm),
                (MoveGripper, "~/move_gripper", self._move_gripper),
            )
        ]
        self.create_service(ResetCell, "~/reset", self._reset, callback_group=group)
        self.get_logger().info("the cell is ready")

    def close(self) -> None:
        """End the motion under way, and the cell."""
        self._loop.close()
        if self._viewer is not None:
            self._viewer.close()

    # What is asked of the cell. All of this ends on the cell's own thread.

    def _accept(self, goal: Any) -> GoalResponse:
        if not self._moving.acquire(blocking=False):
            self.get_logger().warning("a motion is refused: another one is under way")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _execute(
        self,
        run: Callable[[ServerGoalHandle, SimArm, Callable[[], bool]], dict[str, Any]],
        kind: Any,
        handle: ServerGoalHandle,
    ) -> Any:
        def cancelled() -> bool:
            return bool(handle.is_cancel_requested) or self._loop.is_ending

        try:
            done = self._loop.do(lambda cell: run(handle, self._arm(cell, handle), cancelled))
            handle.succeed()
            return kind.Result(success=True, **done)
        except ArmError as error:
            if error.failure is ArmFailure.CANCELLED and handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
            return kind.Result(success=False, failure=error.failure.value, message=str(error))
        finally:
            self._moving.release()

    def _move_arm(
        self, handle: ServerGoalHandle, arm: SimArm, cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        goal = handle.request
        if goal.motion == MoveArm.Goal.HOME:
            arm.go_home(goal.speed, cancelled)
            return {}
        pose = _pose(goal.pose)
        if goal.motion == MoveArm.Goal.CHECK:
            arm.check(pose)
        elif goal.motion == MoveArm.Goal.FREE:
            arm.move_to(pose, goal.speed, cancelled)
        elif goal.motion == MoveArm.Goal.STRAIGHT:
            arm.move_straight(pose, goal.speed, cancelled)
        else:
            raise ArmError(ArmFailure.NO_PLAN, f"there is no motion {goal.motion}: see MoveArm")
        return {}

    def _move_gripper(
        self, handle: ServerGoalHandle, arm: SimArm, cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        state: GripperState = arm.move_gripper(handle.request.width, cancelled)
        return {"width": state.width, "stalled": state.stalled}

    def _arm(self, cell: Cell, handle: ServerGoalHandle) -> SimArm:
        """The arm, which tells how it is getting on while time goes on."""
        told = -math.inf

        def advance(seconds: float) -> None:
            nonlocal told
            self._loop.advance(seconds)
            if cell.time - told >= FEEDBACK_PERIOD and self.context.ok():
                told = cell.time
                handle.publish_feedback(_feedback(arm, handle.request))

        arm = SimArm(cell, advance)
        return arm

    def _reset(
        self, request: ResetCell.Request, response: ResetCell.Response
    ) -> ResetCell.Response:
        settings = self._settings
        if not self._moving.acquire(blocking=False):
            response.message = "the arm is moving: cancel that first"
            return response

        def reset(cell: Cell) -> None:
            cell.reset(
                request.seed,
                category=request.category or settings.category,
                instances=request.instances or settings.instances,
                distractors=request.distractors,
                first=request.first,
            )
            self._topics.tell_truth(cell)

        try:
            self._loop.do(reset)
            response.success = True
        except DenseDescError as error:
            response.message = str(error)
        finally:
            self._moving.release()
        return response

    # What the cell tells. On the cell's own thread.

    def _tick(self, cell: Cell) -> None:
        self._topics.tell_state(cell)
        if self._viewer is not None:
            self._viewer.show(cell)


def _feedback(arm: SimArm, goal: Any) -> Any:
    if isinstance(goal, MoveGripper.Goal):
        return MoveGripper.Feedback(width=arm.gripper().width)
    if goal.motion == MoveArm.Goal.HOME:
        return MoveArm.Feedback(distance=math.nan)
    p = goal.pose.position
    return MoveArm.Feedback(distance=math.dist(arm.T_base_grasp[:3, 3], (p.x, p.y, p.z)))


def _pose(message: Any) -> FloatArray:
    try:
        return pose_matrix(message)
    except DenseDescError as error:
        raise ArmError(ArmFailure.UNREACHABLE, str(error)) from error


def main(arguments: list[str] | None = None) -> int:
    """Run the cell until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    with told_by_signals() as told:
        try:
            make_room_for_images()
            initialise(arguments)
            node = SimCellNode()
            with closing(node):
                node.start()
                executor = MultiThreadedExecutor(THREADS)
                executor.add_node(node)
                while not told.is_set():
                    turn(executor, partial(log_refused, node))
        except (DenseDescError, ParameterException) as error:
            print(f"{NODE_NAME}: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
