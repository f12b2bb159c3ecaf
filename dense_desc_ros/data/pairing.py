"""Colour images and the depth images of the same moment, in a recording."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

LOOKAHEAD = 60  # images that wait for their partner: a second of colour and depth at 30 Hz


@dataclass(frozen=True, eq=False)
class Stamped:
    """An image, `is_color` or depth, taken at `stamp_ns` and recorded at `recorded_ns`."""

    is_color: bool
    stamp_ns: int
    recorded_ns: int
    message: Any


Pair = tuple[Stamped, Stamped]


def pair(
    images: Iterable[Stamped], slop_ns: int, give_up: Callable[[Stamped], object]
) -> Iterator[Pair]:
    """Pairs of colour and depth whose stamps differ by at most `slop_ns`, in order of recording.

    As many as possible, and of these possibilities the one with the least differences; each image
    is used once. Only the order of the images matters, not when they are asked for, and stamps may
    jump: an image finds its partner among the LOOKAHEAD images recorded after it.

    Args:
        images: in order of recording.
        slop_ns: see above.
        give_up: called with each image that has no partner.
    """
    waiting: deque[Stamped] = deque()
    for image in images:
        waiting.append(image)
        if len(waiting) > LOOKAHEAD:
            yield from _settle(waiting, slop_ns, give_up)
    while waiting:
        yield from _settle(waiting, slop_ns, give_up)


def _settle(
    waiting: deque[Stamped], slop_ns: int, give_up: Callable[[Stamped], object]
) -> Iterator[Pair]:
    """Decide on the image that waits longest."""
    oldest = waiting[0]
    for color, depth in _best_pairs(_neighbours(oldest, waiting, slop_ns), slop_ns):
        if oldest in (color, depth):
            waiting.remove(color)
            waiting.remove(depth)
            yield color, depth
            return
    waiting.popleft()
    give_up(oldest)


def _neighbours(image: Stamped, waiting: Iterable[Stamped], slop_ns: int) -> list[Stamped]:
    """All that can have to do with whom the image is paired with, in order of their stamps."""
    ordered = sorted(waiting, key=lambda each: each.stamp_ns)
    first = last = ordered.index(image)
    while first > 0 and ordered[first].stamp_ns - ordered[first - 1].stamp_ns <= slop_ns:
        first -= 1
    while (
        last + 1 < len(ordered) and ordered[last + 1].stamp_ns - ordered[last].stamp_ns <= slop_ns
    ):
        last += 1
    return ordered[first : last + 1]


def _best_pairs(images: list[Stamped], slop_ns: int) -> list[Pair]:
    """The most pairs, with the least sum of differences, by dynamic programming.

    In one best solution no two pairs cross, so the best of the first i colours and j depths follows
    from that of fewer.
    """
    colors = [each for each in images if each.is_color]
    depths = [each for each in images if not each.is_color]
    # best[j]: number of pairs, minus the sum of differences, and the pairs, of the first j depths.
    best: list[tuple[int, int, list[Pair]]] = [(0, 0, [])] * (len(depths) + 1)
    for color in colors:
        fewer, best = best, best[:1]
        for j, depth in enumerate(depths):
            options = [fewer[j + 1], best[j]]
            difference = abs(color.stamp_ns - depth.stamp_ns)
            if difference <= slop_ns:
                count, total, pairs = fewer[j]
                options.append((count + 1, total - difference, [*pairs, (color, depth)]))
            best.append(max(options, key=lambda option: option[:2]))
    return best[-1][2]
