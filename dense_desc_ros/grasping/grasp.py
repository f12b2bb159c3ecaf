"""What is answered for a reference in a frame: grasps, or why there is none.

Grasp frames: origin between the finger tips, z along the approach, y along the closing direction.
"""

from dataclasses import dataclass, field

import numpy as np

from dense_desc_ros.camera import FloatArray

METHODS = ("registered", "aligned", "straight")


@dataclass(frozen=True, eq=False)
class PointPose:
    """Where the point of a reference, and the frame in which its grasp was taught, is seen.

    Attributes:
        T_camera_point: (4, 4) the frame of the point (see `straight.point_frame`) in the camera's.
        pixel: (2,) as (u, v), of the point.
        method: one of METHODS, by which it was found.
        score: 1 what the reference reaches in the picture it was registered in, 0 what other things
            reach, see `references.Level`.
        inliers: how many points agree on the pose; 1 for a point alone.
        spread_px: root mean square of the distances of these from where the pose puts them, pixels.
        spread: the same in space, metres.
        scale: size of the object over that of the registered one.
    """

    T_camera_point: FloatArray
    pixel: FloatArray
    method: str
    score: float
    inliers: int
    spread_px: float
    spread: float
    scale: float = 1.0

    @property
    def point(self) -> FloatArray:
        """(3,) the reference's point in the camera frame, metres."""
        return self.T_camera_point[:3, 3]


@dataclass(frozen=True)
class NotFound:
    """Why a method finds no pose; the best `score` that it saw, see PointPose."""

    score: float
    reason: str


@dataclass(frozen=True, eq=False)
class Grasp:
    """A grasp found in a frame.

    Attributes:
        name: of the reference.
        found: how the reference was found.
        T_camera_grasp: (4, 4) pose of the grasp in the camera frame.
        opening_width: of the gripper before closing, metres; NaN when unknown.
        around: (n, 3) points of the object's surface around the reference's point, as registered,
            where they are by the pose found; camera frame, metres. None if only the point is known.
    """

    name: str
    found: PointPose
    T_camera_grasp: FloatArray
    opening_width: float
    around: FloatArray = field(default_factory=lambda: np.empty((0, 3)))

    @property
    def score(self) -> float:
        return self.found.score

    @property
    def pixel(self) -> FloatArray:
        """(2,) as (u, v), of the reference's point."""
        return self.found.pixel

    @property
    def point(self) -> FloatArray:
        """(3,) the reference's point in the camera frame, metres."""
        return self.found.point

    @property
    def method(self) -> str:
        return self.found.method


@dataclass(frozen=True)
class Refusal:
    """A reference for which no grasp is given: its best `score` in the frame, and the `reason`."""

    name: str
    score: float
    reason: str
