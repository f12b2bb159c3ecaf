"""Looking until what is seen is recent, and whether it has moved since."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from dense_desc_ros.picking.choice import distance
from dense_desc_ros.picking.pick import Candidate, Look, PickError, Reason, Sighting
from dense_desc_ros.picking.settings import PickSettings


class Sight:
    """Sight of the object of one pick. Every method raises what `go_on` raises.

    Args:
        look: looks once.
        reference: to look for.
        settings: how old grasps may be, and how often to look.
        now: seconds, of the clock that the stamps of grasps are of.
        go_on: is called before each look; raises PickError when the pick is to end.
    """

    def __init__(
        self,
        look: Look,
        reference: str,
        settings: PickSettings,
        now: Callable[[], float],
        go_on: Callable[[], None],
    ) -> None:
        self._look, self._reference, self._settings = look, reference, settings
        self._now, self._go_on = now, go_on
        self._after = -math.inf

    def forget(self) -> None:
        """What was seen until now is out of date."""
        self._after = self._now()

    def see(self) -> Sighting:
        """What is seen now.

        Raises:
            PickError: nothing is found, or nothing that is not stale.
        """
        settings = self._settings
        for look in range(settings.looks):
            if look:
                time.sleep(settings.look_pause)
            self._go_on()
            sighting = self._look(self._reference)
            now = self._now()
            recent = [c for c in sighting.candidates if self._is_recent(c, now)]
            if recent:
                return replace(sighting, candidates=recent)
        looked = f"{self._reference!r} was looked for {settings.looks} times"
        if not sighting.candidates:
            reasons = "; ".join(sighting.reasons) or "no reason was given"
            raise PickError(Reason.NOT_FOUND, f"{looked} and not found: {reasons}")
        age = now - max(candidate.stamp for candidate in sighting.candidates)
        raise PickError(
            Reason.STALE,
            f"{looked}, but the newest grasp was seen {age:.1f} s ago: no newer frames are coming "
            f"in, or max_age ({settings.max_age:g} s) is too short, or the clocks disagree",
        )

    def check_unmoved(self, grasp: Candidate) -> None:
        """Look again, at a later frame.

        Raises:
            PickError: MOVED, the object is no longer where it was; or as `see` does.
        """
        self._after = grasp.stamp
        again = self.see().candidates
        metres, radians = min(distance(grasp.T_base_grasp, c.T_base_grasp) for c in again)
        settings = self._settings
        if metres > settings.moved_limit or radians > settings.turned_limit:
            raise PickError(
                Reason.MOVED,
                f"{grasp.name} has moved by {1e3 * metres:.0f} mm and "
                f"{math.degrees(radians):.0f} degrees since the grasp was chosen",
            )

    def _is_recent(self, candidate: Candidate, now: float) -> bool:
        age = now - candidate.stamp
        return candidate.stamp > self._after and abs(age) <= self._settings.max_age
