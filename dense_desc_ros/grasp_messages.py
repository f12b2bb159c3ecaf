"""What was found in a frame as ROS messages, live ones and those of bags alike.

`ros` holds the classes of the messages by name: those of rclpy (`nodes.conversions.LIVE`), or those
of a bag (`data.bag_messages.BagMessages`). Only here are rotations quaternions.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation
from transforms3d.quaternions import quat2mat

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.camera_frames import pixel_width, pixels_as_taken
from dense_desc_ros.data.messages import NANOSECONDS, set_numbers
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.grasp import Grasp, Refusal
from dense_desc_ros.rgbd_frame import RgbdFrame

UNIT_TOLERANCE = 1e-3


def header_message(ros: Any, frame: RgbdFrame, frame_id: str | None = None) -> Any:
    """The header of what is seen in a frame, in the camera optical frame or in another."""
    sec, nanosec = divmod(frame.stamp_ns, NANOSECONDS)
    return ros.Header(stamp=ros.Time(sec=sec, nanosec=nanosec), frame_id=frame_id or frame.frame_id)


def grasp_array_message(
    ros: Any,
    frame: RgbdFrame,
    grasps: Sequence[Grasp],
    refusals: Sequence[Refusal],
    frame_id: str | None = None,
    T_frame_camera: FloatArray | None = None,
) -> Any:
    """A GraspArray of all that was found in a frame.

    Args:
        ros: classes of messages.
        frame: what was seen.
        grasps, refusals: the answers, in the camera frame.
        frame_id: name of the frame to give poses and points in; None is the camera's.
        T_frame_camera: (4, 4) pose of the camera in it; None if it is the camera's own.
    """
    T_frame_camera = np.eye(4) if T_frame_camera is None else T_frame_camera
    header = header_message(ros, frame, frame_id)
    poses = pose_messages(ros, [T_frame_camera @ grasp.T_camera_grasp for grasp in grasps])
    return ros.GraspArray(
        header=header,
        grasps=[
            _grasp(ros, grasp, frame, ros.PoseStamped(header=header, pose=pose), T_frame_camera)
            for grasp, pose in zip(grasps, poses, strict=True)
        ],
        refusals=[
            ros.Refusal(name=refusal.name, score=refusal.score, reason=refusal.reason)
            for refusal in refusals
        ],
    )


def pose_array_message(ros: Any, grasps: Any) -> Any:
    """The poses of a GraspArray alone, for RViz and for those that need no more."""
    return ros.PoseArray(header=grasps.header, poses=[grasp.pose.pose for grasp in grasps.grasps])


def point_message(ros: Any, point: npt.ArrayLike) -> Any:
    """A point (3,)."""
    x, y, z = (float(value) for value in np.asarray(point))
    return ros.Point(x=x, y=y, z=z)


def pixel_message(ros: Any, pixel: npt.ArrayLike) -> Any:
    """A pixel (2,) as (u, v)."""
    u, v = (float(value) for value in np.asarray(pixel))
    return ros.Pixel(u=u, v=v)


def pose_message(ros: Any, matrix: FloatArray) -> Any:
    """A pose (4, 4)."""
    return pose_messages(ros, [matrix])[0]


def pose_messages(ros: Any, matrices: Sequence[FloatArray]) -> list[Any]:
    """Poses, each (4, 4)."""
    if not matrices:
        return []
    # All at once: one by one, SciPy and transforms3d take a tenth of a millisecond for each.
    rotations = Rotation.from_matrix(np.stack(matrices)[:, :3, :3]).as_quat(canonical=True)
    return [
        ros.Pose(
            position=point_message(ros, matrix[:3, 3]),
            orientation=ros.Quaternion(x=x, y=y, z=z, w=w),
        )
        for matrix, (x, y, z, w) in zip(matrices, rotations.tolist(), strict=True)
    ]


def pose_matrix(pose: Any) -> FloatArray:
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


def _grasp(ros: Any, grasp: Grasp, frame: RgbdFrame, pose: Any, T_frame_camera: FloatArray) -> Any:
    R, t = T_frame_camera[:3, :3], T_frame_camera[:3, 3]
    message = ros.Grasp(
        name=grasp.name,
        method=grasp.method,
        score=grasp.score,
        inliers=grasp.found.inliers,
        spread_px=grasp.found.spread_px * pixel_width(frame),
        spread=grasp.found.spread,
        scale=grasp.found.scale,
        pixel=pixel_message(ros, pixels_as_taken(frame, grasp.pixel)),
        point=point_message(ros, R @ grasp.point + t),
        pose=pose,
        opening_width=float(grasp.opening_width),
    )
    set_numbers(message, "around", (grasp.around @ R.T + t).astype(np.float32).ravel())
    return message
