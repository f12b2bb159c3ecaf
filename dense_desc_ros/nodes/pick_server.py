"""The node that picks: its action, done with an arm and the grasps of the descriptor node."""

import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from dense_desc_interfaces.action import Pick
from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.grasp_messages import pose_matrix
from dense_desc_ros.nodes.declaring import declare
from dense_desc_ros.nodes.grasp_look import GraspLook, grasp_message
from dense_desc_ros.nodes.remote_arm import RemoteArm, RemoteArmSettings
from dense_desc_ros.nodes.remote_calls import Patience
from dense_desc_ros.picking.arm import Arm
from dense_desc_ros.picking.pick import Candidate, Phase, PickError, PickGoal, PickResult, Reason
from dense_desc_ros.picking.picker import Picker
from dense_desc_ros.picking.settings import PickSettings, check_limits, setting

NODE_NAME = "pick_node"
FEEDBACK_PERIOD, DIAGNOSTICS_PERIOD = 0.2, 1.0  # s
SECONDS = (0.1, 600.0)


class ClosableArm(Arm, Protocol):
    """An arm that tells how far it is, metres or NaN, and that can be left alone."""

    distance: float

    def close(self) -> None: ...


@dataclass(frozen=True)
class PickNodeSettings:
    """With whom the node works. Raises InvalidInputError for values out of their limits."""

    arm: str = setting("remote", "What moves: remote (the simulated cell's actions) or moveit.")
    base_frame: str = setting("base_link", "Frame that grasps come in and the arm moves in; z up.")
    descriptor_node: str = setting("descriptor_node", "Name of the node that finds grasps.")
    look_timeout: float = setting(10.0, "For an answer of the descriptor node, s.", SECONDS)

    def __post_init__(self) -> None:
        check_limits(self)
        if self.arm not in ("remote", "moveit"):
            raise InvalidInputError(f"arm must be remote or moveit, got {self.arm!r}")
        if not self.base_frame:
            raise InvalidInputError("base_frame must be the name of the arm's base frame")


class PickNode(Node):
    """Answers goals of ~/pick, one at a time.

    Raises:
        InvalidInputError: parameters that cannot be used, or the messages of MoveIt are missing.
        rclpy.exceptions.ParameterException: a parameter of the wrong type or out of its range.
    """

    def __init__(self) -> None:
        super().__init__(NODE_NAME)
        self._settings = declare(self, PickNodeSettings)
        self._pick_settings = declare(self, PickSettings)
        self._arm = _arm(self, self._settings)
        self._look = GraspLook(
            self,
            self._settings.descriptor_node,
            self._settings.base_frame,
            Patience(self._settings.look_timeout, self._settings.look_timeout),
        )
        self._goal: Any = None  # handle of the one under way
        self._is_taken = self._is_ending = False
        self._picker: Picker | None = None
        self._phase = Phase.LOOKING
        self._grasp: Candidate | None = None
        self._ends: Counter[str] = Counter()
        self._last = "none yet"
        self._publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(FEEDBACK_PERIOD, self._tell, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=steady)
        self._server = ActionServer(
            self,
            Pick,
            "~/pick",
            execute_callback=self._execute,
            goal_callback=self._accept,
            handle_accepted_callback=self._take,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self.get_logger().info(f"ready to pick with the arm {self._settings.arm!r}")

    @property
    def is_picking(self) -> bool:
        return self._is_taken

    def halt(self) -> None:
        """Stop the arm where it is, for good; the pick under way ends, and none is begun."""
        self._is_ending = True
        if self._picker is not None:
            self._picker.halt()

    def release(self) -> None:
        """Leave the graph."""
        self._server.destroy()
        self._arm.close()
        self._look.close()
        self.destroy_node()

    def _accept(self, goal: Pick.Goal) -> GoalResponse:
        if self._is_ending or self._is_taken:
            why = "the node is ending" if self._is_ending else "another pick is under way"
            self.get_logger().warning(f"refused to pick {goal.reference!r}: {why}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _take(self, handle: Any) -> None:
        self._is_taken = True
        handle.execute()

    async def _execute(self, handle: Any) -> Pick.Result:
        """The pick is done by a thread of its own, while this one goes on answering."""
        done: Future = Future()
        threading.Thread(target=self._work, args=(handle, done), name="pick").start()
        try:
            result: PickResult = await done
        finally:
            self._goal, self._picker, self._is_taken = None, None, False
        self._remember(handle.request.reference, result)
        if result.success:
            handle.succeed()
        elif result.reason is Reason.CANCELLED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return Pick.Result(
            success=result.success,
            phase=result.phase.value,
            reason=result.reason.value if result.reason else "",
            message=result.message,
            has_grasp=result.grasp is not None,
            grasp=grasp_message(result.grasp),
            held=result.held,
            held_width=result.held_width,
        )

    def _work(self, handle: Any, done: Future) -> None:
        try:
            result = self._pick(handle)
        except PickError as error:
            result = PickResult(Phase.LOOKING, error.reason, str(error))
        except DenseDescError as error:
            result = PickResult(Phase.LOOKING, Reason.INVALID, str(error))
        except Exception as error:  # whatever it is, the user gets an answer, and the node lives
            self.get_logger().error(f"internal error: {error!r}")
            result = PickResult(self._phase, Reason.INTERNAL, f"internal error: {error!r}")
        done.set_result(result)
        if (executor := self.executor) is not None:
            executor.wake()

    def _pick(self, handle: Any) -> PickResult:
        def cancelled() -> bool:
            return self._is_ending or handle.is_cancel_requested

        self._phase, self._grasp = Phase.LOOKING, None
        self._goal = handle
        picker = Picker(
            self._arm,
            partial(self._look.look, cancelled=cancelled),
            self._pick_settings,
            lambda: self.get_clock().now().nanoseconds * 1e-9,
        )
        self._picker = picker
        if self._is_ending:
            picker.halt()
        return picker.pick(self._pick_goal(handle.request), self._begin, cancelled)

    def _pick_goal(self, goal: Pick.Goal) -> PickGoal:
        T_base_place = None
        if goal.has_place:
            if (frame := goal.place.header.frame_id) != self._settings.base_frame:
                raise PickError(
                    Reason.FRAME,
                    f"place must be in the frame {self._settings.base_frame!r}, got {frame!r}",
                )
            T_base_place = pose_matrix(goal.place.pose)
        return PickGoal(
            goal.reference,
            _given(goal.speed),
            _given(goal.approach_distance),
            _given(goal.retreat_distance),
            T_base_place,
            goal.dry_run,
        )

    def _begin(self, phase: Phase, grasp: Candidate | None) -> None:
        self._phase, self._grasp = phase, grasp
        self.get_logger().info(phase.value)
        self._tell()

    def _tell(self) -> None:
        """Send feedback while a pick is under way."""
        if (handle := self._goal) is not None:
            handle.publish_feedback(
                Pick.Feedback(
                    phase=self._phase.value,
                    grasp=grasp_message(self._grasp),
                    distance=self._arm.distance,
                )
            )

    def _remember(self, reference: str, result: PickResult) -> None:
        end = result.reason.value if result.reason else "success"
        self._ends[end] += 1
        self._last = f"{reference}: {end} when {result.phase.value}, {result.message}"
        if result.success:
            self.get_logger().info(self._last)
        else:
            self.get_logger().warning(self._last)

    def _diagnose(self) -> None:
        values = {
            "arm": self._settings.arm,
            "phase": self._phase.value if self._goal is not None else "idle",
            "picks": str(self._ends.total()),
            **{f"ended.{end}": str(count) for end, count in sorted(self._ends.items())},
            "last": self._last,
        }
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK,
            name=f"{self.get_fully_qualified_name()}: picking",
            message="picking" if self._goal is not None else "idle",
            hardware_id=self._settings.arm,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(array)


def _given(value: float) -> float | None:
    """A field of a goal, rounded from single precision; None where it is left as configured."""
    return None if value == 0 else round(value, 6)


def _arm(node: Node, settings: PickNodeSettings) -> ClosableArm:
    if settings.arm == "remote":
        return RemoteArm(node, declare(node, RemoteArmSettings))
    try:
        from dense_desc_ros.nodes.moveit_arm import MoveItArm
        from dense_desc_ros.nodes.moveit_settings import MoveItSettings
    except ImportError as error:
        raise InvalidInputError(
            f"arm is moveit, but {error.name} cannot be imported: install MoveIt 2 with "
            "`apt install ros-$ROS_DISTRO-moveit ros-$ROS_DISTRO-control-msgs`, and source the "
            "workspace before the node starts"
        ) from error
    return MoveItArm(node, declare(node, MoveItSettings), settings.base_frame)
