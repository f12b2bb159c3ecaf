"""Poses of a moving camera from a topic, for robots without tf2."""

import bisect
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from scipy.spatial.transform import Rotation, Slerp

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.messages import NANOSECONDS, stamp_to_ns
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.conversions import pose_matrix
from dense_desc_ros.nodes.transforms import UnknownPoseError
from dense_desc_ros.rgbd_frame import RgbdFrame

KEPT = 500  # poses
SLOP_NS = 50_000_000  # a pose counts for so long before and after its stamp
LONGEST_GAP_NS = 250_000_000  # between two poses that those in between can be told from


class PoseTrack:
    """The newest poses of something that moves. Thread-safe."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._poses: list[FloatArray] = []
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, pose: FloatArray) -> None:
        """Take the next pose (4, 4). One that is older than the last starts the track anew."""
        with self._lock:
            if self._stamps and stamp_ns <= self._stamps[-1]:
                self._stamps.clear()
                self._poses.clear()
            self._stamps.append(stamp_ns)
            self._poses.append(pose)
            del self._stamps[:-KEPT], self._poses[:-KEPT]

    def at(self, stamp_ns: int) -> FloatArray:
        """The pose (4, 4) at a time: between two poses, or that of the nearest if there is one.

        Raises:
            UnknownPoseError: none is near enough.
        """
        with self._lock:
            after = bisect.bisect_left(self._stamps, stamp_ns)
            stamps, poses = self._stamps[max(after - 1, 0) : after + 1], self._poses
            poses = poses[max(after - 1, 0) : after + 1]
        if len(stamps) == 2 and stamps[1] - stamps[0] <= LONGEST_GAP_NS:
            return _between(poses[0], poses[1], (stamp_ns - stamps[0]) / (stamps[1] - stamps[0]))
        if not stamps:
            raise UnknownPoseError("no pose of the camera has arrived")
        gaps = np.abs(np.array(stamps) - stamp_ns)
        if gaps.min() > SLOP_NS:
            raise UnknownPoseError(
                f"the camera's pose nearest in time is {gaps.min() / NANOSECONDS:.3f} s away"
            )
        return poses[int(gaps.argmin())]


class PublishedPose:
    """The pose that was published for the time of the frame.

    Args:
        node: receives the poses.
        topic: of PoseStamped: the camera optical frame in the base frame.
        base_frame: that poses must be in.
    """

    def __init__(self, node: Node, topic: str, base_frame: str) -> None:
        self._base_frame = base_frame
        self._track = PoseTrack()
        self._problem = ""
        self._node = node
        self._subscription = node.create_subscription(
            PoseStamped, topic, self._receive, qos_profile_sensor_data
        )

    def close(self) -> None:
        """Listen no longer."""
        self._node.destroy_subscription(self._subscription)

    def at(self, frame: RgbdFrame) -> tuple[str, FloatArray]:
        try:
            return self._base_frame, self._track.at(frame.stamp_ns)
        except UnknownPoseError as error:
            topic = self._subscription.topic_name
            raise UnknownPoseError(f"{self._problem or error} ({topic})") from error

    def _receive(self, message: PoseStamped) -> None:
        try:
            if message.header.frame_id != self._base_frame:
                raise InvalidInputError(
                    f"the camera's pose is given in {message.header.frame_id[:100]!r}, not in "
                    f"{self._base_frame!r}"
                )
            self._track.add(stamp_to_ns(message.header.stamp), pose_matrix(message.pose))
            self._problem = ""
        except InvalidInputError as error:
            self._problem = str(error)


@contextmanager
def published_pose(node: Node, topic: str, base_frame: str) -> Iterator[PublishedPose]:
    """The poses on a topic, while they are needed.

    Raises:
        InvalidInputError: no base frame.
    """
    if not base_frame:
        raise InvalidInputError("camera_pose_topic is set, so base_frame must be too")
    source = PublishedPose(node, topic, base_frame)
    try:
        yield source
    finally:
        source.close()


def _between(a: FloatArray, b: FloatArray, share: float) -> FloatArray:
    """The pose at a share of the way from a to b, both (4, 4)."""
    pose = np.eye(4)
    pose[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
    turns = Rotation.from_matrix([a[:3, :3], b[:3, :3]])
    pose[:3, :3] = Slerp([0, 1], turns)(share).as_matrix()
    return pose
