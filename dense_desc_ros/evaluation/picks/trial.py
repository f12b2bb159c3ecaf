"""One pick in the simulated cell: taught on one object, tried on others, judged by the truth."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.picks.teaching import Lesson, click
from dense_desc_ros.picking.pick import Candidate, Phase, PickGoal, PickResult, Sighting
from dense_desc_ros.picking.picker import Picker
from dense_desc_ros.picking.settings import PickSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.sim.arm import SimArm
from dense_desc_ros.sim.cell import Cell, CellView

REFERENCE = "taught"
LIFT = 0.1  # m that an object has to be lifted
LIFT_TOLERANCE = 0.02  # m that it may slip between the fingers meanwhile
FRAME_PERIOD = 0.2  # s that the camera takes for a frame
HELD_FOR = 1.0  # s that it has to stay there


@dataclass
class Trial:
    """How a pick went.

    Attributes:
        result: what the picker says.
        success: an object of the kind was lifted, and stayed between the fingers.
        error_mm: from where the fingers closed to where they should have, on the nearest object;
            NaN if they never did.
        seconds: simulated time spent in each phase.
        looking_s: real time that looking took.
    """

    result: PickResult
    success: bool = False
    error_mm: float = np.nan
    seconds: dict[str, float] = field(default_factory=dict)
    looking_s: float = 0.0

    @property
    def failure(self) -> str:
        """One word; empty for a success."""
        if self.success:
            return ""
        return self.result.reason.value if self.result.reason else "slipped"


def teach(cell: Cell, pipeline: GraspPipeline, point: str) -> Lesson:
    """Register a point of the only object in the cell, with its grasp, as a person does by a click.

    Args:
        cell: as the camera sees it now.
        pipeline: gets the reference REFERENCE.
        point: name of an anatomical point that there is a taught grasp for.

    Raises:
        DenseDescError: the point is not seen, or its depth is not measured.
    """
    (there,) = cell.truth()
    grasp, view = cell.taught_grasp(there, point), cell.view()
    clicked = click(view.frame, view.T_base_camera, there.points[point], grasp.T_base_grasp)
    pipeline.register(
        view.frame,
        REFERENCE,
        clicked.pixel,
        T_point_grasp=clicked.T_point_grasp,
        opening_width=grasp.opening_width,
    )
    T_object_base = np.linalg.inv(there.T_base_object)
    at = (T_object_base @ np.append(there.points[point], 1))[:3]
    return Lesson.of(there.mesh, at, T_object_base @ grasp.T_base_grasp)


class Trials:
    """Picks in a cell with what was taught."""

    def __init__(
        self, cell: Cell, pipeline: GraspPipeline, lesson: Lesson, settings: PickSettings
    ) -> None:
        self._cell, self._pipeline, self._lesson = cell, pipeline, lesson
        self._arm = SimArm(cell, cell.step)
        self._settings = settings

    def run(self) -> Trial:
        """Pick once from the scene as it lies."""
        cell, watch = self._cell, _Watch(self._cell, self._arm, self._lesson)
        before = {each.body: each.T_base_object[2, 3] for each in cell.truth()}
        picker = Picker(self._arm, partial(self._look, watch), self._settings, lambda: cell.time)
        result = picker.pick(PickGoal(REFERENCE, retreat_distance=LIFT), watch, lambda: False)
        watch.end()
        trial = Trial(result, False, watch.error_mm, watch.seconds, watch.looking_s)
        if result.success:
            cell.step(HELD_FOR)
            trial.success = self._is_lifted(before)
        return trial

    def _is_lifted(self, before: Mapping[str, float]) -> bool:
        held = self._cell.held()
        lifted = [
            each
            for each in self._cell.truth()
            if each.body == held
            and each.T_base_object[2, 3] - before[each.body] >= LIFT - LIFT_TOLERANCE
        ]
        return bool(lifted)

    def _look(self, watch: "_Watch", reference: str) -> Sighting:
        self._cell.step(FRAME_PERIOD)  # else a second attempt would see what was seen before
        view: CellView = self._cell.view()
        start = time.perf_counter()
        found = self._pipeline.process(view.frame, view.T_base_camera)
        watch.looking_s += time.perf_counter() - start
        candidates = [
            Candidate(
                reference,
                grasp.score,
                view.T_base_camera @ grasp.T_camera_grasp,
                grasp.opening_width,
                self._cell.time,
                grasp,
            )
            for grasp in found.grasps
        ]
        return Sighting(candidates, [refusal.reason for refusal in found.refusals])


class _Watch:
    """Told the phases of a pick; notes how long each takes, and where the fingers close."""

    def __init__(self, cell: Cell, arm: SimArm, lesson: Lesson) -> None:
        self._cell, self._arm, self._lesson = cell, arm, lesson
        self._phase, self._since = "", cell.time
        self.seconds: dict[str, float] = {}
        self.error_mm = np.nan
        self.looking_s = 0.0

    def __call__(self, phase: Phase, grasp: Candidate | None) -> None:
        self.end()
        self._phase = phase.value
        if phase is Phase.CLOSING:
            self.error_mm = self._error_mm()

    def end(self) -> None:
        """The phase under way is over."""
        now = self._cell.time
        if self._phase:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._since = now

    def _error_mm(self) -> float:
        """Millimetres to the nearest place where the taught grasp is."""
        there = self._arm.T_base_grasp[:3, 3]
        expected = [
            pose[:3, 3]
            for each in self._cell.truth()
            if (pose := self._lesson.expected(each.mesh, each.T_base_object)) is not None
        ]
        if not expected:
            raise DenseDescError("no object in the cell has the place that was taught")
        return 1e3 * float(np.linalg.norm(np.array(expected) - there, axis=1).min())
