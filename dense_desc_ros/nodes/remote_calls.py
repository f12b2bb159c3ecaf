"""Actions and services of other nodes, called by a thread while another one spins the node.

Whatever the other side does, each call ends in time, with its answer or an ArmError: CONNECTION
where nobody answers, CANCELLED where the caller asked for it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future

from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled

POLL = 0.02  # s between two questions whether to go on
STATUS_NAMES = {
    GoalStatus.STATUS_CANCELED: "cancelled by somebody else",
    GoalStatus.STATUS_ABORTED: "aborted",
    GoalStatus.STATUS_UNKNOWN: "unknown to the server, which has perhaps been restarted",
}


@dataclass(frozen=True)
class Patience:
    """How long to wait, seconds: for a server to be there, and for each of its answers."""

    server: float = 5.0
    answer: float = 5.0


@dataclass(frozen=True)
class Answer:
    """The result of an action, and a text that says how its goal ended; "" if it succeeded."""

    result: Any
    ending: str


def never() -> bool:
    """Of what cannot be cancelled."""
    return False


class ServiceCaller:
    """A service of another node.

    Args:
        node: calls; is spun by another thread.
        kind: type of the service.
        name: of the service.
        patience: see there.
    """

    def __init__(self, node: Node, kind: Any, name: str, patience: Patience) -> None:
        self._node, self._patience = node, patience
        self._client = node.create_client(kind, name)

    def call(
        self, request: Any, cancelled: Cancelled = never, answer_within: float | None = None
    ) -> Any:
        """The response. Raises ArmError: CONNECTION or CANCELLED."""
        name = f"the service {self._client.service_name}"
        wait_for(
            self._client.service_is_ready, self._patience.server, cancelled, f"{name} is not there"
        )
        future = self._client.call_async(request)
        limit = self._patience.answer if answer_within is None else answer_within
        try:
            wait_for(future.done, limit, cancelled, f"{name} does not answer")
        except ArmError:
            self._client.remove_pending_request(future)
            raise
        return future.result()

    def close(self) -> None:
        self._node.destroy_client(self._client)


class ActionCaller:
    """An action of another node, with one goal at a time.

    Arguments as for ServiceCaller.
    """

    def __init__(self, node: Node, kind: Any, name: str, patience: Patience) -> None:
        self.name = name
        self._patience = patience
        self._client = ActionClient(node, kind, name)
        self._goal: Any = None  # handle of the goal under way
        self._last_heard = 0.0

    def call(
        self,
        goal: Any,
        cancelled: Cancelled,
        end_within: float,
        heard_within: float | None = None,
        feedback: Callable[[Any], None] | None = None,
    ) -> Answer:
        """Send a goal and wait for its end.

        Args:
            goal: to send.
            cancelled: once true, the goal is cancelled, and its end is waited for.
            end_within: seconds that it may take.
            heard_within: seconds that may pass without feedback; None: any number.
            feedback: is told the feedback.

        Raises:
            ArmError: CONNECTION, CANCELLED, or EXECUTION where the goal is refused.
        """
        server = f"the action {self.name}"
        wait_for(
            self._client.server_is_ready, self._patience.server, cancelled, f"{server} is not there"
        )

        def hear(message: Any) -> None:
            self._last_heard = time.monotonic()
            if feedback:
                feedback(message.feedback)

        sending = self._client.send_goal_async(goal, feedback_callback=hear)
        try:
            # Not cancelled, as that needs to know whether the goal was accepted.
            wait_for(sending.done, self._patience.answer, never, f"{server} does not answer")
        except ArmError:
            sending.add_done_callback(_cancel_late)
            raise
        self._goal = sending.result()
        if not self._goal.accepted:
            raise ArmError(ArmFailure.EXECUTION, f"{server} refuses the goal")
        try:
            return self._wait_for_end(
                self._goal.get_result_async(), cancelled, end_within, heard_within
            )
        finally:
            self._goal = None

    def cancel(self) -> None:
        """Cancel the goal under way, if any, without waiting; from any thread."""
        if (goal := self._goal) is not None:
            with suppress(Exception):  # the context may be gone, and with it the goal
                goal.cancel_goal_async()

    def close(self) -> None:
        self._client.destroy()

    def _wait_for_end(
        self, ending: Future, cancelled: Cancelled, end_within: float, heard_within: float | None
    ) -> Answer:
        server = f"the action {self.name}"
        self._last_heard = start = time.monotonic()
        is_cancelled = False
        while not ending.done():
            now = time.monotonic()
            if not is_cancelled and cancelled():
                self.cancel()
                is_cancelled, start, end_within = True, now, self._patience.answer
            problem = ""
            if not self._client.server_is_ready():
                problem = f"{server} has gone"
            elif now - start > end_within:
                problem = f"{server} has not come to an end within {end_within:.1f} s"
            elif heard_within is not None and now - self._last_heard > heard_within:
                problem = f"nothing was heard of {server} for {heard_within:.1f} s"
            if problem:
                self.cancel()
                raise ArmError(ArmFailure.CONNECTION, problem)
            time.sleep(POLL)
        response = ending.result()
        # Another thread may have cancelled the goal, see `cancel`, before that was noticed here.
        was_ended = response.status == GoalStatus.STATUS_CANCELED and cancelled()
        if is_cancelled or was_ended:
            raise ArmError(ArmFailure.CANCELLED, "cancelled")
        if response.status == GoalStatus.STATUS_SUCCEEDED:
            return Answer(response.result, "")
        return Answer(response.result, STATUS_NAMES.get(response.status, "without an end"))


def _cancel_late(sending: Future) -> None:
    """Cancel a goal that was accepted when nobody waited for that any more."""
    if (goal := sending.result()) is not None and goal.accepted:
        goal.cancel_goal_async()


def wait_for(
    condition: Callable[[], bool], limit: float, cancelled: Cancelled, complaint: str
) -> None:
    """Wait until a condition holds.

    Raises:
        ArmError: CANCELLED, or CONNECTION if it does not hold within `limit` seconds.
    """
    end = time.monotonic() + limit
    while not condition():
        if cancelled():
            raise ArmError(ArmFailure.CANCELLED, "cancelled")
        if time.monotonic() > end:
            raise ArmError(ArmFailure.CONNECTION, f"{complaint} (waited {limit:.1f} s)")
        time.sleep(POLL)
