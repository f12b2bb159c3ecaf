"""Frames of a recording as a browser can show them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import cv2

from dense_desc_ros.data.indexed_recording import IndexedFrame, IndexedRecording
from dense_desc_ros.data.millimetres import to_millimetres
from dense_desc_ros.errors import DataError

KEPT = 8  # frames


class Encoded(NamedTuple):
    """A frame: its picture as PNG, and its depth as little-endian uint16, mm, 0 for none."""

    png: bytes
    depth: bytes


class FrameServer:
    """Reads frames for any number of threads; use it with `with`.

    Bags are read in one thread of its own, since SQLite ones cannot be in several.

    Args:
        make: makes the recording, which is not yet open.
        frames: of its index.
    """

    def __init__(
        self, make: Callable[[], IndexedRecording], frames: Sequence[IndexedFrame]
    ) -> None:
        self._make = make
        self._frames = frames
        self._encoded = lru_cache(KEPT)(self._encode)
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> "FrameServer":
        self._recording = self._make()
        self._thread.submit(self._recording.__enter__).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._recording.__exit__).result()
        self._thread.shutdown()

    def __len__(self) -> int:
        return len(self._frames)

    def get(self, number: int) -> Encoded:
        """A frame.

        Raises:
            DataError: there is no such frame, or it cannot be decoded.
        """
        return self._thread.submit(self._encoded, number).result()

    def _encode(self, number: int) -> Encoded:
        if not 0 <= number < len(self._frames):
            raise DataError(f"there is no frame {number}")
        frame = self._recording.read(self._frames[number]).frame
        picture = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        png = cv2.imencode(".png", picture, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1]
        return Encoded(png.tobytes(), to_millimetres(frame.depth).astype("<u2").tobytes())
