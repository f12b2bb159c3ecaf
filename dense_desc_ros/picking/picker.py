"""Picks: looks, grasps, lifts and places, and whatever fails brings the arm to a known state."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.picking.arm import Arm, ArmError, Cancelled
from dense_desc_ros.picking.choice import Route, choose
from dense_desc_ros.picking.fingers import Fingers
from dense_desc_ros.picking.pick import (
    Feedback,
    Look,
    Phase,
    PickError,
    PickGoal,
    PickResult,
    Reason,
)
from dense_desc_ros.picking.settings import Motion, PickSettings
from dense_desc_ros.picking.sight import Sight

TRIED_AGAIN = {Reason.EMPTY, Reason.DROPPED}

Step = Callable[[Cancelled], object]


class Picker:
    """Picks with an arm; one pick at a time.

    Args:
        arm: moves.
        look: looks for a reference, and gives its grasps in the arm's base frame.
        settings: how to pick.
        now: seconds, of the clock that the stamps of grasps are of.
    """

    def __init__(
        self, arm: Arm, look: Look, settings: PickSettings, now: Callable[[], float] = time.time
    ) -> None:
        self._arm, self._look, self._settings, self._now = arm, look, settings, now
        self._halted = threading.Event()

    def pick(self, goal: PickGoal, feedback: Feedback, cancelled: Cancelled) -> PickResult:
        """Pick, and say how it went; raises nothing that an arm, a look or a goal is to blame for.

        Args:
            goal: what to pick.
            feedback: is told each phase when it begins.
            cancelled: is asked again and again; once true, the arm stops and is brought home.
        """
        return _Run(
            self._arm,
            self._look,
            self._settings,
            self._now,
            self._halted,
            goal,
            feedback,
            cancelled,
        ).result()

    def halt(self) -> None:
        """Stop the arm where it is, now and for good; may be called from another thread."""
        self._halted.set()
        self._arm.stop()


class _Run:
    """One pick.

    `_way_back` are the steps that bring the arm home from where it is, without dropping anything;
    it is set before each motion, as whatever happens during that motion is undone by them.
    """

    def __init__(
        self,
        arm: Arm,
        look: Look,
        settings: PickSettings,
        now: Callable[[], float],
        halted: threading.Event,
        goal: PickGoal,
        feedback: Feedback,
        cancelled: Cancelled,
    ) -> None:
        self._arm, self._settings, self._halted = arm, settings, halted
        self._goal, self._feedback, self._asked_to_end = goal, feedback, cancelled
        self._phase = Phase.LOOKING
        self._route: Route | None = None
        self._fingers = Fingers(arm, settings)
        self._sight = Sight(look, goal.reference, settings, now, self._end_if_cancelled)
        self._touched = False
        self._way_back: Sequence[Step] = ()

    def result(self) -> PickResult:
        for _ in range(self._settings.attempts):
            reason, message = self._try()
            if reason is None:
                break
            if self._touched:
                where, is_home = self._bring_home(reason)
                message = f"{message}; {where}"
                if is_home and reason in TRIED_AGAIN:
                    self._sight.forget()
                    continue
            break
        grasp = self._route.grasp if self._route else None
        held, held_width = self._fingers.held, self._fingers.held_width
        return PickResult(self._phase, reason, message, grasp, held, held_width)

    def _try(self) -> tuple[Reason | None, str]:
        try:
            return None, self._attempt()
        except PickError as error:
            return error.reason, str(error)
        except ArmError as error:
            return Reason[error.failure.name], str(error)
        except InvalidInputError as error:
            return Reason.INVALID, str(error)
        except Exception as error:  # the arm must not be left as it is for a fault of ours
            logging.getLogger(__name__).exception("a pick failed")
            return Reason.INTERNAL, f"internal error: {error!r}"

    def _attempt(self) -> str:
        goal = self._goal
        motion = Motion.of(goal, self._settings)
        self._begin(Phase.LOOKING)
        if not goal.dry_run:
            self._fingers.check_free()
        route = choose(self._sight.see(), self._arm, goal, motion, self._settings)
        self._route = route
        if goal.dry_run:
            return f"{goal.reference} can be grasped; nothing was moved in a dry run"
        self._approach(route, motion)
        self._close(route, motion)
        self._lift(route, motion)
        if route.above_place is None or route.place is None or route.after_place is None:
            return f"{goal.reference} is held, lifted"
        self._place(route.above_place, route.place, route.after_place, motion)
        self._retreat(route.after_place, motion)
        self._return(motion)
        return f"{goal.reference} was placed"

    def _approach(self, route: Route, motion: Motion) -> None:
        grasp = route.grasp
        self._begin(Phase.APPROACHING)
        self._touched = True
        self._fingers.set_opening(grasp.opening_width)
        self._fingers.open(self._cancelled)
        if self._settings.look_again == "before":
            self._sight.check_unmoved(grasp)
        self._way_back = (self._home(motion),)
        self._arm.avoid(grasp.around)
        self._arm.move_to(route.pre_grasp, motion.speed, self._cancelled)
        if self._settings.look_again == "pregrasp":
            self._sight.check_unmoved(grasp)
        self._way_back = (self._straight(route.pre_grasp, motion), self._home(motion))
        self._arm.move_straight(grasp.T_base_grasp, motion.straight_speed, self._cancelled)

    def _close(self, route: Route, motion: Motion) -> None:
        self._begin(Phase.CLOSING)
        self._way_back = (
            self._fingers.open,
            self._straight(route.pre_grasp, motion),
            self._home(motion),
        )
        self._fingers.close(self._cancelled)

    def _lift(self, route: Route, motion: Motion) -> None:
        self._begin(Phase.LIFTING)
        self._way_back = (  # put it back where it was taken from
            self._straight(route.grasp.T_base_grasp, motion),
            self._fingers.open,
            self._straight(route.pre_grasp, motion),
            self._home(motion),
        )
        self._arm.move_straight(route.lifted, motion.straight_speed, self._cancelled)
        self._check_still_held(motion)

    def _place(
        self, above: FloatArray, place: FloatArray, after: FloatArray, motion: Motion
    ) -> None:
        self._begin(Phase.PLACING)
        self._way_back = (self._home(motion),)
        self._arm.move_to(above, motion.speed, self._cancelled)
        self._check_still_held(motion)
        self._way_back = (self._straight(above, motion), self._home(motion))
        self._arm.move_straight(place, motion.straight_speed, self._cancelled)
        self._way_back = (self._fingers.open, self._straight(after, motion), self._home(motion))
        self._fingers.open(self._cancelled)

    def _retreat(self, after: FloatArray, motion: Motion) -> None:
        self._begin(Phase.RETREATING)
        self._way_back = (self._straight(after, motion), self._home(motion))
        self._arm.move_straight(after, motion.straight_speed, self._cancelled)

    def _return(self, motion: Motion) -> None:
        self._begin(Phase.RETURNING)
        self._way_back = (self._home(motion),)
        self._arm.go_home(motion.speed, self._cancelled)

    def _begin(self, phase: Phase) -> None:
        self._end_if_cancelled()
        self._phase = phase
        self._feedback(phase, self._route.grasp if self._route else None)

    def _cancelled(self) -> bool:
        return self._halted.is_set() or self._asked_to_end()

    def _end_if_cancelled(self) -> None:
        if self._cancelled():
            raise PickError(Reason.CANCELLED, "cancelled")

    def _check_still_held(self, motion: Motion) -> None:
        try:
            self._fingers.check_still_held()
        except PickError:
            self._way_back = (self._home(motion),)  # there is nothing to put back
            raise

    def _straight(self, pose: FloatArray, motion: Motion) -> Step:
        return partial(self._arm.move_straight, pose, motion.straight_speed)

    def _home(self, motion: Motion) -> Step:
        return partial(self._arm.go_home, motion.speed)

    def _bring_home(self, reason: Reason) -> tuple[str, bool]:
        """Stop, and go the way back; says where the arm is now, and whether that is home."""
        if not self._tell_to_stop():
            return "the arm does not answer and may still move", False
        if reason is Reason.CONNECTION or self._halted.is_set():
            return "the arm was stopped where it was", False
        try:
            for step in self._way_back:
                step(self._halted.is_set)
        except Exception as error:
            self._tell_to_stop()
            return f"the arm was stopped on its way back: {error}", False
        moved, self._way_back = bool(self._way_back), ()
        return "the arm is home again" if moved else "the arm has not moved", True

    def _tell_to_stop(self) -> bool:
        try:
            self._arm.stop()
        except ArmError:
            return False
        return True
