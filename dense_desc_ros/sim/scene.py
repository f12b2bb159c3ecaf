"""A table with objects in MuJoCo: placing them, moving the camera, rendering colour and depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.sim.objects import Part, TableObject, about_z
from dense_desc_ros.sim.offscreen import OffscreenRenderer, add_textured_mesh, mujoco
from dense_desc_ros.sim.shapes import Mesh
from dense_desc_ros.sim.textures import wood

TABLE_SIZE = (2.0, 1.5)
CAMERA = PinholeCamera(610.0, 610.0, 319.5, 239.5, 640, 480)
FINER = 2  # colours are rendered finer than asked for and averaged, which keeps prints sharp
# MuJoCo's cameras look along -z with y up; camera optical frames look along z with y down.
OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])
OUT_OF_SIGHT = (0.0, 0.0, -10.0)


@dataclass(frozen=True)
class Light:
    """A lamp of some extent: several small ones at its rim, so that its shadows have soft edges."""

    position: tuple[float, float, float]
    color: tuple[float, float, float]
    radius: float
    count: int

    def add_to(self, world: mujoco.MjsBody) -> None:
        centre = np.array(self.position)
        for i in range(self.count):
            angle = 2 * np.pi * (i + 0.25) / self.count
            at = centre + self.radius * np.array([np.cos(angle), np.sin(angle), 0])
            world.add_light(
                pos=at,
                dir=-at,
                type=mujoco.mjtLightType.mjLIGHT_SPOT,
                cutoff=45,
                exponent=0,
                attenuation=(1, 0, 0),
                diffuse=np.array(self.color) / self.count,
                specular=np.array([0.4, 0.4, 0.4]) / self.count,
                ambient=(0, 0, 0),
            )


LIGHTS = (
    Light((-0.75, -0.35, 1.7), (0.46, 0.44, 0.40), radius=0.07, count=4),
    Light((1.0, 0.8, 1.9), (0.15, 0.17, 0.21), radius=0.1, count=2),
)


@dataclass(frozen=True)
class Place:
    """Where an object stands: its frame's origin on the table, metres, and its turn about z."""

    x: float
    y: float
    yaw: float

    def to_table(self, points: FloatArray) -> FloatArray:
        """Points (..., 3) of the object's frame in the table's."""
        return points @ about_z(self.yaw).T + [self.x, self.y, 0.0]


class TableScene:
    """Renders the objects on a wooden table; use it with `with`.

    The table's frame has its origin in the middle of the top, x right, y away from the camera and
    z up, metres.

    Raises:
        DataError: this machine cannot render.
    """

    def __init__(self, objects: Sequence[TableObject], seed: int = 0) -> None:
        self.objects = {each.name: each for each in objects}
        spec = _room(np.random.default_rng([seed, 1000]))
        for each in objects:
            body = spec.worldbody.add_body(name=each.name, mocap=True)
            for i, part in enumerate(each.parts):
                _add_part(spec, body, f"{each.name}_{i}", part)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._color = _renderer(self._model, FINER)
        self._depth = _renderer(self._model, 1)
        self._depth.enable_depth_rendering()

    def __enter__(self) -> "TableScene":
        return self

    def __exit__(self, *_: object) -> None:
        self._color.close()
        self._depth.close()

    def arrange(self, places: Mapping[str, Place], T_table_camera: FloatArray) -> None:
        """Put the objects in their places, those without one away, and the camera at its pose."""
        for name in self.objects:
            body = self._model.body(name).mocapid[0]
            place = places.get(name)
            self._data.mocap_pos[body] = (place.x, place.y, 0) if place else OUT_OF_SIGHT
            half = place.yaw / 2 if place else 0.0
            self._data.mocap_quat[body] = (np.cos(half), 0, 0, np.sin(half))
        camera = self._model.body("camera").mocapid[0]
        self._data.mocap_pos[camera] = T_table_camera[:3, 3]
        rotation = T_table_camera[:3, :3] @ OPTICAL_TO_MUJOCO
        mujoco.mju_mat2Quat(self._data.mocap_quat[camera], rotation.ravel())
        mujoco.mj_forward(self._model, self._data)

    def color(self) -> npt.NDArray[np.uint8]:
        """The picture of CAMERA, (480, 640, 3) RGB."""
        self._color.update_scene(self._data, "camera")
        size = (CAMERA.width, CAMERA.height)
        return np.asarray(cv2.resize(self._color.render(), size, interpolation=cv2.INTER_AREA))

    def depth(self) -> npt.NDArray[np.float32]:
        """The exact depth of CAMERA, (480, 640) metres along the optical axis."""
        self._depth.update_scene(self._data, "camera")
        return self._depth.render().copy()


def _renderer(model: mujoco.MjModel, finer: int) -> OffscreenRenderer:
    return OffscreenRenderer(model, finer * CAMERA.height, finer * CAMERA.width)


def _room(rng: np.random.Generator) -> mujoco.MjSpec:
    """Table, floor, lights and camera."""
    spec = mujoco.MjSpec()
    spec.stat.extent, spec.stat.center = 1.0, (0, 0, 0)
    spec.visual.global_.offwidth = FINER * CAMERA.width
    spec.visual.global_.offheight = FINER * CAMERA.height
    # One sample, at the centre of the pixel: depth must not be averaged over edges, and colours are
    # averaged over finer pixels already.
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 2048
    spec.visual.map.znear, spec.visual.map.zfar = 0.1, 10.0
    spec.visual.headlight.ambient = (0.33, 0.33, 0.34)
    spec.visual.headlight.diffuse = (0.28, 0.28, 0.28)
    spec.visual.headlight.specular = (0, 0, 0)
    world = spec.worldbody
    for light in LIGHTS:
        light.add_to(world)
    width, depth = TABLE_SIZE
    table = wood(rng, 2048, 1536, 10, (208, 164, 114), (126, 84, 50))
    corners = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)]) * 0.5
    top = Mesh(
        np.column_stack([corners * [width, depth], np.zeros(4)]),
        np.tile([0.0, 0, 1], (4, 1)),
        np.array([(0.0, 0), (1, 0), (1, 1), (0, 1)]),
        np.array([(0, 2, 1), (0, 3, 2)], np.int32),
    )
    _add_part(spec, world, "table", Part(top, table, 0.25))
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(5, 5, 0.1),
        pos=(0, 0, -0.75),
        rgba=(0.62, 0.6, 0.56, 1),
    )
    camera = world.add_body(name="camera", mocap=True)
    fovy = 2 * np.degrees(np.arctan(CAMERA.height / 2 / CAMERA.fy))
    camera.add_camera(name="camera", fovy=fovy)
    return spec


def _add_part(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, part: Part) -> None:
    mesh = part.mesh
    add_textured_mesh(
        spec,
        body,
        name,
        mesh.vertices,
        mesh.normals,
        mesh.uv,
        mesh.faces,
        part.picture,
        part.shine,
    )
