"""What picking needs of a robot: the interface that every arm implements, and how arms fail.

All poses are those of the grasp frame (origin between the finger tips, z along the approach, y
along the closing direction) in the robot's base frame, whose z is up.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DenseDescError

Cancelled = Callable[[], bool]
"""Asked again and again during a motion: true as soon as it shall end."""


class ArmFailure(enum.Enum):
    """Why an arm did not do what it was told."""

    UNREACHABLE = "unreachable"  # no joint angles for the pose, or out of joint limits
    NO_PLAN = "no plan"  # the pose can be reached, but no motion without collision was found
    EXECUTION = "execution"  # the motion began and did not end where it should
    GRIPPER = "gripper"  # the fingers did not move as told
    CONNECTION = "connection"  # the controller or planner is absent or stopped answering
    CANCELLED = "cancelled"  # the caller asked for it


class ArmError(DenseDescError):
    """A motion that failed. The arm stands still when it is raised."""

    def __init__(self, failure: ArmFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True)
class GripperState:
    """What the gripper reports after a motion of its fingers.

    Attributes:
        width: metres between the finger tips.
        stalled: the fingers pressed against something before they reached the width wanted.
    """

    width: float
    stalled: bool


class Arm(Protocol):
    """An arm with a two-finger gripper. Every method blocks, and raises ArmError."""

    def check(self, T_base_grasp: FloatArray) -> None:
        """Raise UNREACHABLE if there are no joint angles for a pose; moves nothing."""

    def avoid(self, points: FloatArray) -> None:
        """Keep clear, in free motions, of an object with points (n, 3) on its surface.

        Until the next straight motion, which goes to it; held, it is kept clear of other things.
        """

    def move_to(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        """Move freely to a (4, 4) pose, at a share in (0, 1] of the arm's greatest speed."""

    def move_straight(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        """Move to a (4, 4) pose along a straight line, turning evenly."""

    def go_home(self, speed: float, cancelled: Cancelled) -> None:
        """Move to where the arm waits and, with a camera at its wrist, looks."""

    def move_gripper(self, width: float, cancelled: Cancelled) -> GripperState:
        """Open or close the fingers to a width in metres, pressing no harder than it should."""

    def gripper(self) -> GripperState:
        """What the gripper reports now."""

    def stop(self) -> None:
        """Stop at once and hold the place, also from another thread."""
