"""What the node did and how long it took, for diagnostics and the log. Knows nothing of ROS."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

import numpy as np

REASON_LENGTH = 300  # characters
LOG_EVERY = 30.0  # s between two log lines of one kind
TIMED_FRAMES = 300  # percentiles are over these
TAILS = (95, 99)  # percentiles of the times that are told beside the median


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
    """Counts frames, times, requests and errors. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: deque[FrameTimes] = deque(maxlen=TIMED_FRAMES)
        self._invalid_depth: deque[float] = deque(maxlen=TIMED_FRAMES)
        self._logged: dict[str, float] = {}
        self._refused: Counter[str] = Counter()
        self._requests_refused: Counter[str] = Counter()
        self._requests = 0
        self._processed = 0
        self._error = ""  # of the newest frame
        self._last_error = ""
        self._last_error_at = 0.0

    def processed(self, times: FrameTimes, invalid_depth: float) -> None:
        """A frame went through; this share, 0 to 1, of its pixels had no depth."""
        with self._lock:
            self._processed += 1
            self._times.append(times)
            self._invalid_depth.append(invalid_depth)
            self._error = ""

    def refused(self, kind: str, reason: str) -> bool:
        """A frame or message was refused. True if that is worth a line in the log."""
        with self._lock:
            self._refused[kind] += 1
            self._error = reason
            self._note(reason)
        return self.worth_logging(kind)

    def requested(self) -> None:
        """A service was called, or a point was clicked."""
        with self._lock:
            self._requests += 1

    def request_refused(self, kind: str, reason: str) -> bool:
        """A request was refused. True if that is worth a line in the log."""
        with self._lock:
            self._requests_refused[kind] += 1
            self._note(reason)
        return self.worth_logging(f"request {kind}")

    def forget_error(self) -> None:
        """What the newest frame was refused for concerns nobody any more."""
        with self._lock:
            self._error = ""

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
            return self._error

    @property
    def frames(self) -> int:
        """How many went through."""
        with self._lock:
            return self._processed

    @property
    def invalid_depth(self) -> float:
        """The share, 0 to 1, of pixels without depth: the median of the last frames; 0 of none."""
        with self._lock:
            return float(np.median(self._invalid_depth)) if self._invalid_depth else 0.0

    def latency(self, percentile: float) -> float:
        """Seconds from a frame's arrival to its grasps, of the last frames; 0 of none."""
        with self._lock:
            totals = [times.total for times in self._times]
        return float(np.percentile(totals, percentile)) if totals else 0.0

    def values(self) -> dict[str, str]:
        """All figures as text: times in milliseconds, their medians and higher percentiles."""
        with self._lock:
            rows = [astuple(times) for times in self._times]
            values = {
                "processed": str(self._processed),
                **_counts("refused", self._refused),
                "requests": str(self._requests),
                **_counts("requests_refused", self._requests_refused),
                "last_error": self._last_error,
            }
            if self._last_error:
                values["last_error_age_s"] = f"{self._clock() - self._last_error_at:.1f}"
        for field, column in zip(fields(FrameTimes), zip(*rows, strict=True), strict=False):
            median, *tails = 1e3 * np.percentile(column, [50, *TAILS])
            values[f"{field.name}_ms"] = f"{median:.2f}"
            for percentile, value in zip(TAILS, tails, strict=True):
                values[f"{field.name}_p{percentile}_ms"] = f"{value:.2f}"
        return values

    def _note(self, reason: str) -> None:
        self._last_error, self._last_error_at = reason, self._clock()


def _counts(what: str, counter: Counter[str]) -> dict[str, str]:
    """The total, and what it is made of."""
    return {
        what: str(counter.total()),
        **{f"{what}.{kind}": str(n) for kind, n in sorted(counter.items())},
    }
