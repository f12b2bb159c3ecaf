"""What the node shows to people, over real topics, and RViz's configuration for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import PoseArray
from local_scene import DEPTH, local_model, scene
from posed_scene import ColourNetwork
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rviz_scene import shown_topics, topics_of
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from dense_desc_interfaces.msg import KeypointArray
from dense_desc_ros.data.messages import image_from_message
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.heatmaps import draw_heatmaps
from dense_desc_ros.nodes import clicked_point
from dense_desc_ros.nodes.camera_topics import topic_names
from dense_desc_ros.nodes.conversions import grasp_array
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.results import ResultPublishers
from dense_desc_ros.nodes.views import ViewPublishers
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

CONFIG = Path(__file__).resolve().parents[1] / "config" / "grasp.rviz"
DISPLAYED = {
    "rviz_default_plugins/Image": Image,
    "rviz_default_plugins/DepthCloud": Image,
    "rviz_default_plugins/MarkerArray": MarkerArray,
    "rviz_default_plugins/PoseArray": PoseArray,
}
NOT_SHOWN = {"grasps", "keypoints", "parameter_events"}  # RViz has no displays for them
VIEWS = {"markers": MarkerArray, "keypoints": KeypointArray, "heatmaps": Image}
T_base_camera = np.array([[0.0, -1, 0, 0.4], [-1, 0, 0, 0.1], [0, 0, -1, 1.2], [0, 0, 0, 1]])


@pytest.fixture
def node(ros: ModuleType) -> Iterator[Node]:
    node = Node("descriptor_node")
    yield node
    node.destroy_node()


@pytest.fixture
def spin(node: Node) -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Let messages in until a condition holds; the time limit is that of the test."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def until(condition: Callable[[], Any]) -> None:
        while not condition():
            executor.spin_once(timeout_sec=0.05)

    yield until
    executor.shutdown()


def pipeline_of(model: DescriptorModel, folder: Path) -> GraspPipeline:
    settings = PipelineSettings("straight", min_score=-100)
    pipeline = GraspPipeline(model, ReferenceStore(folder, model.fingerprint), settings)
    pipeline.register(scene(), "spot", (121, 90))
    return pipeline


def test_those_who_ask_are_shown_what_was_found(
    node: Node, spin: Callable[[Callable[[], Any]], None], tmp_path: Path
) -> None:
    model = DescriptorModel(ColourNetwork(((1.0, 0, 0), (0, 0, 1.0))), "cosine", "cpu")
    pipeline = pipeline_of(model, tmp_path)
    result = pipeline.process(scene(), T_base_camera)
    grasps = grasp_array(result, "base", T_base_camera)
    views = ViewPublishers(node)
    seen: dict[str, Any] = {}
    for topic, kind in VIEWS.items():
        node.create_subscription(
            kind, f"~/{topic}", lambda message, topic=topic: seen.update({topic: message}), 1
        )
    spin(lambda: views.publish(result, grasps, T_base_camera, pipeline) or len(seen) == 3)

    namespaces = [marker.ns for marker in seen["markers"].markers]
    assert namespaces == ["", *["gripper"] * 3, "approach", "label", "keypoints"]
    first, second = seen["keypoints"].keypoints
    assert seen["keypoints"].header == grasps.header
    for keypoint in (first, second):  # the camera looks straight down on the wall
        assert keypoint.is_measured and keypoint.point.z == pytest.approx(1.2 - DEPTH)
    assert seen["heatmaps"].header.frame_id == "camera_optical"
    picture = draw_heatmaps(result, list(pipeline.store))
    np.testing.assert_array_equal(image_from_message(seen["heatmaps"]), picture)
    views.close()
    assert not any("markers" in publisher.topic_name for publisher in node.publishers)


def test_nothing_is_made_for_nobody_nor_keypoints_by_a_model_without(
    node: Node,
    spin: Callable[[Callable[[], Any]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = pipeline_of(local_model(), tmp_path)
    result = pipeline.process(scene())
    grasps = grasp_array(result, "camera_optical", None)
    views = ViewPublishers(node)
    monkeypatch.delattr("dense_desc_ros.nodes.views.draw_heatmaps")  # it would be missed
    with monkeypatch.context() as nothing:
        nothing.delattr("dense_desc_ros.nodes.views.marker_array")
        views.publish(result, grasps, None, pipeline)
    seen: list[MarkerArray] = []
    node.create_subscription(MarkerArray, "~/markers", seen.append, 1)
    spin(lambda: views.publish(result, grasps, None, pipeline) or seen)
    assert {marker.ns for marker in seen[0].markers} == {"", "gripper", "approach", "label"}
    views.close()


def test_rviz_shows_what_is_published(node: Node) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    publishers = ResultPublishers(node), ViewPublishers(node)
    published = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
    cameras = topic_names(node, NodeParameters())
    published |= {cameras["color"]: Image, cameras["depth"]: Image}
    for display in config["Visualization Manager"]["Displays"]:
        for topic in topics_of(display):
            assert published[topic] is DISPLAYED[display["Class"]], topic
    left_out = published.keys() - shown_topics(config)
    assert {topic.rpartition("/")[2] for topic in left_out} <= {*NOT_SHOWN, "rosout"}

    tools = config["Visualization Manager"]["Tools"]
    (click,) = (tool for tool in tools if tool["Class"].endswith("/PublishPoint"))
    assert topics_of(click) == [clicked_point.TOPIC]
    for publisher in publishers:
        publisher.close()
