"""Where the camera is in the robot's base frame: from a parameter, a topic, or tf2 if installed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rclpy.node import Node

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.conversions import matrix_from_values
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.published_pose import published_pose
from dense_desc_ros.nodes.transforms import Transforms, transforms
from dense_desc_ros.rgbd_frame import RgbdFrame


class CameraPose(Protocol):
    """A source of camera poses."""

    def at(self, frame: RgbdFrame) -> tuple[str, FloatArray | None]:
        """A frame's name and the camera's pose (4, 4) in it, when this frame was seen.

        The pose is None if that is the camera's own frame, for want of another.

        Raises:
            UnknownPoseError: it is not known.
        """


class FixedPose:
    """A camera that does not move.

    Args:
        base_frame: name of the base frame.
        values: pose of the camera optical frame in it: x, y, z in metres, then qx, qy, qz, qw.

    Raises:
        InvalidInputError: no base frame, or no pose.
    """

    def __init__(self, base_frame: str, values: Sequence[float]) -> None:
        if not base_frame:
            raise InvalidInputError("camera_pose is set, so base_frame must be too")
        self._base_frame = base_frame
        self._matrix = matrix_from_values(values)

    def at(self, frame: RgbdFrame) -> tuple[str, FloatArray]:
        return self._base_frame, self._matrix


class NoPose:
    """Nothing is known: what is seen stays in the camera's own frame."""

    def at(self, frame: RgbdFrame) -> tuple[str, None]:
        return frame.frame_id, None


class TransformedPose:
    """The pose that tf2 knows for the time of the frame."""

    def __init__(self, known: Transforms, base_frame: str) -> None:
        self._known, self._base_frame = known, base_frame

    def at(self, frame: RgbdFrame) -> tuple[str, FloatArray]:
        pose = self._known.pose(self._base_frame, frame.frame_id, frame.stamp_ns)
        return self._base_frame, pose


@contextmanager
def camera_pose_source(node: Node, parameters: NodeParameters) -> Iterator[CameraPose]:
    """The source that the parameters ask for, while it is needed.

    Raises:
        InvalidInputError: parameters that contradict each other, or tf2 is needed but not there.
    """
    if parameters.camera_pose:
        yield FixedPose(parameters.base_frame, parameters.camera_pose)
    elif parameters.camera_pose_topic:
        topic = parameters.camera_pose_topic
        with published_pose(node, topic, parameters.base_frame) as known:
            yield known
    elif not parameters.base_frame:
        yield NoPose()
    else:
        reason = (
            "base_frame is set: give the camera's pose in it with the parameters camera_pose or "
            "camera_pose_topic"
        )
        with transforms(node, reason) as tree:
            yield TransformedPose(tree, parameters.base_frame)
