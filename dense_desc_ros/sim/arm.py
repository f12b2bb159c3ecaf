"""The arm of the simulated cell, as picking moves it."""

import threading
from collections.abc import Callable

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.arm import ArmError, ArmFailure, Cancelled, GripperState
from dense_desc_ros.sim.cell import ARM, Cell
from dense_desc_ros.sim.planner import Planner
from dense_desc_ros.sim.robot import MAX_WIDTH
from dense_desc_ros.sim.trajectory import Trajectory

TICK = 0.02  # simulated seconds between two looks at what goes on
FOLLOWS = 0.03  # rad; a joint further from where it should be is blocked
ARRIVED, STILL = 2e-3, 0.01  # rad, rad/s
SETTLING, STOPPING = 1.0, 0.5  # s that the end of a motion, and a stop, may take
FINGER_SPEED = 0.1  # m/s
WIDTH_TOLERANCE = 1e-3  # m; fingers that are further from where they should be press on something
WIDTH_STILL, STILL_TICKS = 1e-4, 5  # m in a tick, for so many ticks: the fingers stand still
RIGID = 1e-3  # of rotation matrices


class SimArm:
    """Implements `picking.arm.Arm`; call it on the thread of the cell, but for `stop`.

    Args:
        cell: the cell, of which several arms may be made, one after another.
        advance: lets simulated time go on by some seconds; None: `cell.step`.
    """

    def __init__(self, cell: Cell, advance: Callable[[float], object] | None = None) -> None:
        self._cell, self._advance = cell, advance or cell.step
        self._stops = 0
        self._lock = threading.Lock()

    @property
    def T_base_grasp(self) -> FloatArray:
        """The pose (4, 4) of the grasp frame now."""
        return self._cell.kinematics.pose(self._joints[0])

    def check(self, T_base_grasp: FloatArray) -> None:
        """Raise ArmError, UNREACHABLE, if there are no joint angles for a pose (4, 4)."""
        self._planner().check(_rigid(T_base_grasp))

    def avoid(self, points: FloatArray) -> None:
        """Nothing: free motions of the planner stay above what lies on the table."""

    def move_to(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        """Move freely, through joint space, to a pose (4, 4)."""
        stops = self._stops
        for part in self._planner().free(_rigid(T_base_grasp), _share(speed)):
            self._follow(part, cancelled, stops)

    def move_straight(self, T_base_grasp: FloatArray, speed: float, cancelled: Cancelled) -> None:
        """Move along a line to a pose (4, 4), turning evenly."""
        stops = self._stops
        trajectory = self._planner().straight(_rigid(T_base_grasp), _share(speed))
        self._follow(trajectory, cancelled, stops)

    def go_home(self, speed: float, cancelled: Cancelled) -> None:
        """Move to where the arm waits, with the fingers as they are."""
        stops = self._stops
        for part in self._planner().to_joints(self._cell.home, _share(speed)):
            self._follow(part, cancelled, stops)

    def move_gripper(self, width: float, cancelled: Cancelled) -> GripperState:
        """Open or close the fingers to a width, metres, as far as they can; they go on pressing."""
        stops = self._stops
        if not np.isfinite(width):
            raise ArmError(ArmFailure.GRIPPER, f"the fingers cannot go to a width of {width}")
        goal = float(np.clip(width, 0, MAX_WIDTH))
        commanded = self._cell.widths()[1]
        still, before = 0, self._cell.widths()[0]
        limit = self._cell.time + MAX_WIDTH / FINGER_SPEED + SETTLING
        while still < STILL_TICKS:
            if self._cell.time > limit:
                raise ArmError(ArmFailure.GRIPPER, "the fingers do not come to rest")
            if self._is_to_stop(cancelled, stops):
                raise ArmError(ArmFailure.CANCELLED, "the fingers were stopped on their way")
            step = FINGER_SPEED * TICK
            commanded += float(np.clip(goal - commanded, -step, step))
            self._cell.grip(commanded)
            self._advance(TICK)
            now = self._cell.widths()[0]
            moves = commanded != goal or abs(now - before) > WIDTH_STILL
            still, before = 0 if moves else still + 1, now
        return self.gripper()

    def gripper(self) -> GripperState:
        """The width of the fingers, metres, and whether something keeps them from the one told."""
        width, commanded = self._cell.widths()
        return GripperState(width, abs(width - commanded) > WIDTH_TOLERANCE)

    def stop(self) -> None:
        """End the motion under way within a TICK, and hold; from any thread."""
        with self._lock:
            self._stops += 1

    @property
    def _joints(self) -> tuple[FloatArray, FloatArray]:
        _, positions, speeds = self._cell.joints()
        return positions[:ARM], speeds[:ARM]

    def _planner(self) -> Planner:
        return Planner(self._cell)

    def _is_to_stop(self, cancelled: Cancelled, stops: int) -> bool:
        return cancelled() or self._stops != stops

    def _follow(self, trajectory: Trajectory, cancelled: Cancelled, stops: int) -> None:
        """Go along a trajectory. The arm stands still afterwards, however it went."""
        cell, begin = self._cell, self._cell.time
        cell.follow(trajectory)
        arrived = False
        try:
            while not arrived:
                if self._is_to_stop(cancelled, stops):
                    raise ArmError(ArmFailure.CANCELLED, "the arm was stopped on its way")
                self._advance(TICK)
                since = cell.time - begin
                wanted, _ = trajectory.at(since)
                positions, speeds = self._joints
                off = np.abs(positions - wanted).max()
                late = since > trajectory.duration + SETTLING
                if off > FOLLOWS or late:
                    raise ArmError(
                        ArmFailure.EXECUTION,
                        f"the arm is blocked: {np.degrees(off):.1f} degrees of a joint are missing "
                        "to where it should be, and it does not get closer",
                    )
                arrived = (
                    since >= trajectory.duration
                    and off < ARRIVED
                    and bool(np.abs(speeds).max() < STILL)
                )
        finally:
            if not arrived:
                self._halt()

    def _halt(self) -> None:
        end = self._cell.time + STOPPING
        self._cell.brake()
        while self._cell.time < end and np.abs(self._joints[1]).max() > STILL:
            self._advance(TICK)


def _share(speed: float) -> float:
    if not 0 < speed <= 1:
        raise ArmError(ArmFailure.NO_PLAN, f"a speed must be in (0, 1], got {speed}")
    return speed


def _rigid(T_base_grasp: FloatArray) -> FloatArray:
    pose = np.asarray(T_base_grasp, float)
    if pose.shape == (4, 4) and np.isfinite(pose).all():
        turn = pose[:3, :3]
        if np.abs(turn @ turn.T - np.eye(3)).max() < RIGID and np.linalg.det(turn) > 0:
            return pose
    raise ArmError(ArmFailure.UNREACHABLE, f"not the pose of a rigid frame: {pose.tolist()}")
