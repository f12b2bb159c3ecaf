"""The node that picks, as a process, and its user."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geometry_msgs.msg
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.node import Node
from scripted_cell import BASE, PLACE
from std_msgs.msg import Header

from dense_desc_interfaces.action import Pick
from dense_desc_ros.grasp_messages import pose_message

CONFIG = Path(__file__).resolve().parents[1] / "config"
TIMEOUT = 30.0  # s that a busy machine gets


def wait(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


class User(Node):
    """Sends goals to the node and remembers what it tells."""

    def __init__(self) -> None:
        super().__init__("pick_user")
        self.action = ActionClient(self, Pick, "pick_node/pick")
        self.phases: list[str] = []
        self.state: Any = None
        self.create_subscription(DiagnosticArray, "/diagnostics", self._remember, 10)

    def send(self, **goal: Any) -> Any:
        """The handle of a goal, as soon as it is accepted or not."""
        self.phases.clear()
        wait(self.action.server_is_ready, "the action of the pick node")
        wait(lambda: self.state, "diagnostics")  # then the node knows of this one as well
        sending = self.action.send_goal_async(
            Pick.Goal(**{"reference": "cap", **goal}), feedback_callback=self._hear
        )
        wait(sending.done, "an answer to a goal")
        return sending.result()

    def end_of(self, handle: Any) -> tuple[int, Any]:
        """The status and the result of a goal, once it ends."""
        ending = handle.get_result_async()
        wait(ending.done, "the end of a goal")
        return ending.result().status, ending.result().result

    def pick(self, **goal: Any) -> tuple[int, Any]:
        return self.end_of(self.send(**goal))

    def _hear(self, message: Any) -> None:
        if not self.phases or self.phases[-1] != message.feedback.phase:
            self.phases.append(message.feedback.phase)

    def _remember(self, array: Any) -> None:
        self.state = {item.key: item.value for item in array.status[0].values}


@contextmanager
def pick_node(
    *parameters: str, file: Path | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The node with these parameters, and those of a file."""
    command = [sys.executable, "-m", "dense_desc_ros.nodes.pick_node", "--ros-args"]
    if file:
        command += ["--params-file", str(file)]
    for parameter in ("look_pause:=0.05", *parameters):
        command += ["-p", parameter]
    output = log.open("w") if log else subprocess.DEVNULL
    process = subprocess.Popen(command, text=True, stderr=output, stdout=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def place(frame: str = BASE) -> dict[str, Any]:
    pose = pose_message(geometry_msgs.msg, PLACE)
    return {"has_place": True, "place": PoseStamped(header=Header(frame_id=frame), pose=pose)}
