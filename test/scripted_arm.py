"""An arm, a gripper and one object, as plain kinematics: fails on command, and keeps account.

The object rests on a support; closed on at its place it is held and carried. What is let go of
anywhere but where it lay, or at the place for it, falls.
"""

from dataclasses import dataclass, field

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled, GripperState

NEAR = 1e-3  # m
STEPS = 4  # of a motion, at each of which it can be cancelled


def pose_above(x: float, y: float, z: float) -> FloatArray:
    """A pose (4, 4) that looks straight down."""
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = x, y, z
    return T


HOME = pose_above(0.3, 0.0, 0.6)


@dataclass
class ScriptedArm:
    """Implements `picking.arm.Arm`.

    Attributes:
        object_at: (3,) centre of the object.
        supports: places (3,) where the object can be let go of.
        object_width: metres that it is thick; 0: there is none.
        reach: poses further than this from the base, metres, are unreachable.
        failures: number of a call -> how it fails, in the middle of its motion.
        slips: the object is lost when it is lifted.
    """

    object_at: FloatArray
    supports: list[FloatArray]
    object_width: float = 0.03
    reach: float = 1.0
    failures: dict[int, Exception] = field(default_factory=dict)
    slips: bool = False
    at: FloatArray = field(default_factory=HOME.copy)
    width: float = 0.08
    wanted: float = 0.08
    holds: bool = False
    fell: bool = False
    is_moving: bool = False
    calls: list[str] = field(default_factory=list)
    avoided: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    widest: float = 0.08

    def check(self, T_base_grasp: FloatArray) -> None:
        self._call("check")
        if np.linalg.norm(T_base_grasp[:3, 3]) > self.reach:
            raise ArmError(ArmFailure.UNREACHABLE, f"{T_base_grasp[:3, 3]} is out of reach")

    def avoid(self, points: FloatArray) -> None:
        self.avoided = points

    def move_to(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        self._move("move_to", T_base_grasp, cancelled)

    def move_straight(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        self._move("move_straight", T_base_grasp, cancelled)

    def go_home(self, speed: float, cancelled: Cancelled) -> None:
        self._move("go_home", HOME, cancelled)

    def move_gripper(self, width: float, cancelled: Cancelled) -> GripperState:
        failure = self._begin("move_gripper")
        self.wanted = width
        between = self.object_width if self._is_at_object() else 0.0
        if width > between + NEAR and self.holds:
            self.holds = False
            self.fell |= not any(np.linalg.norm(self.object_at - s) < NEAR for s in self.supports)
        self.width = min(max(width, between), self.widest)
        if failure:
            raise failure
        self._end_if(cancelled)
        self.holds = between > 0 and width < between
        self.is_moving = False
        return self._state()

    def gripper(self) -> GripperState:
        if failure := self._begin("gripper"):
            raise failure
        self.is_moving = False
        return self._state()

    def stop(self) -> None:
        self._call("stop")
        self.is_moving = False

    @property
    def is_home(self) -> bool:
        return bool(np.allclose(self.at, HOME))

    def _state(self) -> GripperState:
        return GripperState(self.width, self.width > self.wanted + NEAR)

    def _call(self, name: str) -> None:
        self.calls.append(name)

    def _begin(self, name: str) -> Exception | None:
        assert not self.is_moving, f"{name} while the arm may still move: {self.calls}"
        self._call(name)
        self.is_moving = True
        return self.failures.get(len(self.calls) - 1)

    def _move(self, name: str, goal: FloatArray, cancelled: Cancelled) -> None:
        failure = self._begin(name)
        start = self.at.copy()
        for step in range(1, STEPS + 1):
            self._end_if(cancelled)
            if failure and step > STEPS // 2:
                raise failure
            self.at = goal.copy()
            self.at[:3, 3] = start[:3, 3] + step / STEPS * (goal - start)[:3, 3]
            if self.holds:
                self._carry(self.at[:3, 3])
        self.is_moving = False

    def _carry(self, where: FloatArray) -> None:
        if self.slips and where[2] > self.object_at[2] + NEAR:
            self.holds, self.width = False, self.wanted
            self.slips = False
        else:
            self.object_at = where.copy()

    def _end_if(self, cancelled: Cancelled) -> None:
        if cancelled():
            self.is_moving = False
            raise ArmError(ArmFailure.CANCELLED, "cancelled")

    def _is_at_object(self) -> bool:
        return bool(np.linalg.norm(self.at[:3, 3] - self.object_at) < NEAR)
