"""Joint angles of the arm for poses of its grasp frame."""

from collections.abc import Iterator

import mink
import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim.robot import GRASP, HAND, JOINTS, LIMITS, robot_spec

ITERATIONS = 50
SOLVED = 1e-4, 5e-4  # m and rad that count as the pose
PATIENCE, PROGRESS = 8, 0.7  # in so many iterations the error must fall to such a share
SAME = 0.05  # rad; solutions that differ by less are one
STARTS = 8  # random ones, where those that are likely lead nowhere
READY = np.array([0.0, -1.6, 1.9, -1.87, -1.57, 0.0])  # elbow up, hand down


class Kinematics:
    """Forward and inverse kinematics of the arm, without anything around it."""

    def __init__(self) -> None:
        spec = robot_spec()
        for extra in (*spec.equalities, *spec.actuators, *spec.tendons):
            spec.delete(extra)
        for joint in spec.joints:
            if joint.name.startswith(HAND):
                spec.delete(joint)
        for shape in (*spec.geoms, *spec.meshes):  # masses are given; so compiling takes no time
            spec.delete(shape)
        self._configuration = mink.Configuration(spec.compile())
        self._task = mink.FrameTask(GRASP, "site", 1.0, 0.3, lm_damping=1e-3)
        self._limits = [mink.ConfigurationLimit(self._configuration.model)]
        rng = np.random.default_rng(0)
        self._starts = rng.uniform(LIMITS[:, 0], LIMITS[:, 1], (STARTS, len(JOINTS)))

    def pose(self, joints: FloatArray) -> FloatArray:
        """T_base_grasp (4, 4) at joint angles (6,), radians."""
        self._configuration.update(joints)
        return self._configuration.get_transform_frame_to_world(GRASP, "site").as_matrix()

    def solve(self, T_base_grasp: FloatArray, start: FloatArray) -> FloatArray | None:
        """Joint angles (6,) for a pose (4, 4), found from a start; None if that leads nowhere."""
        self._task.set_target(mink.SE3.from_matrix(T_base_grasp))
        self._configuration.update(np.clip(start, *LIMITS.T))
        best = np.inf
        for iteration in range(ITERATIONS):
            error = self._task.compute_error(self._configuration)
            if np.linalg.norm(error[:3]) < SOLVED[0] and np.linalg.norm(error[3:]) < SOLVED[1]:
                return self._configuration.q.copy()
            if iteration % PATIENCE == 0:
                if np.linalg.norm(error) > PROGRESS * best:
                    return None
                best = float(np.linalg.norm(error))
            step = mink.solve_ik(
                self._configuration, [self._task], 1.0, "daqp", damping=1e-8, limits=self._limits
            )
            self._configuration.integrate_inplace(step, 1.0)
        return None

    def solutions(self, T_base_grasp: FloatArray, near: FloatArray) -> Iterator[FloatArray]:
        """Joint angles (6,) for a pose (4, 4), each different, what is found from `near` first."""
        ready = READY.copy()
        ready[0] = np.arctan2(T_base_grasp[1, 3], T_base_grasp[0, 3])
        found: list[FloatArray] = []
        for start in (near, ready, *self._starts):
            joints = self.solve(T_base_grasp, start)
            if joints is not None and all(np.abs(joints - other).max() > SAME for other in found):
                found.append(joints)
                yield joints
