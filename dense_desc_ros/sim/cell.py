"""The simulated robot cell: an arm at a table with objects, a camera, and time that goes on.

Everything is deterministic: the same calls give the same states and pictures, on one machine.
Physics is MuJoCo's, a rigid world but for one thing: the cloth of a cap's crown gives way to finger
tips, which close on what is bunched under its button.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame
from dense_desc_ros.sim import robot
from dense_desc_ros.sim.anatomy import taught
from dense_desc_ros.sim.cell_camera import LARGEST, OPTICAL_TO_MUJOCO, CellPictures
from dense_desc_ros.sim.cell_objects import make_things, place
from dense_desc_ros.sim.cell_scene import CAMERAS, begin, build_model, home_joints
from dense_desc_ros.sim.depth_sensor import measure
from dense_desc_ros.sim.kinematics import Kinematics
from dense_desc_ros.sim.offscreen import mujoco
from dense_desc_ros.sim.scene import CAMERA
from dense_desc_ros.sim.textures import Picture
from dense_desc_ros.sim.trajectory import Braking, Motion

NANOSECONDS = 1_000_000_000
ARM = len(robot.JOINTS)


@dataclass(frozen=True)
class CellSettings:
    """What the cell is built of.

    Attributes:
        camera: "wrist" (at the hand; at home it looks straight down) or "fixed" (beyond the table,
            looking at it and the robot).
        depth_noise: depth has the noise and the holes of a depth camera; else it is exact.
        width, height: of the camera's pictures, pixels.

    Raises:
        InvalidInputError: another camera, or pictures smaller than 16 or larger than LARGEST.
    """

    camera: str = "wrist"
    depth_noise: bool = True
    width: int = 640
    height: int = 480

    def __post_init__(self) -> None:
        if self.camera not in CAMERAS:
            raise InvalidInputError(f"no camera {self.camera!r}: use one of {CAMERAS}")
        if not (16 <= self.width <= LARGEST[0] and 16 <= self.height <= LARGEST[1]):
            raise InvalidInputError(
                f"pictures can have 16x16 to {LARGEST} pixels, got {self.width}x{self.height}"
            )


@dataclass(frozen=True, eq=False)
class CellView:
    """What the camera sees: a frame, stamped with simulated time, and the camera's pose (4, 4)."""

    frame: RgbdFrame
    T_base_camera: FloatArray


@dataclass(frozen=True, eq=False)
class TrueObject:
    """Where an object really is.

    Attributes:
        category, number: what it is.
        body: its name in the simulation.
        mesh: its surface in its own frame; the same one whenever the object is there.
        T_base_object: (4, 4).
        points: name -> (3,) of its anatomical points, base frame, metres.
    """

    category: str
    number: int
    body: str
    mesh: Mesh
    T_base_object: FloatArray
    points: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class TaughtGrasp:
    """A grasp that works: pose (4, 4) in the base frame and opening of the fingers, metres."""

    T_base_grasp: FloatArray
    opening_width: float


class Cell:
    """A robot at a table with objects, and a camera; use it with `with`.

    It begins with `reset(0)`. All of it belongs to the thread that made it.

    Attributes:
        settings: what it was built of.
        seed: of the last reset.
        camera: intrinsics of the pictures.
        kinematics: of the arm.
        home: (6,) joint angles where it waits, radians.
        model, data: MuJoCo's, of the scene that lies there now.

    Raises:
        DataError: MuJoCo cannot be loaded on this machine; from `view` and `view_outside`, that it
            cannot render here.
    """

    model: mujoco.MjModel
    data: mujoco.MjData

    def __init__(self, settings: CellSettings = CellSettings()) -> None:
        self.settings = settings
        focal = CAMERA.fy * settings.height / CAMERA.height  # the vertical field of view is fixed
        middle = (settings.width - 1) / 2, (settings.height - 1) / 2
        self.camera = PinholeCamera(focal, focal, *middle, settings.width, settings.height)
        self.kinematics = Kinematics()
        self.home = home_joints(self.kinematics, settings.camera)
        self._steps = 0
        self.reset(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what rendering needs."""
        if hasattr(self, "_pictures"):
            self._pictures.close()

    def reset(
        self,
        seed: int,
        category: str = "caps",
        instances: int = 1,
        distractors: int = 0,
        first: int = 0,
    ) -> None:
        """Put other things on the table, lying still, and the arm home with open fingers.

        Simulated time does not go back, and stands still meanwhile.

        Args:
            seed: decides places, yaws, distractors and the noise of depth.
            category: of the objects, "caps" or "mugs".
            instances: how many objects.
            distractors: how many other things.
            first: number of the first object; others have the following ones. It decides its shape
                and its looks.

        Raises:
            InvalidInputError: an unknown category, numbers out of range, or no room for so much.
        """
        if seed < 0 or first < 0:
            raise InvalidInputError(
                f"the seed and the first number must not be negative, got {seed} and {first}"
            )
        rng = np.random.default_rng([seed, first])
        things = make_things(rng, category, instances, distractors, first)
        poses = place(rng, things)
        self.seed, self._things, self._views = seed, things, 0
        self.close()
        self.model = build_model(things, self.camera)
        self.data = begin(self.model, self.home, [thing.body for thing in things], poses)
        self._pictures = CellPictures(self.model, self.camera, self.settings.camera)
        self._pads = [{self.model.geom(name).id for name in side} for side in robot.PADS]
        self._motion: Motion | None = None

    # Time and commands

    @property
    def time(self) -> float:
        """Simulated seconds since the cell was made."""
        return self._steps * float(self.model.opt.timestep)

    def step(self, seconds: float) -> None:
        """Let simulated time go on, by whole steps of 2 ms and at least by one."""
        count = max(round(seconds / self.model.opt.timestep), 1)
        if self._motion is None:
            mujoco.mj_step(self.model, self.data, count)
            self._steps += count
            return
        for _ in range(count):
            self._steps += 1
            position, velocity = self._motion.at(self.time - self._since)
            self.data.ctrl[:ARM] = position + robot.LAG * velocity
            mujoco.mj_step(self.model, self.data)
        if self.time - self._since > self._motion.duration:
            self._motion = None  # its end is what is commanded now

    def follow(self, motion: Motion) -> None:
        """Command the arm to move from now on, and to hold the end."""
        self._motion, self._since = motion, self.time

    def brake(self) -> None:
        """Command the arm to come to rest as fast as it can, and to hold that place."""
        _, positions, speeds = self.joints()
        self.follow(Braking(positions[:ARM], speeds[:ARM]))

    def grip(self, width: float) -> None:
        """Command the fingers to a distance in metres at once."""
        self.data.actuator(robot.FINGER_SERVO).ctrl[0] = robot.input_for(width)

    # What can be known

    def joints(self) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
        """Names, angles in radians and speeds in rad/s of the arm's joints and of the fingers'."""
        names = (*robot.JOINTS, robot.FINGER_JOINT)
        joints = [self.data.joint(name) for name in names]
        positions, speeds = np.array([[j.qpos[0], j.qvel[0]] for j in joints]).T
        return names, positions, speeds

    def widths(self) -> tuple[float, float]:
        """Metres between the finger tips: as they are, and as they were commanded."""
        commanded = float(self.data.actuator(robot.FINGER_SERVO).ctrl[0])
        return robot.width_at(self.joints()[1][ARM]), robot.width_wanted(commanded)

    def held(self) -> str | None:
        """The body between the fingers, touched by the pads of both; None if there is none."""
        touched: list[set[int]] = [set(), set()]
        for contact in self.data.contact:
            for pads, bodies in zip(self._pads, touched, strict=True):
                for pad, other in (contact.geom, contact.geom[::-1]):
                    if pad in pads:
                        bodies.add(int(self.model.geom_bodyid[other]))
        both = touched[0] & touched[1]
        return next((t.body for t in self._things if self.model.body(t.body).id in both), None)

    def truth(self) -> list[TrueObject]:
        """Where the objects are, without distractors; nothing that perceives may look at it."""
        found = []
        for thing in self._things:
            if not thing.category:
                continue
            pose = np.eye(4)
            body = self.data.body(thing.body)
            pose[:3, :3], pose[:3, 3] = body.xmat.reshape(3, 3), body.xpos
            points: dict[str, FloatArray] = {
                name: pose[:3, :3] @ point + pose[:3, 3] for name, point in thing.points.items()
            }
            found.append(
                TrueObject(thing.category, thing.number, thing.body, thing.mesh, pose, points)
            )
        return found

    def taught_grasp(self, there: TrueObject, point: str) -> TaughtGrasp:
        """A grasp at an anatomical point of an object, as a person would teach it.

        Raises:
            InvalidInputError: none is taught there.
        """
        lesson = taught(there.category, point)
        T_object_base = np.linalg.inv(there.T_base_object)
        at = (T_object_base @ np.append(there.points[point], 1))[:3]
        return TaughtGrasp(there.T_base_object @ lesson.T_object_grasp(at), lesson.opening_width)

    @property
    def T_base_camera(self) -> FloatArray:
        """The pose (4, 4) of the camera now."""
        pose = np.eye(4)
        camera = self.data.camera(self.settings.camera)
        pose[:3, :3] = camera.xmat.reshape(3, 3) @ OPTICAL_TO_MUJOCO
        pose[:3, 3] = camera.xpos
        return pose

    def view(self) -> CellView:
        """What the camera sees now."""
        depth = self._pictures.depth(self.data)
        if self.settings.depth_noise:
            rng = np.random.default_rng([self.seed, self._views])
            depth = measure(depth, self.camera, rng)
        self._views += 1
        stamp = round(self.time * NANOSECONDS)
        color = self._pictures.color(self.data)
        return CellView(RgbdFrame(color, depth, self.camera, stamp_ns=stamp), self.T_base_camera)

    def view_outside(self, size: tuple[int, int] = (960, 720)) -> Picture:
        """A picture (height, width, 3) of the whole cell, of a size (width, height), for films."""
        return self._pictures.outside(self.data, size)
