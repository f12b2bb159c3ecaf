"""Poses of cameras from tf2, where that is installed."""

from pathlib import Path

import pytest
import rclpy
from camera_forms import DEPTH_POSE, POINT, Messages, Sender, stamped, unaligned
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from local_scene import CAMERA, DEPTH, local_model, scene
from managed_node import managed_node
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


def test_depth_is_registered_once_it_is_known_where_its_camera_is(tmp_path: Path) -> None:
    local_model().save(tmp_path / "weights.safetensors")
    rclpy.init()
    try:
        with managed_node(tmp_path, autostart="true", aligned_depth="false") as node:
            camera = Sender(node)

            def sent() -> Messages:
                frame = scene()
                return stamped(frame, unaligned(frame))

            camera.wait_until_refused("depth_pose", "no transform from 'depth_optical'", sent)
            transform = TransformStamped(child_frame_id="depth_optical")
            transform.header.frame_id = "camera_optical"
            p, q = transform.transform.translation, transform.transform.rotation
            p.x, p.y, p.z, q.x, q.y, q.z, q.w = DEPTH_POSE
            broadcaster = tf2_ros.StaticTransformBroadcaster(node.client.node)
            broadcaster.sendTransform(transform)
            camera.grasps_in(scene(), unaligned)
            assert node.register("a", *POINT).point.point.z == pytest.approx(DEPTH, abs=1e-3)
    finally:
        rclpy.try_shutdown()
