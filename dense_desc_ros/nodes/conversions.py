"""Between what the pipeline finds and the messages of rclpy."""

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from dense_desc_interfaces.msg import (
    Grasp,
    GraspArray,
    Keypoint,
    KeypointArray,
    Pixel,
    ReferenceInfo,
    Refusal,
)
from dense_desc_ros import grasp_messages
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.camera_frames import pixel_width, pixels_as_taken
from dense_desc_ros.grasp_messages import matrix_from_values as matrix_from_values
from dense_desc_ros.grasp_messages import pose_matrix as pose_matrix
from dense_desc_ros.located_keypoints import LocatedKeypoints
from dense_desc_ros.pipeline import FrameResult
from dense_desc_ros.references import Reference
from dense_desc_ros.rgbd_frame import RgbdFrame

# The classes from which the core makes messages, see `grasp_messages`.
LIVE = SimpleNamespace(
    ColorRGBA=ColorRGBA,
    Duration=Duration,
    Grasp=Grasp,
    GraspArray=GraspArray,
    Header=Header,
    Marker=Marker,
    MarkerArray=MarkerArray,
    Pixel=Pixel,
    Point=Point,
    Pose=Pose,
    PoseArray=PoseArray,
    PoseStamped=PoseStamped,
    Quaternion=Quaternion,
    Refusal=Refusal,
    Time=Time,
    Vector3=Vector3,
)


def header_of(frame: RgbdFrame, frame_id: str | None = None) -> Header:
    """The header of what is seen in a frame, in the camera optical frame or in another."""
    return grasp_messages.header_message(LIVE, frame, frame_id)


def grasp_array(
    result: FrameResult, frame_id: str, T_frame_camera: FloatArray | None
) -> GraspArray:
    """All that was found in a frame, with poses and points in frame_id.

    Args:
        result: of the pipeline, in the camera frame.
        frame_id: name of the frame to give poses in.
        T_frame_camera: (4, 4) pose of the camera in it; None if it is the camera's own.
    """
    return grasp_messages.grasp_array_message(
        LIVE, result.frame, result.grasps, result.refusals, frame_id, T_frame_camera
    )


def pose_array(grasps: GraspArray) -> PoseArray:
    """The poses alone, for RViz and for those that need no more."""
    return grasp_messages.pose_array_message(LIVE, grasps)


def keypoint_array(
    keypoints: LocatedKeypoints, frame: RgbdFrame, header: Header, T_frame_camera: FloatArray | None
) -> KeypointArray:
    """The keypoints of a network in a frame.

    Args:
        keypoints: in the camera frame.
        frame: that they were found in.
        header: of the frame, with the name of the one to give points in.
        T_frame_camera: (4, 4) pose of the camera in it; None if it is the camera's own.
    """
    T_frame_camera = np.eye(4) if T_frame_camera is None else T_frame_camera
    pixels = pixels_as_taken(frame, keypoints.pixels)
    points = keypoints.points @ T_frame_camera[:3, :3].T + T_frame_camera[:3, 3]
    return KeypointArray(
        header=header,
        keypoints=[
            Keypoint(
                index=index,
                pixel=grasp_messages.pixel_message(LIVE, pixel),
                point=point_message(point),
                is_measured=bool(is_measured),
                spread_px=float(spread_px * pixel_width(frame)),
            )
            for index, (pixel, point, is_measured, spread_px) in enumerate(
                zip(
                    pixels,
                    points,
                    keypoints.is_measured,
                    keypoints.spreads_px,
                    strict=True,
                )
            )
        ],
    )


def reference_info(reference: Reference) -> ReferenceInfo:
    """What is known about a reference."""
    return ReferenceInfo(
        name=reference.name,
        views=len(reference.descriptors),
        has_grasp=not np.allclose(reference.T_point_grasp, np.eye(4)),
        opening_width=reference.opening_width,
    )


def point_message(point: npt.ArrayLike) -> Point:
    """A point (3,)."""
    return grasp_messages.point_message(LIVE, point)


def pose_message(matrix: FloatArray) -> Pose:
    """A pose (4, 4)."""
    return grasp_messages.pose_message(LIVE, matrix)
