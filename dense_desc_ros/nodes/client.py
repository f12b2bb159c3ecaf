"""The node seen from another process: starting it, being its camera, user and watcher."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_interfaces.msg import GraspArray
from dense_desc_interfaces.srv import (
    ComputeGrasp,
    ListReferences,
    RegisterReference,
    RemoveReference,
)
from dense_desc_ros.data.messages import camera_to_message, depth_to_message, image_to_message
from dense_desc_ros.nodes.conversions import header_of
from dense_desc_ros.rgbd_frame import RgbdFrame

SERVICES = {
    "register_reference": RegisterReference,
    "list_references": ListReferences,
    "remove_reference": RemoveReference,
    "compute_grasp": ComputeGrasp,
}
CAMERA_TOPICS = {
    "color": ("color/image_raw", Image),
    "depth": ("aligned_depth_to_color/image_raw", Image),
    "camera_info": ("color/camera_info", CameraInfo),
}


def start_node(
    parameters: Mapping[str, object], arguments: tuple[str, ...] = (), **popen: Any
) -> subprocess.Popen[str]:
    """Start the node as a process of its own.

    Args:
        parameters: of the node; values as YAML writes them.
        arguments: further ones after --ros-args, such as ("-r", "__ns:=/left").
        popen: further arguments of subprocess.Popen.
    """
    command = [sys.executable, "-m", "dense_desc_ros.nodes.descriptor_node", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen([*command, *arguments], text=True, **popen)


def frame_messages(frame: RgbdFrame) -> dict[str, Any]:
    """What a camera publishes for a frame, under the keys of CAMERA_TOPICS."""
    header = header_of(frame)
    return {
        "color": image_to_message(Image, header, frame.image),
        "depth": depth_to_message(Image, header, frame.depth),
        "camera_info": camera_to_message(CameraInfo, header, frame.camera),
    }


class DescriptorClient:
    """Publishes frames to a running node, calls its services and remembers what it publishes.

    Its own ROS node runs while one of the methods waits.

    Args:
        name: full name of the node.
        camera: namespace of the camera topics.

    Attributes:
        name: see above.
        grasps: the last GraspArray messages.
        state: the last DiagnosticStatus, None before the first.
    """

    def __init__(self, name: str = "/descriptor_node", camera: str = "/camera") -> None:
        self.node = Node("descriptor_client")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.name = name
        self._services = {
            key: self.node.create_client(kind, f"{name}/{key}") for key, kind in SERVICES.items()
        }
        self._publishers = {
            key: self.node.create_publisher(kind, f"{camera}/{topic}", QoSProfile(depth=1))
            for key, (topic, kind) in CAMERA_TOPICS.items()
        }
        self.grasps: deque[GraspArray] = deque(maxlen=100)
        self.state: DiagnosticStatus | None = None
        self.node.create_subscription(GraspArray, f"{name}/grasps", self._remember_grasps, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._remember_state, 10)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self.node.destroy_node()

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Let messages in until a condition holds.

        Raises:
            TimeoutError: it did not within `timeout` seconds; `what` says what was waited for.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {timeout:g} s for {what} of {self.name}")
            self._executor.spin_once(timeout_sec=0.05)

    def wait_until_connected(self, timeout: float = 60.0) -> None:
        """Wait until the node offers its services and receives what is published here."""
        services, outputs = self._services.values(), self._publishers.values()
        self.wait(lambda: all(s.service_is_ready() for s in services), "the services", timeout)
        self.wait(
            lambda: all(p.get_subscription_count() for p in outputs), "the subscriptions", timeout
        )

    def publish(self, messages: Mapping[str, Any]) -> None:
        """Publish messages under the keys of CAMERA_TOPICS, as `frame_messages` makes them."""
        for key, message in messages.items():
            self._publishers[key].publish(message)

    def grasps_in(self, frame: RgbdFrame, timeout: float = 30.0, retry: float = 5.0) -> GraspArray:
        """Publish a frame, again when it gets lost, and return what the node finds in it."""
        messages, stamp = frame_messages(frame), header_of(frame).stamp

        def found() -> GraspArray | None:
            return next((g for g in self.grasps if g.header.stamp == stamp), None)

        end = time.monotonic() + timeout
        while (grasps := found()) is None:
            self.publish(messages)
            try:
                self.wait(lambda: found() is not None, "grasps", retry)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
        return grasps

    def call(self, service: str, timeout: float = 30.0, **request: Any) -> Any:
        """Call one of SERVICES with the fields of its request, and return the response."""
        future = self._services[service].call_async(SERVICES[service].Request(**request))
        self.wait(future.done, f"an answer of {service}", timeout)
        return future.result()

    def values(self) -> dict[str, str]:
        """The values of the last diagnostic status."""
        return {} if self.state is None else {item.key: item.value for item in self.state.values}

    def _remember_grasps(self, array: GraspArray) -> None:
        self.grasps.append(array)

    def _remember_state(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(f"{self.name}:"):
                self.state = status
