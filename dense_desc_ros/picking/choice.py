"""Which of the grasps that were seen is used, which way round, and the poses on its way.

A gripper with two fingers grasps the same after half a turn about its approach.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.arm import Arm, ArmError, ArmFailure
from dense_desc_ros.picking.pick import Candidate, PickError, PickGoal, Reason, Sighting
from dense_desc_ros.picking.settings import Motion, PickSettings

HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Route:
    """A grasp with all poses (4, 4) of the grasp frame that the arm goes through, in this order.

    Attributes:
        grasp: turned as it is used.
        pre_grasp: from where the grasp is approached, straight.
        lifted: straight above the grasp.
        above_place, place, after_place: straight above the place, there, and back along the
            approach; None if the object is not placed.
    """

    grasp: Candidate
    pre_grasp: FloatArray
    lifted: FloatArray
    above_place: FloatArray | None = None
    place: FloatArray | None = None
    after_place: FloatArray | None = None

    @property
    def poses(self) -> list[FloatArray]:
        """All of them."""
        poses = (
            self.pre_grasp,
            self.grasp.T_base_grasp,
            self.lifted,
            self.above_place,
            self.place,
            self.after_place,
        )
        return [pose for pose in poses if pose is not None]


def choose(
    sighting: Sighting, arm: Arm, goal: PickGoal, motion: Motion, settings: PickSettings
) -> Route:
    """The route of the best grasp that the arm can reach from end to end.

    Raises:
        PickError: UNREACHABLE, none is.
        ArmError: the arm does not answer.
    """
    problems = []
    for candidate in sorted(sighting.candidates, key=lambda c: -c.score):
        for turn in _turns(candidate.T_base_grasp, settings):
            route = _route(candidate, turn, goal, motion)
            try:
                for pose in route.poses:
                    arm.check(pose)
            except ArmError as error:
                if error.failure is not ArmFailure.UNREACHABLE:
                    raise
                problems.append(str(error))
            else:
                return route
    raise PickError(
        Reason.UNREACHABLE,
        f"none of {len(sighting.candidates)} grasps can be reached, either way round, with the "
        f"poses before and after it; of the best: {problems[0]}",
    )


def distance(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """Between two grasps (4, 4): metres, and radians the shorter way round."""
    cosines = [(np.trace(a[:3, :3].T @ turned[:3, :3]) - 1) / 2 for turned in (b, b @ HALF_TURN)]
    angle = math.acos(float(np.clip(max(cosines), -1.0, 1.0)))
    return float(np.linalg.norm(a[:3, 3] - b[:3, 3])), angle


def _turns(T_base_grasp: FloatArray, settings: PickSettings) -> Iterator[FloatArray]:
    """No turn and half a turn (4, 4), the one that is nearer to how the hand waits first."""
    turned = float(T_base_grasp[:3, 0] @ np.asarray(settings.hand_x)) < 0
    yield HALF_TURN if turned else np.eye(4)
    yield np.eye(4) if turned else HALF_TURN


def _route(candidate: Candidate, turn: FloatArray, goal: PickGoal, motion: Motion) -> Route:
    grasp = candidate.T_base_grasp @ turn
    poses = {
        "pre_grasp": _back(grasp, motion.approach_distance),
        "lifted": _up(grasp, motion.retreat_distance),
    }
    if goal.T_base_place is not None:
        place = goal.T_base_place @ turn  # so that the object lies the same either way
        poses |= {
            "above_place": _up(place, motion.retreat_distance),
            "place": place,
            "after_place": _back(place, motion.approach_distance),
        }
    return Route(grasp=replace(candidate, T_base_grasp=grasp), **poses)


def _back(pose: FloatArray, metres: float) -> FloatArray:
    moved = pose.copy()
    moved[:3, 3] -= metres * pose[:3, 2]
    return moved


def _up(pose: FloatArray, metres: float) -> FloatArray:
    moved = pose.copy()
    moved[2, 3] += metres
    return moved
