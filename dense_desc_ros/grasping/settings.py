"""How grasps are chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.grasp import METHODS
from dense_desc_ros.grasping.gripper import Gripper

APPROACHES = ("normal", "gravity")


@dataclass(frozen=True)
class PipelineSettings:
    """How grasps are chosen.

    Attributes:
        method: one of METHODS, or "auto": for each reference the first of them that what was
            registered allows.
        min_score: what scores lower is refused; see `grasp.PointPose`.
        max_instances: grasps given for one reference at most; "aligned" gives one.
        instance_radius: instances found by a point alone are at least this far apart, pixels.
        scales: least and greatest size of an object over that of the registered one.
        approach: of straight grasps, one of APPROACHES: along the surface's normal, or straight
            down where the camera's pose is known.
        gripper: grasps that it does not fit are moved a little or refused; None does not check.
        workspace: least x, y, z and greatest x, y, z of grasps in the base frame, metres; None is
            everywhere.
        steady: average the poses of still objects from frame to frame; see `steadying`.
    """

    method: str = "auto"
    min_score: float = 0.55
    max_instances: int = 1
    instance_radius: int = 30
    scales: tuple[float, float] = (0.7, 1.4)
    approach: str = "normal"
    gripper: Gripper | None = None
    workspace: Sequence[float] | None = None
    steady: bool = False

    def __post_init__(self) -> None:
        if self.method not in ("auto", *METHODS):
            raise InvalidInputError(f"unknown method {self.method!r}: use auto or {METHODS}")
        if self.approach not in APPROACHES:
            raise InvalidInputError(f"unknown approach {self.approach!r}: use one of {APPROACHES}")
        if not self.min_score <= 1:
            raise InvalidInputError(f"min_score {self.min_score} is above 1, which nothing reaches")
        if self.max_instances < 1 or self.instance_radius < 1:
            raise InvalidInputError("max_instances and instance_radius must be at least 1")
        if not 0 < self.scales[0] <= 1 <= self.scales[1] < math.inf:
            raise InvalidInputError(f"scales {self.scales} must be positive and include 1")
        if self.workspace is not None and (
            len(self.workspace) != 6
            or not all(a < b for a, b in zip(self.workspace[:3], self.workspace[3:], strict=True))
        ):
            raise InvalidInputError(
                f"workspace {self.workspace} must be the least x, y, z, then the greatest"
            )
