"""Between what the pipeline finds and ROS messages. Only here are rotations quaternions."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion
from std_msgs.msg import Header
from transforms3d.quaternions import mat2quat, quat2mat

from dense_desc_interfaces.msg import Grasp as GraspMessage
from dense_desc_interfaces.msg import GraspArray, Keypoint, KeypointArray, Pixel, ReferenceInfo
from dense_desc_interfaces.msg import Refusal as RefusalMessage
from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.camera_frames import pixel_width, pixels_as_taken
from dense_desc_ros.data.messages import NANOSECONDS
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.grasp import Grasp
from dense_desc_ros.located_keypoints import LocatedKeypoints
from dense_desc_ros.pipeline import FrameResult
from dense_desc_ros.references import Reference

UNIT_TOLERANCE = 1e-3


def header_of(frame: RgbdFrame, frame_id: str | None = None) -> Header:
    """The header of what is seen in a frame, in the camera optical frame or in another."""
    sec, nanosec = divmod(frame.stamp_ns, NANOSECONDS)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id or frame.frame_id)


def grasp_array(
    result: FrameResult, frame_id: str, T_frame_camera: FloatArray | None
) -> GraspArray:
    """All that was found in a frame, with poses and points in frame_id.

    Args:
        result: of the pipeline, in the camera frame.
        frame_id: name of the frame to give poses in.
        T_frame_camera: (4, 4) pose of the camera in it; None if it is the camera's own.
    """
    T_frame_camera = np.eye(4) if T_frame_camera is None else T_frame_camera
    header = header_of(result.frame, frame_id)
    return GraspArray(
        header=header,
        grasps=[_grasp(grasp, result.frame, header, T_frame_camera) for grasp in result.grasps],
        refusals=[
            RefusalMessage(name=refusal.name, score=refusal.score, reason=refusal.reason)
            for refusal in result.refusals
        ],
    )


def pose_array(grasps: GraspArray) -> PoseArray:
    """The poses alone, for RViz and for those that need no more."""
    return PoseArray(header=grasps.header, poses=[grasp.pose.pose for grasp in grasps.grasps])


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
                pixel=_pixel(pixel),
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
    x, y, z = (float(value) for value in np.asarray(point))
    return Point(x=x, y=y, z=z)


def pose_message(matrix: FloatArray) -> Pose:
    """A pose (4, 4)."""
    w, x, y, z = (float(value) for value in mat2quat(matrix[:3, :3]))
    return Pose(position=point_message(matrix[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def pose_matrix(pose: Pose) -> FloatArray:
    """The pose as (4, 4).

    Raises:
        InvalidInputError: not finite, or a quaternion that is not of unit length.
    """
    position, q = pose.position, pose.orientation
    return matrix_from_values((position.x, position.y, position.z, q.x, q.y, q.z, q.w))


def matrix_from_values(values: Sequence[float]) -> FloatArray:
    """The pose (4, 4) of x, y, z in metres and a unit quaternion x, y, z, w.

    Raises:
        InvalidInputError: not seven finite numbers, or a quaternion that is not of unit length.
    """
    if len(values) != 7 or not np.all(np.isfinite(values)):
        raise InvalidInputError("a pose must be seven finite numbers: x, y, z, qx, qy, qz, qw")
    x, y, z, w = values[3:]
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if abs(length - 1) > UNIT_TOLERANCE:
        raise InvalidInputError(
            f"the quaternion (x, y, z, w) of a pose must have length 1, but has {length:.4g}"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = quat2mat((w, x, y, z))
    matrix[:3, 3] = values[:3]
    return matrix


def _grasp(
    grasp: Grasp, frame: RgbdFrame, header: Header, T_frame_camera: FloatArray
) -> GraspMessage:
    point = T_frame_camera[:3, :3] @ grasp.point + T_frame_camera[:3, 3]
    return GraspMessage(
        name=grasp.name,
        method=grasp.method,
        score=grasp.score,
        inliers=grasp.found.inliers,
        spread_px=grasp.found.spread_px * pixel_width(frame),
        spread=grasp.found.spread,
        scale=grasp.found.scale,
        pixel=_pixel(pixels_as_taken(frame, grasp.pixel)),
        point=point_message(point),
        pose=PoseStamped(header=header, pose=pose_message(T_frame_camera @ grasp.T_camera_grasp)),
        opening_width=float(grasp.opening_width),
    )


def _pixel(pixel: npt.ArrayLike) -> Pixel:
    u, v = (float(value) for value in np.asarray(pixel))
    return Pixel(u=u, v=v)
