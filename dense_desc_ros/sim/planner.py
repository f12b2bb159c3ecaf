"""Motions of the simulated arm that end at a pose and run into neither table nor robot."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.picking.arm import ArmError, ArmFailure
from dense_desc_ros.sim.cell import ARM, Cell
from dense_desc_ros.sim.cell_room import TABLE
from dense_desc_ros.sim.offscreen import mujoco
from dense_desc_ros.sim.robot import HAND, MAX_TOOL_SPEED
from dense_desc_ros.sim.trajectory import FASTEST, Trajectory

CHECK_STEP = 0.04  # rad between the joint angles of a path that are checked
LINE_STEP, TURN_STEP = 0.01, 0.05  # m and rad between the poses of a straight motion
LARGEST_JUMP = 0.3  # rad between their joint angles
RAISED = 0.25  # m above the higher end, of a pose to go by


class Planner:
    """Plans in a cell's present state; it moves nothing.

    What lies on the table is not avoided: what to pick has to be reached, and other things are for
    those to see who say where to grasp.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell, self._kinematics = cell, cell.kinematics
        self._scratch = mujoco.MjData(cell.model)
        # The base of each body's tree: of all parts of the robot it is the same one.
        root = cell.model.body_rootid
        self._is_robot = root == root[cell.model.body("base").id]
        self._is_hand = np.array(
            [cell.model.body(i).name.startswith(HAND) for i in range(cell.model.nbody)]
        )
        self._table = cell.model.geom(TABLE).id

    def check(self, T_base_grasp: FloatArray) -> None:
        """Raise ArmError, UNREACHABLE, if there are no joint angles for a pose (4, 4)."""
        self._any_solution(T_base_grasp)

    def free(self, T_base_grasp: FloatArray, speed: float) -> list[Trajectory]:
        """Trajectories, one after another, to a pose (4, 4), at a share of the greatest speed.

        Raises:
            ArmError: UNREACHABLE, or NO_PLAN without a collision.
        """
        self._any_solution(T_base_grasp)
        problem = ""
        for goal in self._kinematics.solutions(T_base_grasp, self._start):
            try:
                return self.to_joints(goal, speed)
            except ArmError as error:
                problem = problem or str(error)
        raise ArmError(ArmFailure.NO_PLAN, problem)

    def to_joints(self, goal: FloatArray, speed: float) -> list[Trajectory]:
        """The same to joint angles (6,): straight through joint space, or by a raised pose."""
        start = self._start
        problem = self._obstacle([start, goal])
        if problem is None:
            return [Trajectory([start, goal], speed)]
        via = self._raised(start, goal)
        if via is not None and self._obstacle([start, via, goal]) is None:
            return [Trajectory([start, via], speed), Trajectory([via, goal], speed)]
        raise ArmError(ArmFailure.NO_PLAN, f"no way there is free, the direct one meets {problem}")

    def straight(self, T_base_grasp: FloatArray, speed: float) -> Trajectory:
        """A trajectory along a line to a pose (4, 4), turning evenly.

        Raises:
            ArmError: UNREACHABLE; NO_PLAN if the arm cannot follow the line or runs into something.
        """
        self._any_solution(T_base_grasp)
        start = self._kinematics.pose(self._start)
        waypoints = [self._start]
        for pose in _line(start, T_base_grasp):
            joints = self._kinematics.solve(pose, waypoints[-1])
            if joints is None or np.abs(joints - waypoints[-1]).max() > LARGEST_JUMP:
                raise ArmError(
                    ArmFailure.NO_PLAN,
                    f"the arm cannot follow the line to {_text(T_base_grasp)} beyond {_text(pose)}",
                )
            waypoints.append(joints)
        if problem := self._obstacle(waypoints):
            raise ArmError(ArmFailure.NO_PLAN, f"the line to {_text(T_base_grasp)} meets {problem}")
        length = float(np.linalg.norm(T_base_grasp[:3, 3] - start[:3, 3]))
        return Trajectory(waypoints, speed, FASTEST * length / (MAX_TOOL_SPEED * speed))

    @property
    def _start(self) -> FloatArray:
        return self._cell.joints()[1][:ARM]

    def _any_solution(self, T_base_grasp: FloatArray) -> FloatArray:
        for joints in self._kinematics.solutions(T_base_grasp, self._start):
            return joints
        raise ArmError(
            ArmFailure.UNREACHABLE,
            f"the arm has no joint angles for the grasp pose at {_text(T_base_grasp)}: it is too "
            "far, too near, or turned too far",
        )

    def _raised(self, start: FloatArray, goal: FloatArray) -> FloatArray | None:
        """Joint angles (6,) between two others, with the hand above both."""
        ends = [self._kinematics.pose(joints)[:3, 3] for joints in (start, goal)]
        middle = (start + goal) / 2
        pose = self._kinematics.pose(self._cell.home)
        pose[:3, 3] = np.mean(ends, axis=0)
        pose[2, 3] = max(end[2] for end in ends) + RAISED
        return self._kinematics.solve(pose, middle)

    def _obstacle(self, waypoints: Sequence[FloatArray]) -> str | None:
        """What the robot runs into on the way through joint angles (6,); None if nothing."""
        self._scratch.qpos[:] = self._cell.data.qpos
        for a, b in zip(waypoints, waypoints[1:], strict=False):
            count = max(int(np.ceil(np.abs(b - a).max() / CHECK_STEP)), 1)
            for share in np.arange(1, count + 1) / count:
                self._scratch.qpos[:ARM] = a + share * (b - a)
                mujoco.mj_kinematics(self._cell.model, self._scratch)
                mujoco.mj_collision(self._cell.model, self._scratch)
                if found := self._touched():
                    return found
        return None

    def _touched(self) -> str | None:
        bodies = self._cell.model.geom_bodyid
        for contact in self._scratch.contact:
            if contact.dist >= 0:
                continue
            first, second = bodies[contact.geom]
            if self._is_hand[first] and self._is_hand[second]:
                continue  # the closed fingers touch each other
            if self._is_robot[first] and self._is_robot[second]:
                return "the arm itself"
            if self._table in contact.geom and (self._is_robot[first] or self._is_robot[second]):
                return "the table"
        return None


def _line(start: FloatArray, end: FloatArray) -> list[FloatArray]:
    """Poses (4, 4) evenly on the way from one to another, without the first."""
    turn = Slerp([0, 1], Rotation.from_matrix(np.stack([start[:3, :3], end[:3, :3]])))
    angle = Rotation.from_matrix(start[:3, :3].T @ end[:3, :3]).magnitude()
    length = np.linalg.norm(end[:3, 3] - start[:3, 3])
    count = max(int(np.ceil(max(length / LINE_STEP, angle / TURN_STEP))), 1)
    poses = np.tile(np.eye(4), (count, 1, 1))
    shares = np.arange(1, count + 1) / count
    poses[:, :3, :3] = turn(shares).as_matrix()
    poses[:, :3, 3] = start[:3, 3] + shares[:, None] * (end - start)[:3, 3]
    return list(poses)


def _text(T_base_grasp: FloatArray) -> str:
    return "({:.3f}, {:.3f}, {:.3f}) m".format(*T_base_grasp[:3, 3])
