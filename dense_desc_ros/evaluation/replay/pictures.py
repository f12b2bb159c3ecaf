"""Pictures of a replay: a film of all its frames, and the best, worst and refused answers."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.grasping.grasp import Grasp

SHOWN = 2  # of the best answers for a reference, of the worst, and of those refused
BEST, WORST, REFUSED = "best", "worst", "refused"
SLOWEST, FASTEST = 1.0, 60.0  # frames a second of a film


class Shown(NamedTuple):
    """An answer to show: of a recording and a frame, both numbered from 0, why, and its score."""

    bag: int
    frame: int
    kind: str
    score: float


def choose_shown(answers: Iterable[Answers]) -> dict[str, list[Shown]]:
    """By reference, the best matches, the worst that were accepted and the best that were not."""
    chosen: dict[str, dict[str, list[Shown]]] = {}
    for each in answers:
        for name, answer in each.by_name().items():
            kinds = chosen.setdefault(name, {BEST: [], WORST: [], REFUSED: []})
            for kind in (BEST, WORST) if isinstance(answer, Grasp) else (REFUSED,):
                kinds[kind].append(Shown(each.bag, each.frame, kind, answer.score))
                kinds[kind].sort(key=lambda shown: shown.score, reverse=kind != WORST)
                del kinds[kind][SHOWN:]
    return {name: _once(kinds) for name, kinds in chosen.items()}


def _once(kinds: dict[str, list[Shown]]) -> list[Shown]:
    """All kinds, without the worst that are among the best already, as in a short recording."""
    best = {(each.bag, each.frame) for each in kinds[BEST]}
    worst = [each for each in kinds[WORST] if (each.bag, each.frame) not in best]
    return [*kinds[BEST], *worst, *kinds[REFUSED]]


def frame_rate(answers: Iterable[Answers]) -> float:
    """Frames a second, on average, kept within what a film can have."""
    count, seconds = 0, 0.0
    for before, after in pairwise(answers):
        if before.bag == after.bag:
            count, seconds = count + 1, seconds + after.seconds - before.seconds
    return min(max(count / seconds, SLOWEST), FASTEST) if seconds > 0 else SLOWEST


class Film:
    """An MP4 file, written frame by frame; use it with `with`.

    Args:
        path: of the file.
        rate: frames a second.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        """Add a picture (H, W, 3), RGB. Those of another size than the first are stretched."""
        if self._writer is None:
            self._size = picture.shape[1], picture.shape[0]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, self._size)
            if not self._writer.isOpened():
                raise DataError(f"cannot write {self._path}")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), np.uint8)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
