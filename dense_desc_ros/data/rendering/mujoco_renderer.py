"""Colour pictures of views by MuJoCo: fast, with soft shadows, and without a display."""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.rendering.scene import (
    SURFACE_PIXELS,
    Lamp,
    Picture,
    Scene,
    View,
    room_mesh,
    surface_picture,
    table_mesh,
)
from dense_desc_ros.sim.offscreen import OffscreenRenderer, add_textured_mesh, mujoco

NEAR, FAR = 0.05, 10.0
FINER = 2  # colours are rendered finer than asked for and averaged
SOFT, PARTS = 0.06, 2  # a lamp of this radius or more, metres, is made of so many lights
SHADOW_PIXELS = 1024
# Degrees, half the opening of a lamp's cone: the shadows of a narrow one are finer.
CUTOFF_SHADOW, CUTOFF_PLAIN = 40.0, 80.0
# What is seen of the room is far away: fewer pixels do, and are faster to prepare.
SURFACES = (("table", table_mesh, SURFACE_PIXELS), ("room", room_mesh, SURFACE_PIXELS // 2))
PLAIN = np.full((8, 8, 3), 170, np.uint8)
HIDDEN = 5  # a group of geoms that is not drawn, which saves more than moving them out of sight


class MujocoRenderer:
    """Renders the views of one scene; use it with `with`.

    The scene is compiled once, from view to view only poses, lights and textures change.

    Args:
        scene: the scene.
        width: of the pictures, pixels.
        height: of the pictures, pixels.

    Raises:
        DataError: this machine cannot render.
    """

    def __init__(self, scene: Scene, width: int, height: int) -> None:
        self._scene = scene
        spec = mujoco.MjSpec()
        spec.stat.extent, spec.stat.center = 1.0, (0, 0, 0)
        spec.visual.global_.offwidth = FINER * width
        spec.visual.global_.offheight = FINER * height
        # One sample at each pixel's centre: these pixels are averaged already.
        spec.visual.quality.offsamples = 0
        spec.visual.quality.shadowsize = SHADOW_PIXELS
        spec.visual.map.znear, spec.visual.map.zfar = NEAR, FAR
        for name, mesh, pixels in SURFACES:
            blank = np.zeros((pixels, pixels, 3), np.uint8)
            _add(spec, spec.worldbody, name, mesh(), blank, 0.1)
        for i, body in enumerate(scene.bodies):
            carrier = spec.worldbody.add_body(name=f"body_{i}", mocap=True)
            texture = PLAIN if body.mesh.texture is None else body.mesh.texture
            _add(spec, carrier, f"body_{i}", body.mesh, texture, body.shine)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._renderer = OffscreenRenderer(self._model, FINER * height, FINER * width)

    def __enter__(self) -> "MujocoRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def color(self, view: View) -> Picture:
        """The picture of a view, (H, W, 3) RGB."""
        for (name, _, pixels), surface in zip(SURFACES, (view.table, view.room), strict=True):
            self._renderer.set_texture(name, surface_picture(self._scene, surface, pixels))
        self._arrange(view)
        size = (view.camera.width, view.camera.height)
        return np.asarray(cv2.resize(self._renderer.render(), size, interpolation=cv2.INTER_AREA))

    def depth(self, view: View) -> npt.NDArray[np.float32]:
        """The rasterised depth of a view at FINER times its size, metres: to check others by."""
        self._arrange(view)
        self._renderer.enable_depth_rendering()
        try:
            return self._renderer.render()
        finally:
            self._renderer.disable_depth_rendering()

    def _arrange(self, view: View) -> None:
        for i, pose in enumerate(view.poses):
            self._model.geom(f"body_{i}").group = HIDDEN if pose is None else 0
            if pose is None:
                continue
            body = self._model.body(f"body_{i}").mocapid[0]
            self._data.mocap_pos[body] = pose[:3, 3]
            mujoco.mju_mat2Quat(self._data.mocap_quat[body], pose[:3, :3].ravel())
        mujoco.mj_kinematics(self._model, self._data)
        self._renderer.update_scene(self._data)
        # Surfaces have no inside in the ray-cast layers either.
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = False
        _set_lights(self._renderer.scene, view)
        for camera in self._renderer.scene.camera:
            _set_camera(camera, view.camera, view.T_world_camera)


def _add(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    mesh: Mesh,
    texture: Picture,
    shine: float,
) -> None:
    uv = np.zeros((len(mesh.vertices), 2)) if mesh.uv is None else mesh.uv
    add_textured_mesh(spec, body, name, mesh.vertices, mesh.normals, uv, mesh.faces, texture, shine)


def _set_camera(
    target: mujoco.MjvGLCamera, camera: PinholeCamera, T_world_camera: FloatArray
) -> None:
    left, right = (NEAR * (u - camera.cx) / camera.fx for u in (-0.5, camera.width - 0.5))
    top, bottom = (NEAR * (camera.cy - v) / camera.fy for v in (-0.5, camera.height - 0.5))
    target.pos[:] = T_world_camera[:3, 3]
    target.forward[:] = T_world_camera[:3, 2]
    target.up[:] = -T_world_camera[:3, 1]
    target.frustum_center, target.frustum_width = (left + right) / 2, (right - left) / 2
    target.frustum_bottom, target.frustum_top = bottom, top
    target.frustum_near, target.frustum_far = NEAR, FAR


def _set_lights(scene: mujoco.MjvScene, view: View) -> None:
    """Ambient light as the first one, then each lamp as one or several small ones at its rim."""
    _set_light(scene.lights[0], (0, 0, 2), (0, 0, 0), view.ambient, False)
    count = 1
    for lamp in view.lamps:
        parts = PARTS if lamp.radius >= SOFT else 1
        color = np.array(lamp.color) / parts
        for at in _rim(lamp, parts):
            _set_light(scene.lights[count], at, color, (0, 0, 0), lamp.radius > 0)
            count += 1
    scene.nlight = count


def _rim(lamp: Lamp, parts: int) -> FloatArray:
    angle = 2 * np.pi * (np.arange(parts) + 0.25) / parts
    offset = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return np.array(lamp.position) + (lamp.radius if parts > 1 else 0) * offset


def _set_light(
    light: mujoco.MjvLight,
    position: npt.ArrayLike,
    diffuse: npt.ArrayLike,
    ambient: npt.ArrayLike,
    casts_shadow: bool,
) -> None:
    at = np.asarray(position, dtype=float)
    light.id, light.texid, light.headlight = -1, -1, 0
    light.type = mujoco.mjtLightType.mjLIGHT_SPOT
    light.pos[:], light.dir[:] = at, -at / np.linalg.norm(at)
    light.diffuse[:], light.ambient[:] = diffuse, ambient
    light.specular[:] = 0.5 * np.asarray(diffuse)
    light.attenuation[:] = (1, 0, 0)
    light.cutoff, light.exponent = (CUTOFF_SHADOW if casts_shadow else CUTOFF_PLAIN), 0.0
    light.castshadow = int(casts_shadow)
