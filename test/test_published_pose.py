"""Poses of a moving camera from a topic."""

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from local_scene import CAMERA, DEPTH, scene
from node_scene import running_node
from scipy.spatial.transform import Rotation

from dense_desc_ros.nodes.conversions import header_of
from dense_desc_ros.nodes.published_pose import PoseTrack
from dense_desc_ros.nodes.transforms import UnknownPoseError

MS = 1_000_000


def pose_at(seconds: float) -> np.ndarray:
    """Something that turns and moves evenly."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(np.array([0.2, -1.0, 0.4]) * seconds).as_matrix()
    pose[:3, 3] = np.array([1.0, -2.0, 0.5]) * seconds + [0.1, 0.2, 0.3]
    return pose


def test_between_two_poses_it_is_in_between() -> None:
    track = PoseTrack()
    for stamp in range(0, 1000, 100):
        track.add(stamp * MS, pose_at(stamp / 1000))
    for stamp in (0, 37, 250, 899, 900):
        np.testing.assert_allclose(track.at(stamp * MS), pose_at(stamp / 1000), atol=1e-12)
    np.testing.assert_allclose(track.at(940 * MS), pose_at(0.9))  # the last is near enough
    with pytest.raises(UnknownPoseError, match=r"0\.060 s away"):
        track.at(960 * MS)


def test_a_gap_is_not_bridged_and_time_may_jump_back() -> None:
    track = PoseTrack()
    with pytest.raises(UnknownPoseError, match="no pose"):
        track.at(0)
    track.add(0, pose_at(0))
    track.add(2000 * MS, pose_at(2))
    with pytest.raises(UnknownPoseError, match="away"):
        track.at(1000 * MS)
    track.add(500 * MS, pose_at(0.5))  # a recording that starts over
    np.testing.assert_allclose(track.at(500 * MS), pose_at(0.5))
    with pytest.raises(UnknownPoseError):
        track.at(2000 * MS)


def test_grasps_are_given_in_the_base_frame_once_a_pose_has_come(tmp_path: Path) -> None:
    topics = {"base_frame": "base_link", "camera_pose_topic": "camera/pose"}
    with running_node(tmp_path, method="straight", **topics) as node:
        client = node.client
        publisher = client.node.create_publisher(PoseStamped, "/camera/pose", 10)
        client.wait(lambda: publisher.get_subscription_count() > 0, "the subscription")

        def tell(frame_id: str) -> None:
            message = PoseStamped(header=header_of(scene(), frame_id))
            message.pose.position.z = 2.0
            message.pose.orientation.x, message.pose.orientation.w = 1.0, 0.0
            publisher.publish(message)

        client.grasps_in(scene())
        assert node.register("a", 100, 90).success
        assert client.grasps_in(scene()).header.frame_id == "camera_optical"
        client.wait(lambda: "no pose" in getattr(client.state, "message", ""), "a warning")
        tell("world")
        client.wait(
            lambda: client.grasps_in(scene()) and "'world'" in client.state.message, "its reason"
        )
        assert client.state.level == DiagnosticStatus.WARN
        tell("base_link")
        client.wait(
            lambda: client.grasps_in(scene()).header.frame_id == "base_link", "the base frame"
        )
        (grasp,) = client.grasps[-1].grasps
        x, y, _ = CAMERA.back_project((100, 90), DEPTH)
        found = grasp.pose.pose.position
        assert (found.x, found.y, found.z) == pytest.approx((x, -y, 2 - DEPTH), abs=2e-3)
