"""The camera's pose from tf2, where that is installed."""

from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from local_scene import CAMERA, DEPTH, scene
from node_scene import running_node

tf2_ros = pytest.importorskip(
    "tf2_ros",
    reason="tf2_ros is not among the ROS 2 wheels: run this test in a ROS 2 distribution",
    exc_type=ImportError,
)


def test_grasps_are_given_in_the_base_frame_once_it_is_known(tmp_path: Path) -> None:
    with running_node(tmp_path, base_frame="base_link") as node:
        client = node.client
        client.grasps_in(scene())
        assert node.register("a", 100, 90).success
        assert client.grasps_in(scene()).header.frame_id == "camera_optical"
        client.wait(lambda: "base_link" in getattr(client.state, "message", ""), "a warning")
        assert client.state.level == DiagnosticStatus.WARN

        transform = TransformStamped(child_frame_id="camera_optical")
        transform.header.frame_id = "base_link"
        transform.transform.translation.z = 2.0
        transform.transform.rotation.x, transform.transform.rotation.w = 1.0, 0.0
        broadcaster = tf2_ros.StaticTransformBroadcaster(client.node)
        broadcaster.sendTransform(transform)
        client.wait(
            lambda: client.grasps_in(scene()).header.frame_id == "base_link", "the base frame"
        )
        (grasp,) = client.grasps[-1].grasps
        x, y, _ = CAMERA.back_project((100, 90), DEPTH)
        found = grasp.pose.pose.position
        assert (found.x, found.y, found.z) == pytest.approx((x, -y, 2 - DEPTH), abs=2e-3)
        client.wait(lambda: client.state.level == DiagnosticStatus.OK, "no warning")
