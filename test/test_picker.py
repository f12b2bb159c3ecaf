"""A pick ends well, or in a known state with nothing dropped, whatever fails and whenever."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pick_world import GOAL, GRASP, PLACE, SETTINGS, world
from scripted_arm import pose_above

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.picking.arm import ArmError, ArmFailure
from dense_desc_ros.picking.choice import HALF_TURN, choose
from dense_desc_ros.picking.pick import (
    Candidate,
    Phase,
    PickError,
    PickGoal,
    Reason,
    Sighting,
)
from dense_desc_ros.picking.settings import Motion, PickSettings

MOTIONS = ["move_gripper", "move_to", "move_straight", "move_gripper", "move_straight", "gripper"]
PLACING = ["move_to", "gripper", "move_straight", "move_gripper", "move_straight", "go_home"]


def successful_calls() -> list[str]:
    done = world()
    assert done.pick().success
    return done.arm.calls


CALLS = successful_calls()
DOING = [number for number, call in enumerate(CALLS) if call != "check"]


def test_picks_and_places() -> None:
    done = world()
    result = done.pick()
    assert result.success and result.phase is Phase.RETURNING and not result.held
    assert result.held_width == pytest.approx(0.03)
    assert [phase for phase, _ in done.phases] == list(Phase)
    assert [chosen for _, chosen in done.phases] == [False] + [True] * 6
    assert done.arm.calls == ["gripper", *["check"] * 6, *MOTIONS, *PLACING]
    np.testing.assert_allclose(done.arm.object_at, PLACE[:3, 3])
    assert done.arm.is_home and not done.arm.fell


def test_the_arm_is_told_what_to_keep_clear_of() -> None:
    told = world()
    told.around = GRASP[:3, 3] + np.array([[0.0, 0.0, -0.02], [0.03, 0.0, -0.05]])
    assert told.pick().success
    np.testing.assert_array_equal(told.arm.avoided, told.around)


def test_holds_what_it_is_not_told_to_place_and_drops_it_for_nothing() -> None:
    held = world()
    held.goal = PickGoal("cap", retreat_distance=0.2)
    result = held.pick()
    assert result.success and result.held and result.phase is Phase.LIFTING
    assert held.arm.object_at[2] == pytest.approx(GRASP[2, 3] + 0.2)
    again = held.pick()
    assert again.reason is Reason.OCCUPIED and again.held and not held.arm.fell


def test_a_dry_run_moves_nothing() -> None:
    dry = world()
    dry.goal = replace(GOAL, dry_run=True)
    result = dry.pick()
    assert result.success and result.grasp is not None
    assert set(dry.arm.calls) == {"check"}


@pytest.mark.parametrize("failure", [f for f in ArmFailure if f is not ArmFailure.CANCELLED])
@pytest.mark.parametrize("call", DOING)
def test_whatever_fails_nothing_falls_and_the_arm_is_at_home(
    call: int, failure: ArmFailure
) -> None:
    """The call with this number of a pick that goes well."""
    failing = world(failures={call: ArmError(failure, "on command")})
    result = failing.pick()
    arm = failing.arm
    assert result.reason is Reason[failure.name] and "on command" in result.message
    assert result.phase is failing.phases[-1][0]
    assert not arm.fell and (result.held or not arm.holds)
    if result.phase is Phase.LOOKING:
        assert arm.calls == ["gripper"]
    elif failure is ArmFailure.CONNECTION:
        assert arm.calls[call + 1 :] == ["stop"] and "stopped where it was" in result.message
    else:
        assert arm.calls[call + 1] == "stop" and arm.is_home
        assert result.held == arm.holds


@given(st.integers(0, len(CALLS)), st.integers(1, 8))
def test_two_failures_leave_it_stopped_or_at_home(first: int, later: int) -> None:
    """The second one hits what brings the arm back after the first."""
    failure = ArmError(ArmFailure.EXECUTION, "on command")
    failing = world(failures={first: failure, first + later: failure})
    result = failing.pick()
    arm = failing.arm
    assert not arm.fell and (result.held or not arm.holds)
    if not arm.is_home:
        assert arm.calls[-1] == "stop" and "stopped" in result.message


@given(st.integers(0, 200))
def test_cancelled_at_any_time_it_ends_at_home_with_nothing_dropped(question: int) -> None:
    """Questions whether to go on are answered with yes only until the one with this number."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > question

    ending = world()
    ending.cancelled = cancelled
    result = ending.pick()
    assert not ending.arm.fell and ending.arm.is_home
    if asked > question:
        assert result.reason is Reason.CANCELLED
        assert result.phase is (ending.phases[-1][0] if ending.phases else Phase.LOOKING)
        if result.phase in (Phase.APPROACHING, Phase.CLOSING, Phase.LIFTING):
            assert not result.held and np.allclose(ending.arm.object_at, GRASP[:3, 3])
    else:
        assert result.success


def test_halted_it_stops_where_it_is() -> None:
    halting = world()
    halting.cancelled = lambda: halting.arm.holds and halting.picker.halt() is None and False
    result = halting.pick()
    assert result.reason is Reason.CANCELLED and result.phase is Phase.LIFTING and result.held
    assert halting.arm.calls[-1] == "stop" and not halting.arm.fell
    assert "stopped where it was" in result.message


def test_looks_again_where_nothing_was_held() -> None:
    """And not at what was seen before the arm was out of the way again."""
    missing = world()
    wrong = missing.seen(pose_above(0.5, 0.15, 0.02))
    missing.sightings = [wrong, wrong]
    missing.settings = replace(SETTINGS, look_again="never")
    result = missing.pick()
    assert result.success
    assert missing.arm.calls.count("go_home") == 2
    assert [phase for phase, _ in missing.phases].count(Phase.LOOKING) == 2


@pytest.mark.parametrize("attempts", [1, 3])
def test_gives_up_after_so_many_attempts(attempts: int) -> None:
    nothing = world(object_width=0.0)
    nothing.settings = replace(SETTINGS, attempts=attempts)
    result = nothing.pick()
    assert result.reason is Reason.EMPTY and result.phase is Phase.CLOSING and not result.held
    assert nothing.arm.calls.count("go_home") == attempts and nothing.arm.is_home


def test_what_slips_out_is_noticed() -> None:
    slippery = world(slips=True)
    slippery.settings = replace(SETTINGS, attempts=1)
    result = slippery.pick()
    assert result.reason is Reason.DROPPED and result.phase is Phase.LIFTING
    assert not result.held and slippery.arm.is_home
    assert slippery.arm.calls[-2:] == ["stop", "go_home"]  # there is nothing to put back


@pytest.mark.parametrize(("widest", "phase"), [(0.05, Phase.APPROACHING), (0.08, Phase.CLOSING)])
def test_blocked_fingers(widest: float, phase: Phase) -> None:
    thick = 0.08 if widest == 0.08 else 0.03
    blocked = world(widest=widest, object_width=thick)
    result = blocked.pick()
    assert result.reason is Reason.GRIPPER and result.phase is phase and blocked.arm.is_home


def test_takes_the_best_grasp_that_can_be_reached_the_nearer_way_round() -> None:
    several = world()
    turned, far = GRASP @ HALF_TURN, pose_above(2.0, 0.0, 0.02)
    several.sightings = [several.seen(GRASP, far, turned, scores=[0.3, 0.9, 0.6])]
    several.settings = replace(SETTINGS, look_again="never")
    result = several.pick()
    assert result.success and result.grasp is not None and result.grasp.score == 0.6
    np.testing.assert_allclose(result.grasp.T_base_grasp, GRASP)
    np.testing.assert_allclose(several.arm.object_at, PLACE[:3, 3])

    other = world()
    other.settings = replace(SETTINGS, hand_x=(-1.0, 0.2, 0.0))
    grasp = other.pick().grasp
    assert grasp is not None
    np.testing.assert_allclose(grasp.T_base_grasp, turned)


def test_the_poses_of_a_route() -> None:
    """Turned or not, the object comes to lie the same; slow goals are slow all the way."""
    goal = replace(GOAL, speed=0.05, approach_distance=0.15)
    motion = Motion.of(goal, SETTINGS)
    assert motion.speed == motion.straight_speed == 0.05
    assert Motion.of(GOAL, SETTINGS).straight_speed == 0.1
    seen = world()
    for hand_x, turn in (((1.0, 0.0, 0.0), np.eye(4)), ((-1.0, 0.0, 0.0), HALF_TURN)):
        settings = replace(SETTINGS, hand_x=hand_x)
        route = choose(seen.seen(GRASP), seen.arm, goal, motion, settings)
        assert route.place is not None and route.after_place is not None
        np.testing.assert_allclose(
            route.place @ np.linalg.inv(route.grasp.T_base_grasp), PLACE @ np.linalg.inv(GRASP)
        )
        for pose, (x, y, z) in (
            (route.pre_grasp, (0.5, 0.1, 0.17)),
            (route.lifted, (0.5, 0.1, 0.12)),
            (route.above_place, (0.4, -0.3, 0.12)),
            (route.after_place, (0.4, -0.3, 0.17)),
        ):
            np.testing.assert_allclose(pose, pose_above(x, y, z) @ turn)


@pytest.mark.parametrize("goal", [GOAL, replace(GOAL, T_base_place=pose_above(3, 0, 0))])
def test_out_of_reach(goal: PickGoal) -> None:
    far = world(reach=0.4 if goal is GOAL else 1.0)
    far.goal = goal
    result = far.pick()
    assert result.reason is Reason.UNREACHABLE and "out of reach" in result.message
    assert result.grasp is None and far.arm.calls.count("check") >= 2
    assert set(far.arm.calls) == {"gripper", "check"}


def test_looks_until_what_is_seen_is_recent() -> None:
    late = world()
    old = Candidate("cap", 1.0, GRASP, math.nan, late.time - 60)
    late.sightings = [Sighting([old]), Sighting([], ["hidden"])]
    assert late.pick().success
    stale = world()
    stale.age = 5.0
    result = stale.pick()
    assert result.reason is Reason.STALE and "5.0 s ago" in result.message
    absent = world()
    absent.sightings = [Sighting([], ["hidden"])] * SETTINGS.looks
    result = absent.pick()
    assert result.reason is Reason.NOT_FOUND and "hidden" in result.message
    assert stale.arm.calls == absent.arm.calls == ["gripper"]


@pytest.mark.parametrize("when", ["before", "pregrasp"])
@pytest.mark.parametrize("by", [(0.02, 0.0), (0.005, 0.0), (0.0, 0.5)])
def test_an_object_that_has_moved(when: str, by: tuple[float, float]) -> None:
    metres, radians = by
    moving = world()
    moving.settings = replace(SETTINGS, look_again=when)
    T = GRASP.copy()
    T[0, 3] += metres
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    first = moving.seen(GRASP)
    moving.sightings = [first, first, moving.seen(T @ turn @ HALF_TURN)]
    moving.sightings[2].candidates[0] = replace(moving.sightings[2].candidates[0], stamp=101.5)
    result = moving.pick()
    assert result.success == (metres == 0.005)
    if not result.success:
        assert result.reason is Reason.MOVED and result.phase is Phase.APPROACHING
        assert ("move_to" in moving.arm.calls) == (when == "pregrasp")
        assert moving.arm.is_home


def test_a_look_that_fails_names_its_reason() -> None:
    blind = world()
    blind.sightings = [PickError(Reason.FRAME, "in the camera's frame")]
    result = blind.pick()
    assert (result.reason, result.message) == (Reason.FRAME, "in the camera's frame")
    broken = world(failures={9: ZeroDivisionError("a bug")})
    result = broken.pick()
    assert result.reason is Reason.INTERNAL and "a bug" in result.message and broken.arm.is_home


@pytest.mark.parametrize(
    "values",
    [{"speed": 0.0}, {"approach_distance": math.nan}, {"retreat_distance": 2.0}, {"speed": 1.5}],
)
def test_goals_and_settings_out_of_range(values: dict[str, float]) -> None:
    refusing = world()
    refusing.goal = replace(GOAL, **values)
    result = refusing.pick()
    assert result.reason is Reason.INVALID and next(iter(values)) in result.message
    assert refusing.arm.calls == []
    with pytest.raises(InvalidInputError, match=next(iter(values))):
        PickSettings(**values)


def test_settings_that_mean_nothing() -> None:
    with pytest.raises(InvalidInputError, match="never, before or pregrasp"):
        PickSettings(look_again="always")
    with pytest.raises(InvalidInputError, match="hand_x"):
        PickSettings(hand_x=(0.0, 0.0, 0.0))
