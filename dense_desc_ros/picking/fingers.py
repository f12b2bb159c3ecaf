"""Opening and closing the fingers, and judging by their width and stall what is between them."""

import math

from dense_desc_ros.picking.arm import Arm, Cancelled, GripperState
from dense_desc_ros.picking.pick import PickError, Reason
from dense_desc_ros.picking.settings import PickSettings


class Fingers:
    """The fingers of an arm during one pick. Every method also raises ArmError.

    Attributes:
        opening: distance that they open to, metres.
        held: something is, or may be, between them.
        held_width: their distance when they last held something, metres; NaN if they never did.
    """

    def __init__(self, arm: Arm, settings: PickSettings) -> None:
        self._arm, self._settings = arm, settings
        self.opening = settings.max_opening
        self.held, self.held_width = False, math.nan

    def set_opening(self, width: float) -> None:
        """Open to the width of a grasp, NaN when unknown, but no wider than the gripper can."""
        greatest = self._settings.max_opening
        self.opening = greatest if math.isnan(width) else min(width, greatest)

    def check_free(self) -> None:
        """Raise PickError if they hold something, which opening them would drop."""
        if self._holds(self._arm.gripper()):
            self.held = True
            raise PickError(
                Reason.OCCUPIED,
                "something is between the fingers, which opening them would drop: take it out, "
                "then open the gripper",
            )

    def open(self, cancelled: Cancelled) -> None:
        """Open them. Raises PickError if they are blocked."""
        state = self._arm.move_gripper(self.opening, cancelled)
        if state.width < self.opening - self._settings.opening_tolerance:
            raise PickError(
                Reason.GRIPPER,
                f"the fingers did not open to {1e3 * self.opening:.1f} mm: {_described(state)}",
            )
        self.held = False

    def close(self, cancelled: Cancelled) -> None:
        """Close them on something. Raises PickError if there is nothing, or they are blocked."""
        settings = self._settings
        self.held = True  # it may be, from now on
        state = self._arm.move_gripper(settings.close_width, cancelled)
        self.held, self.held_width = self._holds(state), state.width
        if state.stalled and state.width > self.opening - settings.min_finger_travel:
            raise PickError(Reason.GRIPPER, f"the fingers did not close: {_described(state)}")
        if not state.stalled and state.width > settings.close_width + settings.opening_tolerance:
            raise PickError(
                Reason.GRIPPER,
                f"the fingers stopped without closing on anything: {_described(state)}",
            )
        if not self.held:
            raise PickError(Reason.EMPTY, f"nothing is between the fingers: {_described(state)}")

    def check_still_held(self) -> None:
        """Raise PickError if what they closed on is no longer there."""
        state = self._arm.gripper()
        self.held = self._holds(state)
        if not self.held:
            raise PickError(
                Reason.DROPPED, f"the object fell out of the fingers: {_described(state)}"
            )
        self.held_width = state.width

    def _holds(self, state: GripperState) -> bool:
        return state.stalled and state.width >= self._settings.min_held_width


def _described(state: GripperState) -> str:
    pressing = "pressing on something" if state.stalled else "pressing on nothing"
    return f"{1e3 * state.width:.1f} mm apart, {pressing}"
