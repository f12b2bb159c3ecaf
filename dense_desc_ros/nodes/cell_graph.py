"""The simulated cell, the node that sees and the node that picks in a graph of their own."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from dense_desc_interfaces.action import Pick
from dense_desc_interfaces.msg import CellTruth, Pixel
from dense_desc_interfaces.srv import ResetCell
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.messages import frame_from_messages, image_from_message, stamp_to_ns
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.picks.teaching import Click
from dense_desc_ros.grasp_messages import pose_matrix
from dense_desc_ros.nodes.client import CAMERA_TOPICS, DescriptorClient
from dense_desc_ros.nodes.conversions import pose_message
from dense_desc_ros.nodes.graph import ended, running_node
from dense_desc_ros.rgbd_frame import RgbdFrame

BASE = "base_link"
TIMEOUT = 180.0  # s that a slow machine gets for an answer
PICK_PARAMETERS = {
    "use_sim_time": "true",
    "speed": 0.5,
    "straight_speed": 0.15,
    "max_age": 5.0,
    "silence_timeout": 30.0,  # planning, and rendering on a slow machine
    "answer_timeout": 30.0,
    "motion_timeout": 300.0,
    "look_timeout": 60.0,
}
CELL, PICK = "dense_desc_ros.nodes.sim_cell", "dense_desc_ros.nodes.pick_node"


class PlacedObject(NamedTuple):
    """An object of the cell: its number, pose (4, 4), and points (3,) by name, base frame."""

    number: int
    T_base_object: FloatArray
    points: dict[str, FloatArray]


class CellUser:
    """Uses the three nodes as a person would; and knows the truth, to judge them by.

    Args:
        client: of the descriptor node, in whose graph the others are.
        film: is given pictures (H, W, 3) RGB of the whole cell as they come in; None: is not made.
    """

    def __init__(
        self, client: DescriptorClient, film: Callable[[npt.NDArray[np.uint8]], object] | None
    ) -> None:
        self.client, node = client, client.node
        self._newest: dict[str, Any] = {}
        self._poses: dict[int, FloatArray] = {}
        self.truth: CellTruth | None = None
        self._reset = node.create_client(ResetCell, "/sim_cell/reset")
        self._pick = ActionClient(node, Pick, "/pick_node/pick")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(CellTruth, "/sim_cell/truth", self._remember_truth, latched)
        node.create_subscription(
            PoseStamped, "/camera/pose", self._remember_pose, QoSProfile(depth=100)
        )
        for key, (topic, kind) in CAMERA_TOPICS.items():
            node.create_subscription(
                kind, f"/camera/{topic}", self._remembering(key), QoSProfile(depth=1)
            )
        if film is not None:
            node.create_subscription(
                Image,
                "/sim_cell/outside",
                lambda message: film(image_from_message(message)),
                QoSProfile(depth=1),
            )

    def wait_until_connected(self) -> None:
        """Wait until all three nodes answer."""
        self.client.wait(self._reset.service_is_ready, "the cell's service", TIMEOUT)
        self.client.wait(self._pick.server_is_ready, "the pick action", TIMEOUT)
        self.client.wait_until_connected(TIMEOUT)

    def reset(self, **request: Any) -> None:
        """Have new objects on the table; fields as in ResetCell.srv.

        Raises:
            DenseDescError: there is no such scene.
        """
        future = self._reset.call_async(ResetCell.Request(**request))
        self.client.wait(future.done, "a new scene", TIMEOUT)
        if not future.result().success:
            raise DenseDescError(f"the cell has no such scene: {future.result().message}")
        self._newest.clear()
        self.see_anew()

    def see(self) -> tuple[RgbdFrame, FloatArray]:
        """The newest frame, and the camera's pose (4, 4) in the base frame."""
        self.client.wait(lambda: self._frame_since(0) is not None, "a frame", TIMEOUT)
        frame = self._frame_since(0)
        assert frame is not None
        return frame, self._poses[frame.stamp_ns]

    def see_anew(self) -> None:
        """Wait for a frame, and the truth, of a time that is not over yet."""
        now = 0 if self.truth is None else stamp_to_ns(self.truth.header.stamp)
        self.client.wait(lambda: self._frame_since(now + 1) is not None, "a frame", TIMEOUT)

    def objects(self) -> list[PlacedObject]:
        """Where the objects truly are."""
        self.client.wait(lambda: self.truth is not None, "the truth", TIMEOUT)
        assert self.truth is not None
        return [
            PlacedObject(
                each.number,
                pose_matrix(each.pose),
                {
                    name: np.array([point.x, point.y, point.z])
                    for name, point in zip(each.point_names, each.points, strict=True)
                },
            )
            for each in self.truth.objects
        ]

    def register(self, name: str, clicked: Click, opening_width: float) -> None:
        """Register a click on the newest frame with its grasp.

        Raises:
            DenseDescError: the node refuses it.
        """
        answer = self.client.call(
            "register_reference",
            TIMEOUT,
            name=name,
            pixel=Pixel(u=float(clicked.pixel[0]), v=float(clicked.pixel[1])),
            image=self._newest["color"],
            depth=self._newest["depth"],
            camera_info=self._newest["camera_info"],
            has_grasp=True,
            grasp=pose_message(clicked.T_point_grasp),
            opening_width=opening_width,
        )
        if not answer.success:
            raise DenseDescError(f"{name} was not registered: {answer.message}")

    def pick(self, **goal: Any) -> Any:
        """Pick, and wait for the result; fields as in Pick.action.

        Raises:
            DenseDescError: the goal is not accepted.
        """
        sent = self._pick.send_goal_async(Pick.Goal(**goal))
        self.client.wait(sent.done, "an answer of the pick node", TIMEOUT)
        if not sent.result().accepted:
            raise DenseDescError("the pick node does not accept a goal")
        ending = sent.result().get_result_async()
        self.client.wait(ending.done, "the end of a pick", TIMEOUT)
        return ending.result().result

    def _frame_since(self, stamp_ns: int) -> RgbdFrame | None:
        """The newest frame whose pose is known, if it is not older than a stamp."""
        if len(self._newest) < len(CAMERA_TOPICS):
            return None
        stamps = [stamp_to_ns(self._newest[key].header.stamp) for key in ("color", "depth")]
        if stamps[0] != stamps[1] or stamps[0] < stamp_ns or stamps[0] not in self._poses:
            return None
        return frame_from_messages(
            self._newest["color"], self._newest["depth"], self._newest["camera_info"]
        )

    def _remembering(self, key: str) -> Callable[[Any], None]:
        def remember(message: Any) -> None:
            self._newest[key] = message

        return remember

    def _remember_pose(self, message: PoseStamped) -> None:
        self._poses[stamp_to_ns(message.header.stamp)] = pose_matrix(message.pose)

    def _remember_truth(self, message: CellTruth) -> None:
        self.truth = message


@contextmanager
def running_cell(
    weights: Path,
    folder: Path,
    cell: Mapping[str, object],
    film: Callable[[npt.NDArray[np.uint8]], object] | None = None,
) -> Iterator[CellUser]:
    """The three nodes, each a process, and their user, in a graph that no robot takes part in.

    Args:
        weights: of the model.
        folder: for references and logs.
        cell: parameters of the cell.
        film: see CellUser.

    Raises:
        DenseDescError: something was waited for in vain.
    """
    parameters = {
        "weights": weights,
        "references": folder / "references",
        "base_frame": BASE,
        "camera_pose_topic": "/camera/pose",
        "gripper_max_width": 0.0,  # its fingers may sink into the mat, so what is seen is no bound
        "use_sim_time": "true",
    }
    with running_node(parameters, folder / "descriptor_node.log") as client, ExitStack() as stack:
        for module, given in ((CELL, cell), (PICK, PICK_PARAMETERS)):
            stack.enter_context(_running(module, given, folder))
        yield CellUser(client, film)


@contextmanager
def _running(module: str, parameters: Mapping[str, object], folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", module, "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    with (folder / f"{module.rpartition('.')[2]}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
        with ended(process):
            yield
