"""What the node did and how long it took, for diagnostics and the log. Knows nothing of ROS."""

import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

REASON_LENGTH = 300  # characters
LOG_EVERY = 30.0  # s between two log lines of one kind
TIMED_FRAMES = 100  # medians are over these


@dataclass(frozen=True)
class FrameTimes:
    """Seconds spent on one frame.

    Attributes:
        wait: from its last image's arrival until work on it began.
        messages: converting messages to arrays, and results to messages that are published.
        forward, matching, grasp: see `pipeline.Timings`.
        total: from its last image's arrival until the grasps are published.
    """

    wait: float
    messages: float
    forward: float
    matching: float
    grasp: float
    total: float


def shortened(reason: object) -> str:
    """A reason as text. It may quote what came from outside, and that may be of any length."""
    text = str(reason)
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH]}..."


class Health:
    """Counts frames, times and errors. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: deque[FrameTimes] = deque(maxlen=TIMED_FRAMES)
        self._logged: dict[str, float] = {}
        self._refused: Counter[str] = Counter()
        self._processed = 0
        self._last_error = ""
        self._failing = False

    def processed(self, times: FrameTimes) -> None:
        """A frame went through."""
        with self._lock:
            self._processed += 1
            self._times.append(times)
            self._failing = False

    def refused(self, kind: str, reason: str) -> bool:
        """A frame or message was refused. True if that is worth a line in the log."""
        with self._lock:
            self._refused[kind] += 1
            self._last_error = reason
            self._failing = True
        return self.worth_logging(kind)

    def forget_error(self) -> None:
        """What the newest frame was refused for concerns nobody any more."""
        with self._lock:
            self._failing = False

    def worth_logging(self, kind: str) -> bool:
        """Whether nothing of this kind was logged for a while; it then counts as logged now."""
        now = self._clock()
        with self._lock:
            if now - self._logged.get(kind, -LOG_EVERY) < LOG_EVERY:
                return False
            self._logged[kind] = now
            return True

    @property
    def error(self) -> str:
        """Why the newest frame was refused; empty when it was not."""
        with self._lock:
            return self._last_error if self._failing else ""

    def values(self) -> dict[str, str]:
        """All figures as text, times as medians in milliseconds."""
        with self._lock:
            rows = [astuple(times) for times in self._times]
            values = {"processed": str(self._processed)}
            values["refused"] = str(self._refused.total())
            values |= {f"refused.{kind}": str(n) for kind, n in sorted(self._refused.items())}
            values["last_error"] = self._last_error
        for field, column in zip(fields(FrameTimes), zip(*rows, strict=True), strict=False):
            values[f"{field.name}_ms"] = f"{1e3 * statistics.median(column):.2f}"
        return values
