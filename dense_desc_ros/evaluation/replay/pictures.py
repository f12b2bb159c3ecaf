"""Which answers of a replay are shown: the best, the worst, and refused ones."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

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
