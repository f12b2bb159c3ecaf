"""Films: pictures one by one into an MP4 file that browsers play, and out of it again."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.drawings import Picture

# Without pictures that refer to later ones each is found by its number. One thread is as quick as
# more, beside everything else that is done for a picture.
ENCODER = {"preset": "veryfast", "crf": "23", "bf": "0", "threads": "1"}


class Film:
    """An MP4 file (H.264), written picture by picture; use it with `with`.

    Args:
        path: of the file.
        rate: pictures a second.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        # With its index at the beginning it plays while it is loaded.
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        rate_hz = Fraction(rate).limit_denominator(1000)
        self._stream = self._file.add_stream("libx264", rate=rate_hz, options=ENCODER)
        self._stream.pix_fmt = "yuv420p"
        self._size: tuple[int, int] | None = None
        self._failed = False

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_: object) -> None:
        if self._failed:  # then its end cannot be written, and libavformat crashes if it is tried
            return
        with self._told(), self._file:
            if self._size is not None:
                self._file.mux(self._stream.encode())

    def add(self, picture: Picture) -> None:
        """Add a picture (H, W, 3), RGB. Those of another size than the first are stretched."""
        height, width = picture.shape[:2]
        if self._size is None:
            # The colour of two by two pixels is stored once.
            self._size = self._stream.width, self._stream.height = width & ~1, height & ~1
        if (width, height) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), np.uint8)
        # Four times as fast as libswscale, which would do it otherwise.
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        with self._told():
            self._file.mux(self._stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            raise DataError(f"cannot write {self._path}: {error}") from error


def read_film(path: Path, wanted: Collection[int]) -> dict[int, Picture]:
    """Pictures (H, W, 3), RGB, of a film by number; without those that it does not have."""
    film = cv2.VideoCapture(str(path))
    pictures: dict[int, Picture] = {}
    try:
        for number in sorted(wanted):
            film.set(cv2.CAP_PROP_POS_FRAMES, number)
            ok, picture = film.read()
            if ok:
                pictures[number] = np.ascontiguousarray(picture[..., ::-1], np.uint8)
    finally:
        film.release()
    return pictures
