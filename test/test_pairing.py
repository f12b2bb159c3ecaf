"""Images put together by their stamps: as many pairs as possible, of the nearest."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dense_desc_ros.data.pairing import LOOKAHEAD, Stamped, pair


def paired(images: list[Stamped], slop: int) -> tuple[list[tuple[Stamped, Stamped]], list[Stamped]]:
    alone: list[Stamped] = []
    return list(pair(images, slop, alone.append)), alone


@settings(max_examples=300)
@given(
    images=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=14),
    slop=st.integers(0, 15),
)
@example(images=[(True, 0), (True, 10), (False, 20), (False, 30)], slop=10)
def test_pairs_are_as_many_and_as_near_as_can_be(images: list[tuple[bool, int]], slop: int) -> None:
    stamped = [Stamped(is_color, stamp, n, n) for n, (is_color, stamp) in enumerate(images)]
    pairs, alone = paired(stamped, slop)
    used = [each.message for couple in pairs for each in couple]
    assert sorted(used + [each.message for each in alone]) == list(range(len(images)))
    differences = [abs(a.stamp_ns - b.stamp_ns) for a, b in pairs]
    assert all(a.is_color and not b.is_color for a, b in pairs)
    assert all(difference <= slop for difference in differences)
    colors = np.array([stamp for is_color, stamp in images if is_color])
    depths = np.array([stamp for is_color, stamp in images if not is_color])
    apart = np.abs(colors[:, None] - depths).reshape(len(colors), len(depths))
    best = linear_sum_assignment(np.where(apart <= slop, apart, 10_000))
    possible = apart[best][apart[best] <= slop]
    assert (len(pairs), sum(differences)) == (len(possible), possible.sum())


def test_pairs_of_a_long_recording_that_starts_over() -> None:
    """Depth comes ten images late, and stamps begin anew in the middle."""
    images = []
    for n in range(500):
        images.append(Stamped(True, n % 250 * 33, n, n))
        if n >= 10:
            images.append(Stamped(False, (n - 10) % 250 * 33 + 5, n, n - 10))
    pairs, alone = paired(images, 10)
    assert [(a.message, b.message) for a, b in pairs] == [(n, n) for n in range(490)]
    assert [each.message for each in alone] == list(range(490, 500))
    assert LOOKAHEAD < 100  # what is held of a recording does not grow with it
