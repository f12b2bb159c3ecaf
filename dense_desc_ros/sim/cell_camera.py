"""Pictures of the simulated cell, rendered by MuJoCo without a display."""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.sim.offscreen import OffscreenRenderer, mujoco
from dense_desc_ros.sim.textures import Picture

FINER = 2  # colours are rendered finer than asked for and averaged
LARGEST = (1280, 960)  # pictures from outside, pixels
WRIST, FIXED, OUTSIDE = "wrist", "fixed", "outside"  # cameras; the last is for films
OUTSIDE_FOVY = 40.0
ROBOT_GROUP = 2  # of MuJoCo's geoms: what is seen of the robot
OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z with y up


def looking_at(eye: FloatArray, target: FloatArray) -> FloatArray:
    """T_base_camera (4, 4) of an upright camera at a place (3,) that looks at another one."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    pose[:3, 3] = eye
    return pose


def add_camera(body: mujoco.MjsBody, name: str, T_body_camera: FloatArray, fovy: float) -> None:
    """Add a camera to a body, given the pose (4, 4) of its optical frame; fovy in degrees."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, (T_body_camera[:3, :3] @ OPTICAL_TO_MUJOCO).ravel())
    body.add_camera(name=name, pos=T_body_camera[:3, 3], quat=quaternion, fovy=fovy)


def field_of_view(camera: PinholeCamera) -> float:
    """The vertical one, degrees."""
    return float(2 * np.degrees(np.arctan(camera.height / 2 / camera.fy)))


class CellPictures:
    """Renders a model; what it needs for that is set up at the first picture.

    The camera at the wrist sees nothing of the robot. It is left out there for speed, and with it
    its shadow.

    Args:
        model: of the cell, with cameras called WRIST, FIXED and OUTSIDE.
        camera: intrinsics of `name`, with the principal point in the middle.
        name: of the camera of `color` and `depth`.
    """

    def __init__(self, model: mujoco.MjModel, camera: PinholeCamera, name: str) -> None:
        self._model, self._camera, self._name = model, camera, name
        self._renderers: dict[tuple[int, int, bool], OffscreenRenderer] = {}

    def close(self) -> None:
        """Give back what rendering needs."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def color(self, data: mujoco.MjData) -> Picture:
        """The picture (H, W, 3) of the camera. Raises DataError: this machine cannot render."""
        return self._picture(data, self._name, (self._camera.width, self._camera.height))

    def depth(self, data: mujoco.MjData) -> npt.NDArray[np.float32]:
        """The exact depth (H, W) along the optical axis, metres. Raises as `color`."""
        renderer = self._renderer(self._camera.width, self._camera.height, True)
        renderer.update_scene(data, self._name, _shown(self._name))
        return renderer.render().copy()

    def outside(self, data: mujoco.MjData, size: tuple[int, int]) -> Picture:
        """A picture of (width, height) of the whole cell. Raises as `color`.

        Raises:
            InvalidInputError: a size that is not from 16 x 16 to LARGEST.
        """
        if not all(16 <= side <= most for side, most in zip(size, LARGEST, strict=True)):
            raise InvalidInputError(f"a picture can have 16x16 to {LARGEST} pixels, got {size}")
        return self._picture(data, OUTSIDE, size)

    def _picture(self, data: mujoco.MjData, camera: str, size: tuple[int, int]) -> Picture:
        renderer = self._renderer(FINER * size[0], FINER * size[1], False)
        renderer.update_scene(data, camera, _shown(camera))
        # Cloth is seen from both sides, as in the pictures that models are trained on.
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = False
        return np.asarray(cv2.resize(renderer.render(), size, interpolation=cv2.INTER_AREA))

    def _renderer(self, width: int, height: int, of_depth: bool) -> OffscreenRenderer:
        key = (width, height, of_depth)
        if key not in self._renderers:
            self._renderers[key] = OffscreenRenderer(self._model, height, width)
            if of_depth:
                self._renderers[key].enable_depth_rendering()
        return self._renderers[key]


def _shown(camera: str) -> mujoco.MjvOption:
    option = mujoco.MjvOption()
    option.geomgroup[ROBOT_GROUP] = camera != WRIST
    return option
