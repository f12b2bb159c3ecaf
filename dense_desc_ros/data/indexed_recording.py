"""Frames of a recording in any order."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from dense_desc_ros.data.pairing import Stamped
from dense_desc_ros.data.recordings import ALL, RecordedFrame, Recording
from dense_desc_ros.errors import DataError

Instant = tuple[int, int]  # ns: an image's stamp, and when it was recorded


@dataclass(frozen=True)
class IndexedFrame:
    """Where a frame is in its recording: `number` and `seconds` as of a RecordedFrame."""

    number: int
    seconds: float
    color: Instant
    depth: Instant
    camera_info: Any


class IndexedRecording(Recording):
    """A Recording that is read once from end to end, and from then on wherever one looks.

    Of each frame only a few numbers are kept. Where a bag has an index, a frame costs as much as
    its own messages; others are scanned for it.
    """

    def index(self) -> list[IndexedFrame]:
        """Where the frames are, by number. That some cannot be decoded shows when they are read."""
        cameras: dict[Any, Any] = {}
        found = []
        pairs = track(
            self._pairs(ALL), f"Indexing {self.name}", self.expected(), console=Console(stderr=True)
        )
        for number, (color, depth) in enumerate(pairs):
            info = color.message[1]
            info = cameras.setdefault(_intrinsics(info), info)
            instants = _instant(color), _instant(depth)
            found.append(IndexedFrame(number, self._seconds(color), *instants, info))
        return found

    def read(self, indexed: IndexedFrame) -> RecordedFrame:
        """A frame of the index.

        Raises:
            DataError: it cannot be decoded.
        """
        recorded = indexed.color[1], indexed.depth[1]
        color = depth = None
        for image in self._images(max(recorded) + 1, min(recorded)):
            if image.is_color and _instant(image) == indexed.color:
                color = replace(image, message=(image.message[0], indexed.camera_info))
            elif not image.is_color and _instant(image) == indexed.depth:
                depth = image
        self.left_out.examples.clear()
        frame = None if color is None or depth is None else self._decode(color, depth)
        if color is None or frame is None:
            reason = "; ".join(self.left_out.examples.values()) or "it is no longer there"
            raise DataError(f"cannot read frame {indexed.number} of {self.name}: {reason}")
        return RecordedFrame(indexed.number, indexed.seconds, frame, color.recorded_ns)


def _instant(image: Stamped) -> Instant:
    return image.stamp_ns, image.recorded_ns


def _intrinsics(info: Any) -> Any:
    """What two messages about the same camera have in common."""
    arrays = (getattr(info, name, getattr(info, name.upper(), None)) for name in "kdp")
    matrices = (np.asarray(each, dtype=float).tobytes() for each in arrays if each is not None)
    return info.width, info.height, info.distortion_model, *matrices
