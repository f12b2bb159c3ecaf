"""A scene of the simulated cell: its model, and how it begins."""

from collections.abc import Sequence

import numpy as np

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.errors import DataError
from dense_desc_ros.sim import robot
from dense_desc_ros.sim.cell_camera import (
    FINER,
    FIXED,
    LARGEST,
    OUTSIDE,
    OUTSIDE_FOVY,
    WRIST,
    add_camera,
    field_of_view,
    looking_at,
)
from dense_desc_ros.sim.cell_objects import Thing
from dense_desc_ros.sim.cell_room import add_room
from dense_desc_ros.sim.kinematics import READY, Kinematics
from dense_desc_ros.sim.offscreen import mujoco

CAMERAS = (WRIST, FIXED)
# Where the wrist camera waits, looking straight down; where the hand waits beside a fixed camera.
HOME_CAMERA, HOME_HAND = (0.48, 0.0, 0.65), (0.25, 0.0, 0.40)  # m
DOWN = np.diag([1.0, -1.0, -1.0])  # a hand that looks straight down
T_BASE_FIXED = looking_at(np.array([1.15, 0.0, 0.75]), np.array([0.46, 0.0, 0.03]))
T_BASE_OUTSIDE = looking_at(np.array([1.45, -1.25, 0.95]), np.array([0.28, 0.0, 0.22]))
STILL = 2e-3  # m/s and rad/s
SETTLING, LONGEST_SETTLING = 0.4, 4.0  # s


def home_joints(kinematics: Kinematics, camera: str) -> FloatArray:
    """Joint angles (6,) where the arm waits, with one of CAMERAS, radians."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = DOWN, HOME_HAND
    if camera == WRIST:
        pose[:3, 3] = np.array(HOME_CAMERA) - DOWN @ robot.T_GRASP_CAMERA[:3, 3]
    joints = kinematics.solve(pose, READY)
    if joints is None:
        raise DataError(f"the arm's model does not reach where it should wait, {pose[:3, 3]}")
    return joints


def build_model(things: Sequence[Thing], camera: PinholeCamera) -> mujoco.MjModel:
    """The model of the cell with both of its cameras and some things on the table."""
    spec = robot.robot_spec()
    add_room(spec, *(FINER * side for side in LARGEST))
    fovy = field_of_view(camera)
    T_palm_grasp = np.eye(4)
    T_palm_grasp[:3, 3] = spec.site(robot.GRASP).pos
    add_camera(spec.body(robot.PALM), WRIST, T_palm_grasp @ robot.T_GRASP_CAMERA, fovy)
    add_camera(spec.worldbody, FIXED, T_BASE_FIXED, fovy)
    add_camera(spec.worldbody, OUTSIDE, T_BASE_OUTSIDE, OUTSIDE_FOVY)
    for thing in things:
        thing.add_to(spec)
    return spec.compile()


def begin(
    model: mujoco.MjModel, home: FloatArray, bodies: Sequence[str], poses: Sequence[FloatArray]
) -> mujoco.MjData:
    """The state in which things lie still where they were put, and the arm waits at its home.

    Args:
        model: of the cell.
        home: (6,) joint angles, radians.
        bodies: names of the things, and of their joints.
        poses: T_base_object (4, 4) of each, from where they fall and settle.
    """
    data = mujoco.MjData(model)
    data.qpos[: len(home)] = data.ctrl[: len(home)] = home
    joints = [data.joint(name) for name in bodies]
    for joint, pose in zip(joints, poses, strict=True):
        joint.qpos[:3] = pose[:3, 3]
        mujoco.mju_mat2Quat(joint.qpos[3:], pose[:3, :3].ravel())
    mujoco.mj_step(model, data, round(SETTLING / model.opt.timestep))
    while data.time < LONGEST_SETTLING and max(np.abs(j.qvel).max() for j in joints) > STILL:
        mujoco.mj_step(model, data, 50)
    return data
