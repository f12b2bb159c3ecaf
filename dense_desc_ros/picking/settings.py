"""The numbers of a pick, with safe defaults; each is checked against its limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.picking.pick import PickGoal

LOOK_AGAIN = ("never", "before", "pregrasp")
SPEEDS = (0.01, 1.0)
DISTANCES = (0.01, 0.5)  # m
WIDTHS = (0.0, 0.5)  # m


def setting(default: Any, description: str, limits: tuple[float, float] | None = None) -> Any:
    """A field of a dataclass of settings, with what it means and the range of its values."""
    return field(default=default, metadata={"description": description, "limits": limits})


def check_limits(settings: Any) -> None:
    """Raise InvalidInputError for a number of a dataclass of settings that is out of its limits."""
    for item in fields(settings):
        if limits := item.metadata.get("limits"):
            check_range(item.name, getattr(settings, item.name), limits)


def check_range(name: str, value: float, limits: tuple[float, float]) -> None:
    """Raise InvalidInputError for a value that is not between two limits, these included."""
    low, high = limits
    if not low <= value <= high:
        raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, got {value:g}")


@dataclass(frozen=True)
class PickSettings:
    """How to pick, SI units; what each setting means is in its description.

    Raises:
        InvalidInputError: a value out of its limits.
    """

    speed: float = setting(
        0.3, "Share of the arm's greatest speed for free motions, unless the goal says.", SPEEDS
    )
    straight_speed: float = setting(
        0.1, "The same for straight motions, near the object; never faster than free ones.", SPEEDS
    )
    approach_distance: float = setting(
        0.1, "From where a grasp is approached along its z, m, unless the goal says.", DISTANCES
    )
    retreat_distance: float = setting(
        0.1, "How far objects are lifted, straight up, m, unless the goal says.", DISTANCES
    )
    max_opening: float = setting(
        0.08, "Greatest distance between the finger tips, m; for grasps without a width.", WIDTHS
    )
    opening_tolerance: float = setting(
        0.005, "Fingers that stop further than this from the opening wanted are blocked, m.", WIDTHS
    )
    close_width: float = setting(0.0, "Distance that the fingers are told to close to, m.", WIDTHS)
    min_held_width: float = setting(
        0.002, "Fingers that stall closer together than this hold nothing, m.", WIDTHS
    )
    min_finger_travel: float = setting(
        0.001, "Fingers that stall before they have come this much closer are blocked, m.", WIDTHS
    )
    max_age: float = setting(2.0, "Grasps seen longer ago are stale, s.", (0.01, 3600.0))
    looks: int = setting(10, "Looks for a grasp that is not stale, at most.", (1, 1000))
    look_pause: float = setting(0.2, "Between two looks, s.", (0.0, 10.0))
    look_again: str = setting(
        "before",
        "When to look whether the object has moved: never; before (once the grasp is chosen and "
        "the fingers are open); pregrasp (there, for a camera that still sees the object).",
    )
    moved_limit: float = setting(
        0.01, "A grasp seen again further away than this has moved, m.", (0.0, 1.0)
    )
    turned_limit: float = setting(0.2, "The same of its turn, rad.", (0.0, math.pi))
    attempts: int = setting(2, "Looks again and grasps if nothing was held, so often.", (1, 10))
    hand_x: Sequence[float] = setting(
        (1.0, 0.0, 0.0),
        "Direction in the base frame of the grasp frame's x where the arm waits: of the two turns "
        "of a grasp, the nearer one is tried first.",
    )

    def __post_init__(self) -> None:
        check_limits(self)
        if self.look_again not in LOOK_AGAIN:
            raise InvalidInputError(
                f"look_again must be {', '.join(LOOK_AGAIN[:-1])} or {LOOK_AGAIN[-1]}, "
                f"got {self.look_again!r}"
            )
        if np.shape(self.hand_x) != (3,) or not np.linalg.norm(self.hand_x) > 0:
            raise InvalidInputError(f"hand_x must be a direction x, y, z, got {list(self.hand_x)}")


@dataclass(frozen=True)
class Motion:
    """How one pick moves: what its goal says, and else the settings.

    Raises:
        InvalidInputError: the goal asks for something out of the limits.
    """

    speed: float
    straight_speed: float
    approach_distance: float
    retreat_distance: float

    @classmethod
    def of(cls, goal: PickGoal, settings: PickSettings) -> "Motion":
        values = {}
        for name in ("speed", "approach_distance", "retreat_distance"):
            wanted = getattr(goal, name)
            values[name] = getattr(settings, name) if wanted is None else wanted
            check_range(name, values[name], SPEEDS if name == "speed" else DISTANCES)
        return cls(straight_speed=min(values["speed"], settings.straight_speed), **values)
