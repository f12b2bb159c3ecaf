"""Puts colour, depth and camera_info of one moment together, and keeps the newest."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CAPACITY = 8  # images waiting for their partner, of each kind


@dataclass(frozen=True)
class RgbdMessages:
    """The messages of one frame, and when (`clock` of the synchronizer) it was complete.

    There is a `depth_info` for depth that is not aligned to colour.
    """

    color: Any
    depth: Any
    camera_info: Any
    arrived: float
    depth_info: Any = None


@dataclass(frozen=True)
class SynchronizerCounts:
    """What came in and what became of it.

    Attributes:
        color, depth, camera_info, depth_info: messages received.
        paired: colour images that found a depth image within the slop.
        dropped: of these, given up for a newer pair before anybody took them.
        unsynchronised: colour or depth images given up without a partner.
    """

    color: int = 0
    depth: int = 0
    camera_info: int = 0
    depth_info: int = 0
    paired: int = 0
    dropped: int = 0
    unsynchronised: int = 0


class Synchronizer:
    """Pairs colour with depth by time stamp. Thread-safe; never holds more than a few messages.

    An image pairs with the waiting one nearest in time, at most `slop_ns` away; what waited longer
    than that partner is given up, as is the oldest when too many wait. Only arrival orders the
    images, so that stamps may jump, as when a recording starts over. Of the complete pairs only the
    newest is kept. Intrinsics hardly ever change, and some cameras send them only once: the newest
    camera_info goes with any pair, and pairs wait for the first one.

    Args:
        slop_ns: how far the stamps of a pair may differ; less than half the time between images, or
            neighbouring ones mix.
        clock: seconds, for `RgbdMessages.arrived`.

    Attributes:
        slop_ns: see above.
        with_depth_info: frames need the intrinsics of the depth camera as well.
    """

    def __init__(self, slop_ns: int, clock: Callable[[], float]) -> None:
        self.slop_ns = slop_ns
        self.with_depth_info = False
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[int, Any]]] = {"color": deque(), "depth": deque()}
        self._infos: dict[str, Any] = {"camera_info": None, "depth_info": None}
        self._newest: tuple[Any, Any, float] | None = None
        self._counts = dict.fromkeys(SynchronizerCounts.__dataclass_fields__, 0)

    @property
    def counts(self) -> SynchronizerCounts:
        with self._lock:
            return SynchronizerCounts(**self._counts)

    def add_color(self, stamp_ns: int, message: Any) -> bool:
        """Add a colour image. True when this makes a frame ready and none was before."""
        return self._add("color", "depth", stamp_ns, message)

    def add_depth(self, stamp_ns: int, message: Any) -> bool:
        """Add a depth image. True when this makes a frame ready and none was before."""
        return self._add("depth", "color", stamp_ns, message)

    def add_camera_info(self, message: Any) -> bool:
        """Add intrinsics of colour. True when this makes a frame ready and none was before."""
        return self._add_info("camera_info", message)

    def add_depth_info(self, message: Any) -> bool:
        """Add intrinsics of depth. True when this makes a frame ready and none was before."""
        return self._add_info("depth_info", message)

    def clear(self) -> None:
        """Give all images up. Intrinsics stay: the camera may not send them again."""
        with self._lock:
            self._counts["dropped"] += self._newest is not None
            self._newest = None
            for kind in self._waiting:
                self._give_up(kind)

    def take(self) -> RgbdMessages | None:
        """The newest complete frame, once; None if there is none since the last time."""
        with self._lock:
            if self._newest is None or not self._has_infos():
                return None
            color, depth, arrived = self._newest
            self._newest = None
            camera_info, depth_info = self._infos.values()
            if not self.with_depth_info:
                depth_info = None
            return RgbdMessages(color, depth, camera_info, arrived, depth_info)

    def _add(self, kind: str, other: str, stamp_ns: int, message: Any) -> bool:
        with self._lock:
            self._counts[kind] += 1
            partner = self._take_partner(other, stamp_ns)
            if partner is None:
                self._wait(kind, stamp_ns, message)
                return False
            self._give_up(kind)
            pair = {kind: message, other: partner}
            self._counts["paired"] += 1
            self._counts["dropped"] += self._newest is not None
            was_ready = self._newest is not None
            self._newest = (pair["color"], pair["depth"], self._clock())
            return self._has_infos() and not was_ready

    def _add_info(self, kind: str, message: Any) -> bool:
        with self._lock:
            self._counts[kind] += 1
            had_infos = self._has_infos()
            self._infos[kind] = message
            return self._has_infos() and not had_infos and self._newest is not None

    def _has_infos(self) -> bool:
        camera_info, depth_info = self._infos.values()
        return camera_info is not None and not (self.with_depth_info and depth_info is None)

    def _take_partner(self, kind: str, stamp_ns: int) -> Any:
        """Remove and return the waiting image nearest in time; what came before it is given up."""
        waiting = self._waiting[kind]
        distances = [abs(stamp_ns - stamp) for stamp, _ in waiting]
        if not distances or min(distances) > self.slop_ns:
            return None
        for _ in range(distances.index(min(distances))):
            waiting.popleft()
            self._counts["unsynchronised"] += 1
        return waiting.popleft()[1]

    def _wait(self, kind: str, stamp_ns: int, message: Any) -> None:
        waiting = self._waiting[kind]
        if len(waiting) == CAPACITY:
            waiting.popleft()
            self._counts["unsynchronised"] += 1
        waiting.append((stamp_ns, message))

    def _give_up(self, kind: str) -> None:
        self._counts["unsynchronised"] += len(self._waiting[kind])
        self._waiting[kind].clear()
