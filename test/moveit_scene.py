"""A scripted move_group in another process, and arms that use it; needs MoveIt's messages."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from scripted_cell import Spinning
from scripted_move_group import CONTROLS, FRAME

from dense_desc_ros.nodes.moveit_arm import MoveItArm
from dense_desc_ros.nodes.moveit_settings import MoveItSettings
from dense_desc_ros.nodes.remote_calls import Patience, ServiceCaller

SETTINGS = MoveItSettings(
    server_timeout=2.0,
    answer_timeout=2.0,
    planning_time=1.0,
    execution_margin=1.0,
)
QUIET = {**CONTROLS, "fraction": 1.0, "between": 0.0, "jammed": False, "behaviour": ""}


class MoveGroup:
    """The scripted move_group as a process, and what controls it."""

    def __init__(self, node: Node, namespace: str = "") -> None:
        script = Path(__file__).with_name("scripted_move_group.py")
        command = [sys.executable, script, "--ros-args", "-r", f"__ns:=/{namespace}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        patience, name = Patience(10.0, 10.0), f"/{namespace}/move_group".replace("//", "/")
        self._set = ServiceCaller(node, SetParameters, f"{name}/set_parameters", patience)
        self._get = ServiceCaller(node, GetParameters, f"{name}/get_parameters", patience)

    def set(self, **values: Any) -> None:
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        results = self._set.call(SetParameters.Request(parameters=parameters)).results
        assert all(result.successful for result in results), results

    def account(self) -> dict[str, Any]:
        (value,) = self._get.call(GetParameters.Request(names=["account"])).values
        return json.loads(value.string_value)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Graph:
    """The move_group, and arms that use it."""

    def __init__(self) -> None:
        node = Node("controls")
        self.group = MoveGroup(node)
        self.spinning = Spinning(node)

    def arm(self, frame: str = FRAME, **values: Any) -> MoveItArm:
        """An arm with a node of its own."""
        node = Node("arm_user")
        arm = MoveItArm(node, replace(SETTINGS, **values), frame)
        self.spinning.add(node)
        return arm
