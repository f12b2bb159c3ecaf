"""A scripted arm, and eyes that see its object: what a Picker needs, without ROS."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scripted_arm import ScriptedArm, pose_above

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.pick import Candidate, Phase, PickGoal, PickResult, Sighting
from dense_desc_ros.picking.picker import Picker
from dense_desc_ros.picking.settings import PickSettings

SETTINGS = PickSettings(look_pause=0.0)
GRASP, PLACE = pose_above(0.5, 0.1, 0.02), pose_above(0.4, -0.3, 0.02)
GOAL = PickGoal("cap", T_base_place=PLACE)


@dataclass
class World:
    """A scripted arm, and eyes that see the object where it lies, at a time that goes on."""

    arm: ScriptedArm
    settings: PickSettings = SETTINGS
    goal: PickGoal = GOAL
    time: float = 100.0
    age: float = 0.0  # s, of what is seen
    around: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    sightings: list[Sighting | Exception] = field(default_factory=list)  # instead of the truth
    phases: list[tuple[Phase, bool]] = field(default_factory=list)
    cancelled: Callable[[], bool] = lambda: False

    def look(self, reference: str) -> Sighting:
        assert reference == self.goal.reference
        self.time += 1.0
        if self.sightings:
            seen = self.sightings.pop(0)
            if isinstance(seen, Exception):
                raise seen
            return seen
        return self.seen(pose_above(*self.arm.object_at))

    def seen(self, *poses: FloatArray, scores: Sequence[float] = ()) -> Sighting:
        stamp = self.time - self.age
        scores = scores or [1.0] * len(poses)
        return Sighting(
            [
                Candidate("cap", score, T, math.nan, stamp, around=self.around)
                for T, score in zip(poses, scores, strict=True)
            ]
        )

    def pick(self) -> PickResult:
        self.picker = Picker(self.arm, self.look, self.settings, lambda: self.time)
        return self.picker.pick(
            self.goal,
            lambda phase, grasp: self.phases.append((phase, grasp is not None)),
            lambda: self.cancelled(),
        )


def world(**arm: object) -> World:
    supports = [GRASP[:3, 3].copy(), PLACE[:3, 3].copy()]
    return World(ScriptedArm(supports[0].copy(), supports, **arm))
