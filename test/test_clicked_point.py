"""Clicks into RViz's point cloud, over the real topic, become references."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped
from known_scene import pose
from local_scene import CAMERA, DEPTH, local_model, scene
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.nodes.clicked_point import NAME_PARAMETER, TOPIC, ClickedPoints
from dense_desc_ros.nodes.conversions import point_message
from dense_desc_ros.nodes.health import Health
from dense_desc_ros.pipeline import FrameResult, GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.rgbd_frame import RgbdFrame

T_base_camera = pose(0.4, 0.1, 1.2, (2.5, 0.4, 0.3))
CLICK = (121.0, 90.0)


@dataclass
class Backend:
    """What the node does for clicks, on this thread."""

    pipeline: GraspPipeline
    pose: FloatArray | None = None
    result: FrameResult | None = None
    health: Health = field(default_factory=Health)

    def run(self, work: Callable[[], Any]) -> Any:
        return work()

    def newest(self) -> FrameResult:
        if self.result is None:
            raise InvalidInputError("no frame has been processed yet")
        return self.result

    def camera_pose(self, frame: RgbdFrame) -> tuple[str, FloatArray | None]:
        return (frame.frame_id if self.pose is None else "base"), self.pose


@dataclass
class Clicker:
    """Clicks as RViz does, and waits until that had its effect."""

    backend: Backend
    node: Node
    spin: Callable[[], None]
    capture: pytest.CaptureFixture[str]

    def click(self, point: FloatArray, frame_id: str) -> str:
        """What the node logs of it."""
        publisher = self.node.create_publisher(PointStamped, TOPIC, 5)  # reliable, as RViz's
        while not publisher.get_subscription_count():
            self.spin()
        self.capture.readouterr()
        header = Header(frame_id=frame_id)
        publisher.publish(PointStamped(header=header, point=point_message(point)))
        said = ""
        while "click" not in said:
            self.spin()
            said += self.capture.readouterr().err
        self.node.destroy_publisher(publisher)
        return said

    def names(self) -> list[str]:
        return self.backend.pipeline.store.names()


@pytest.fixture
def clicker(
    ros: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Clicker]:
    model = local_model()
    settings = PipelineSettings("straight")
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint), settings)
    node = Node("descriptor_node")
    node.declare_parameter(NAME_PARAMETER, "")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    backend = Backend(pipeline)
    clicks = ClickedPoints(node, backend)
    yield Clicker(backend, node, lambda: executor.spin_once(timeout_sec=0.05), capfd)
    clicks.close()
    executor.shutdown()
    node.destroy_node()


def test_a_click_registers_the_point_under_a_free_name(clicker: Clicker) -> None:
    point = CAMERA.back_project(CLICK, DEPTH)
    assert "no frame has been processed" in clicker.click(point, "camera_optical")
    backend = clicker.backend
    backend.result = backend.pipeline.process(scene())
    assert "clicked_1 is registered by a click at pixel (121.0, 90.0)" in clicker.click(
        point, "camera_optical"
    )
    (grasp,) = backend.pipeline.process(scene(8, 4)).grasps
    np.testing.assert_allclose(grasp.pixel, np.add(CLICK, (8, 4)), atol=1)

    backend.pose = T_base_camera
    in_base = T_base_camera[:3, :3] @ point + T_base_camera[:3, 3]
    for frame_id, click in (("base", in_base), ("camera_optical", point)):
        assert "at pixel (121.0, 90.0)" in clicker.click(click, frame_id)
    assert clicker.names() == ["clicked_1", "clicked_2", "clicked_3"]
    backend.pipeline.store.remove("clicked_2")
    clicker.click(point, "camera_optical")
    assert clicker.names() == ["clicked_1", "clicked_2", "clicked_3"]


def test_the_parameter_names_what_is_clicked(clicker: Clicker) -> None:
    backend = clicker.backend
    backend.result = backend.pipeline.process(scene())
    clicker.node.set_parameters([Parameter(NAME_PARAMETER, value="handle")])
    for pixel in CLICK, (150.0, 100.0):  # the later click replaces
        clicker.click(CAMERA.back_project(pixel, DEPTH), "camera_optical")
    assert clicker.names() == ["handle"]
    (grasp,) = backend.pipeline.process(scene()).grasps
    np.testing.assert_allclose(grasp.pixel, (150, 100), atol=1)


@pytest.mark.parametrize(
    ("off", "frame_id", "name", "reason"),
    [
        (0.03, "camera_optical", "", "m away: point at a surface as it is seen now"),
        (0.0, "map", "", "in the frame 'map', but only 'camera_optical' or 'base' can be"),
        (0.0, "camera_optical", "../x", "reference name '../x' is not"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_the_reason(
    clicker: Clicker, off: float, frame_id: str, name: str, reason: str
) -> None:
    backend = clicker.backend
    backend.pose = T_base_camera
    backend.result = backend.pipeline.process(scene())
    clicker.node.set_parameters([Parameter(NAME_PARAMETER, value=name)])
    said = clicker.click(CAMERA.back_project(CLICK, DEPTH + off), frame_id)
    assert "click refused" in said and reason in said
    assert clicker.names() == []
