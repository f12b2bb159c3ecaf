"""How often things happened lately, from counters that only grow. Knows nothing of ROS."""

from collections import deque
from typing import NamedTuple

WINDOW = 10.0  # s
LEAST_PAIRS = 20  # that a share of dropped ones means something of


class Counts(NamedTuple):
    """How much there has been of each since the start."""

    color: int
    paired: int
    dropped: int
    processed: int


class Rates:
    """Differences over the last WINDOW seconds of counts that are noted now and then."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, Counts]] = deque()

    def note(self, now: float, counts: Counts) -> None:
        """Take the counts of this moment, in seconds of any steady clock."""
        self._noted.append((now, counts))
        while len(self._noted) > 2 and now - self._noted[1][0] >= WINDOW:
            self._noted.popleft()

    @property
    def input_hz(self) -> float:
        """Colour images received per second."""
        return self._per_second("color")

    @property
    def output_hz(self) -> float:
        """Frames processed per second."""
        return self._per_second("processed")

    @property
    def dropped(self) -> float:
        """The share, 0 to 1, of complete frames that newer ones replaced; 0 of only a few."""
        paired = self._difference("paired")
        return self._difference("dropped") / paired if paired >= LEAST_PAIRS else 0.0

    def _per_second(self, name: str) -> float:
        seconds = self._noted[-1][0] - self._noted[0][0] if self._noted else 0.0
        return self._difference(name) / seconds if seconds > 0 else 0.0

    def _difference(self, name: str) -> int:
        if not self._noted:
            return 0
        return int(getattr(self._noted[-1][1], name) - getattr(self._noted[0][1], name))
