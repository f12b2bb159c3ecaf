"""The arm of the simulated cell does what picking asks, or says why not and stands still."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.arm import ArmError, ArmFailure
from dense_desc_ros.sim import robot
from dense_desc_ros.sim.arm import TICK, SimArm
from dense_desc_ros.sim.cell import ARM, Cell
from dense_desc_ros.sim.kinematics import Kinematics
from dense_desc_ros.sim.offscreen import mujoco

DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def shared_cell() -> Cell:
    return Cell()


@pytest.fixture
def cell(shared_cell: Cell) -> Cell:
    """A mug on the table, and the arm at home."""
    shared_cell.reset(3, category="mugs", first=2)
    return shared_cell


@pytest.fixture
def arm(cell: Cell) -> SimArm:
    return SimArm(cell)


def never() -> bool:
    return False


def down_at(x: float, y: float, z: float, yaw: float = 0.0) -> FloatArray:
    pose = DOWN.copy()
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler("z", yaw).as_matrix()
    pose[:3, 3] = x, y, z
    return pose


def moved(pose: FloatArray, metres: float, axis: FloatArray) -> FloatArray:
    result = pose.copy()
    result[:3, 3] += metres * axis
    return result


def fails(failure: ArmFailure, motion: Callable[[], object]) -> str:
    with pytest.raises(ArmError) as caught:
        motion()
    assert caught.value.failure is failure
    return str(caught.value)


def is_still(cell: Cell) -> bool:
    """Nothing moves, and nothing will."""
    before = cell.joints()[1][:ARM].copy()
    speeds = np.abs(cell.joints()[2][:ARM]).max()
    cell.step(0.5)
    return bool(speeds < 0.02 and np.abs(cell.joints()[1][:ARM] - before).max() < 5e-3)


def test_inverse_kinematics_inverts_forward_kinematics() -> None:
    kinematics = Kinematics()
    rng = np.random.default_rng(0)
    near = np.array([0.0, -1.6, 1.9, -1.87, -1.57, 0.0])
    for _ in range(20):
        wanted = kinematics.pose(near + rng.uniform(-0.4, 0.4, ARM))
        joints = next(kinematics.solutions(wanted, near))
        reached = kinematics.pose(joints)
        assert np.linalg.norm(reached[:3, 3] - wanted[:3, 3]) < 1e-3
        turn = Rotation.from_matrix(reached[:3, :3].T @ wanted[:3, :3]).magnitude()
        assert np.degrees(turn) < 0.5
        assert np.all((robot.LIMITS[:, 0] <= joints) & (joints <= robot.LIMITS[:, 1]))


def test_moves_freely_and_straight_and_home(cell: Cell, arm: SimArm) -> None:
    above, below = down_at(0.5, -0.15, 0.25), down_at(0.42, -0.1, 0.12, yaw=0.6)
    fastest, off_line = 0.0, 0.0

    def advance(seconds: float) -> None:
        nonlocal fastest, off_line
        cell.step(seconds)
        fastest = max(fastest, np.abs(cell.joints()[2][:ARM]).max())
        along = below[:3, 3] - above[:3, 3]
        gone = arm.T_base_grasp[:3, 3] - above[:3, 3]
        across = np.cross(gone, along) / np.linalg.norm(along)
        off_line = max(off_line, float(np.linalg.norm(across)))

    arm = SimArm(cell, advance)
    arm.move_to(above, 0.5, never)
    assert np.abs(arm.T_base_grasp - above).max() < 2e-3
    assert 0.2 * np.pi < fastest < 0.55 * np.pi
    off_line = 0.0
    arm.move_straight(below, 0.2, never)
    assert np.abs(arm.T_base_grasp - below).max() < 2e-3
    assert off_line < 2e-3
    assert is_still(cell)
    arm.go_home(1.0, never)
    np.testing.assert_allclose(cell.joints()[1][:ARM], cell.home, atol=2e-3)


@pytest.mark.parametrize(
    ("category", "point"),
    [("caps", "button"), ("mugs", "rim_back"), ("mugs", "handle")],
)
def test_taught_grasps_hold(cell: Cell, category: str, point: str) -> None:
    cell.reset(1, category=category, first=40)
    arm = SimArm(cell)
    (before,) = cell.truth()
    taught = cell.taught_grasp(before, point)
    grasp = taught.T_base_grasp
    arm.move_gripper(taught.opening_width, never)
    arm.move_to(moved(grasp, -0.1, grasp[:3, 2]), 1.0, never)
    arm.move_straight(grasp, 0.3, never)
    assert cell.held() is None
    state = arm.move_gripper(0.0, never)
    assert state.stalled
    assert 0.002 < state.width < taught.opening_width
    arm.move_straight(moved(grasp, 0.1, np.array([0.0, 0.0, 1.0])), 0.3, never)
    cell.step(1.0)
    (after,) = cell.truth()
    assert cell.held() == before.body
    assert after.T_base_object[2, 3] - before.T_base_object[2, 3] > 0.09
    arm.move_gripper(taught.opening_width, never)
    cell.step(0.5)
    assert cell.held() is None
    assert cell.truth()[0].T_base_object[2, 3] < before.T_base_object[2, 3] + 0.05


def test_says_what_cannot_be_reached_and_does_not_move(cell: Cell, arm: SimArm) -> None:
    before = cell.time
    for pose in (down_at(1.3, 0, 0.2), down_at(0.45, 0, 0.2) * np.nan, np.diag([1, 1, -1, 1.0])):
        for motion in (
            lambda pose=pose: arm.check(pose),
            lambda pose=pose: arm.move_to(pose, 0.3, never),
            lambda pose=pose: arm.move_straight(pose, 0.3, never),
        ):
            fails(ArmFailure.UNREACHABLE, motion)
    for speed in (0.0, -1.0, 1.5, np.nan):
        fails(ArmFailure.NO_PLAN, lambda speed=speed: arm.go_home(speed, never))
    assert cell.time == before
    assert is_still(cell)


def test_does_not_run_into_the_table(cell: Cell, arm: SimArm) -> None:
    inside = down_at(0.5, 0.2, -0.03)
    arm.check(inside)  # there are joint angles for it
    assert "table" in fails(ArmFailure.NO_PLAN, lambda: arm.move_to(inside, 0.5, never))
    arm.move_to(down_at(0.5, 0.2, 0.1), 1.0, never)
    assert "table" in fails(ArmFailure.NO_PLAN, lambda: arm.move_straight(inside, 0.5, never))
    assert is_still(cell)


def test_goes_around_by_a_raised_pose(cell: Cell, arm: SimArm) -> None:
    """Straight through joint space the hand would scrape along the table."""
    cell.data.qpos[:ARM] = cell.data.ctrl[:ARM] = [1.725, -0.849, 1.374, -1.119, -1.672, 0.502]
    goal = np.array(
        [
            [0.807, 0.301, -0.509, -0.281],
            [0.457, -0.864, 0.214, 0.456],
            [-0.375, -0.405, -0.834, 0.052],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    goal[:3, :3] = Rotation.from_matrix(goal[:3, :3]).as_matrix()
    touched = False

    def advance(seconds: float) -> None:
        nonlocal touched
        cell.step(seconds)
        table = cell.model.geom("table").id
        hand = {"gripper_" in cell.model.body(b).name for b in _touching(cell, table)}
        touched |= True in hand

    arm = SimArm(cell, advance)
    highest = arm.T_base_grasp[2, 3] + 0.15
    heights = []
    arm.move_to(goal, 0.5, lambda: bool(heights.append(arm.T_base_grasp[2, 3])))
    assert max(heights) > highest
    assert not touched
    assert np.abs(arm.T_base_grasp - goal).max() < 3e-3


def _touching(cell: Cell, geom: int) -> set[int]:
    pairs = [set(contact.geom) for contact in cell.data.contact if geom in contact.geom]
    return {int(cell.model.geom_bodyid[g]) for pair in pairs for g in pair - {geom}}


def test_cancelled_in_the_middle_it_stands_still(cell: Cell, arm: SimArm) -> None:
    goal, asked = down_at(0.5, 0.3, 0.2), []

    def cancelled() -> bool:
        asked.append(cell.time)
        return cell.time > asked[0] + 0.4

    fails(ArmFailure.CANCELLED, lambda: arm.move_to(goal, 0.3, cancelled))
    assert np.diff(asked).max() <= TICK + 1e-9
    assert np.abs(arm.T_base_grasp - goal).max() > 0.05
    assert np.abs(cell.joints()[1][:ARM] - cell.home).max() > 0.05
    assert is_still(cell)
    width = arm.gripper().width
    fails(ArmFailure.CANCELLED, lambda: arm.move_gripper(0.0, lambda: arm.gripper().width < 0.05))
    assert 0.03 < arm.gripper().width < width
    arm.move_to(goal, 1.0, never)  # and can move again


def test_another_thread_stops_it(cell: Cell) -> None:
    begun = cell.time

    def advance(seconds: float) -> None:
        cell.step(seconds)
        if cell.time > begun + 0.3:
            thread = threading.Thread(target=arm.stop)
            thread.start()
            thread.join()

    arm = SimArm(cell, advance)
    arm.stop()  # while nothing moves it means nothing
    fails(ArmFailure.CANCELLED, lambda: arm.move_to(down_at(0.5, 0.3, 0.2), 0.3, never))
    assert cell.time < begun + 0.3 + 2 * TICK + 0.5
    assert is_still(cell)


def test_a_blocked_arm_says_so_and_stops_pressing(cell: Cell, arm: SimArm) -> None:
    mug = cell.truth()[0].T_base_object[:3, 3]
    body = cell.model.body(cell.truth()[0].body)
    heavier = 200 / body.mass[0]  # 200 kg do not slide
    body.mass[:], body.inertia[:] = heavier * body.mass, heavier * body.inertia
    mujoco.mj_setConst(cell.model, mujoco.MjData(cell.model))
    arm.move_gripper(0.0, never)
    arm.move_to(down_at(mug[0], mug[1] - 0.15, 0.04), 0.5, never)
    beyond = down_at(mug[0], mug[1] + 0.15, 0.04)
    message = fails(ArmFailure.EXECUTION, lambda: arm.move_straight(beyond, 0.3, never))
    assert "blocked" in message
    assert is_still(cell)
    assert arm.T_base_grasp[1, 3] < mug[1]


def test_the_gripper_says_what_keeps_it(cell: Cell, arm: SimArm) -> None:
    pads = [cell.model.geom(names[0]).id for names in robot.PADS]
    for width in (0.06, 0.03, 0.01, 0.0):
        state = arm.move_gripper(width, never)
        assert not state.stalled
        assert state.width == pytest.approx(width, abs=1e-3)
        apart = mujoco.mj_geomDistance(cell.model, cell.data, *pads, 1.0, None)
        assert state.width == pytest.approx(apart, abs=1e-3)
    assert cell.held() is None
    arm.move_gripper(1.0, never)  # as wide as it goes
    assert arm.gripper().width == pytest.approx(robot.MAX_WIDTH, abs=1e-3)
    fails(ArmFailure.GRIPPER, lambda: arm.move_gripper(np.nan, never))

    # With its fingers inside the mug it cannot open.
    mug = cell.truth()[0]
    rims = [mug.points[name] for name in ("rim_left", "rim_right")]
    arm.move_gripper(0.01, never)
    middle = np.mean(rims, axis=0)
    arm.move_to(down_at(*middle[:2], middle[2] + 0.1), 1.0, never)
    arm.move_straight(down_at(*middle[:2], middle[2] - 0.03), 0.3, never)
    state = arm.move_gripper(robot.MAX_WIDTH, never)
    assert state.stalled
    assert state.width < np.linalg.norm(rims[0] - rims[1])
