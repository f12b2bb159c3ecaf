"""Pairing of colour and depth: whatever comes in, in whatever order, and however long."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from dense_desc_ros.nodes.synchronizer import CAPACITY, RgbdMessages, Synchronizer

SLOP = 10
KINDS = st.sampled_from(["color", "depth", "camera_info", "take"])
EVENTS = st.lists(st.tuples(KINDS, st.integers(0, 300)), max_size=200)


def synchronizer(camera_info: object = "info") -> Synchronizer:
    ticks = count()
    made = Synchronizer(SLOP, clock=lambda: float(next(ticks)))
    if camera_info is not None:
        made.add_camera_info(camera_info)
    return made


def pair(messages: RgbdMessages | None) -> tuple[object, object] | None:
    return None if messages is None else (messages.color, messages.depth)


@given(EVENTS)
def test_invariants(events: list[tuple[str, int]]) -> None:
    sync = synchronizer(camera_info=None)
    taken: list[RgbdMessages] = []
    ready = False
    for serial, (kind, stamp) in enumerate(events):
        if kind == "take":
            messages = sync.take()
            assert (messages is not None) == ready
            ready = False
            taken += [messages] if messages else []
        else:
            add = {"color": sync.add_color, "depth": sync.add_depth}.get(kind)
            became = add(stamp, (serial, stamp)) if add else sync.add_camera_info(serial)
            assert not (became and ready)
            ready = ready or became

    counts = sync.counts
    for kind in ("color", "depth", "camera_info"):
        assert getattr(counts, kind) == sum(k == kind for k, _ in events)
    for messages in taken:
        assert abs(messages.color[1] - messages.depth[1]) <= SLOP
    for field in ("color", "depth"):  # newer ones only, so none twice
        serials = [getattr(messages, field)[0] for messages in taken]
        assert serials == sorted(set(serials))
    waiting = counts.color + counts.depth - 2 * counts.paired - counts.unsynchronised
    assert 0 <= waiting <= CAPACITY * 2
    untaken = counts.paired - counts.dropped - len(taken)
    assert untaken in (0, 1) and untaken >= ready


def test_forgets_images_but_not_intrinsics() -> None:
    sync = synchronizer()
    sync.add_color(0, "old")
    sync.add_depth(0, "old")
    sync.add_color(100, "waiting")
    sync.clear()
    assert sync.take() is None
    assert not sync.add_depth(100, "late")
    sync.clear()
    sync.add_color(200, "new")
    assert sync.add_depth(200, "new")
    assert pair(sync.take()) == ("new", "new")


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30))
def test_every_frame_in_step_is_paired(frames: list[tuple[int, bool]]) -> None:
    sync = synchronizer()
    stamp = 0
    for gap, color_first in frames:
        stamp += gap
        first, second = (sync.add_color, sync.add_depth)[:: 1 if color_first else -1]
        assert not first(stamp, stamp)
        assert second(stamp, stamp)
        assert pair(sync.take()) == (stamp, stamp)
    assert sync.counts.unsynchronised == sync.counts.dropped == 0


def test_only_the_newest_pair_is_kept() -> None:
    sync = synchronizer()
    ready = [[sync.add_color(t, t), sync.add_depth(t, t)] for t in (100, 200, 300)]
    assert ready == [[False, True], [False, False], [False, False]]
    assert pair(sync.take()) == (300, 300)
    assert sync.take() is None
    assert sync.counts.dropped == 2


def test_nearest_partner_wins_and_older_ones_are_given_up() -> None:
    sync = synchronizer()
    for stamp in (100, 107, 112):
        sync.add_depth(stamp, stamp)
    sync.add_color(108, "color")
    assert pair(sync.take()) == ("color", 107)
    assert sync.counts.unsynchronised == 1
    sync.add_color(113, "next")
    assert pair(sync.take()) == ("next", 112)


def test_beyond_the_slop_nothing_pairs() -> None:
    sync = synchronizer()
    for stamp in range(0, 10_000, 100):
        assert not sync.add_color(stamp, stamp)
        assert not sync.add_depth(stamp + SLOP + 1, stamp)
    assert sync.counts.paired == 0
    assert sync.counts.unsynchronised == 200 - 2 * CAPACITY


def test_recording_that_starts_over_goes_on_at_once() -> None:
    sync = synchronizer()
    for _ in range(3):
        for stamp in (1000, 2000, 3000):
            sync.add_color(stamp, stamp)
            sync.add_depth(stamp, stamp)
            assert pair(sync.take()) == (stamp, stamp)
        sync.add_color(4000, "the depth of which is lost")
    # The last one waits still; no later pair was complete before it could be one.
    assert sync.counts.paired == 9 and sync.counts.unsynchronised == 2


def test_first_pair_waits_for_camera_info() -> None:
    sync = synchronizer(camera_info=None)
    assert not sync.add_color(5, "color")
    assert not sync.add_depth(5, "depth")
    assert sync.take() is None
    assert sync.add_camera_info("first")
    assert not sync.add_camera_info("second")
    assert sync.take() == RgbdMessages("color", "depth", "second", arrived=0.0)


def test_pairs_wait_for_the_intrinsics_of_depth_only_where_these_are_needed() -> None:
    for needed in (False, True):
        sync = synchronizer()
        sync.with_depth_info = needed
        sync.add_color(5, "color")
        assert sync.add_depth(5, "depth") != needed
        assert sync.add_depth_info("of depth") == needed
        assert not sync.add_depth_info("newer")
        taken = RgbdMessages("color", "depth", "info", 0.0, "newer" if needed else None)
        assert sync.take() == taken
