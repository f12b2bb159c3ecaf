"""What is asked of a pick, what it tells on its way, and what comes out of it. Knows no ROS."""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DenseDescError


class Phase(enum.Enum):
    """What a pick does at a time, in this order."""

    LOOKING = "looking"  # for a grasp, and choosing one that can be reached
    APPROACHING = "approaching"  # opening the fingers, to the pre-grasp pose, and on to the grasp
    CLOSING = "closing"  # the fingers
    LIFTING = "lifting"  # straight up
    PLACING = "placing"  # above the place, down, and opening the fingers
    RETREATING = "retreating"  # back along the approach, without the object
    RETURNING = "returning"  # to where the arm waits


class Reason(enum.Enum):
    """Why a pick failed; each is explained in docs/picking.md."""

    INVALID = "invalid"
    FRAME = "frame"
    NOT_FOUND = "not_found"
    STALE = "stale"
    MOVED = "moved"
    OCCUPIED = "occupied"
    EMPTY = "empty"
    DROPPED = "dropped"
    UNREACHABLE = "unreachable"
    NO_PLAN = "no_plan"
    EXECUTION = "execution"
    GRIPPER = "gripper"
    CONNECTION = "connection"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class PickError(DenseDescError):
    """A pick that cannot go on."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Candidate:
    """A grasp that was seen.

    Attributes:
        name: of the reference.
        score: the higher the better.
        T_base_grasp: (4, 4) pose of the grasp frame in the base frame, whose z is up.
        opening_width: of the fingers before they close, metres; NaN when unknown.
        stamp: when it was seen, seconds, by the clock of the Picker.
        source: what it was made of, for those who want it back.
        around: (n, 3) points of the object's surface in the base frame; none if they are not known.
    """

    name: str
    score: float
    T_base_grasp: FloatArray
    opening_width: float
    stamp: float
    source: object = None
    around: FloatArray = field(default_factory=lambda: np.empty((0, 3)))


@dataclass(frozen=True)
class Sighting:
    """What a look gave: grasps, and reasons why there are no others, to be read by a person."""

    candidates: Sequence[Candidate]
    reasons: Sequence[str] = ()


Look = Callable[[str], Sighting]
"""Looks for a reference now. Raises PickError if it cannot look at all."""


@dataclass(frozen=True, eq=False)
class PickGoal:
    """What to pick and where to put it.

    Attributes:
        reference: name of the reference to grasp.
        speed: share in (0, 1] of the arm's greatest speed; None: as set.
        approach_distance: from where the grasp is approached along its z, metres; None: as set.
        retreat_distance: how far the object is lifted, straight up, metres; None: as set.
        T_base_place: (4, 4) of the grasp frame when the fingers open; None: hold the object.
        dry_run: find and choose a grasp, but do not move.
    """

    reference: str
    speed: float | None = None
    approach_distance: float | None = None
    retreat_distance: float | None = None
    T_base_place: FloatArray | None = None
    dry_run: bool = False


@dataclass(frozen=True, eq=False)
class PickResult:
    """How a pick ended.

    Attributes:
        phase: the last that was begun.
        reason: of a failure; None: all was done.
        message: for a person to read.
        grasp: that was used, turned as it was used; None if none was chosen.
        held: something is between the fingers now.
        held_width: metres between the finger tips when it was lifted; NaN if it never was.
    """

    phase: Phase
    reason: Reason | None
    message: str
    grasp: Candidate | None = None
    held: bool = False
    held_width: float = math.nan

    @property
    def success(self) -> bool:
        return self.reason is None


Feedback = Callable[[Phase, Candidate | None], None]
"""Told whenever a phase begins, and the grasp that was chosen, if any."""
