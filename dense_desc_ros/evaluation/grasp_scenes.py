"""Rendered tables on which it is known what lies where.

The pictures are those of `dense-desc generate`, made in memory: colour by MuJoCo, depth by ray
casting, as a depth camera would measure it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.rendering.distractors import Maker
from dense_desc_ros.data.rendering.mujoco_renderer import MujocoRenderer
from dense_desc_ros.data.rendering.raycast import RayCaster
from dense_desc_ros.data.rendering.sampling import ViewConfig, ViewSampler, random_scene
from dense_desc_ros.data.rendering.scene import View
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame
from dense_desc_ros.sim.depth_sensor import measure

ALONE = ViewConfig(tumbled=0.0, distractors=(0, 0))  # as somebody shows an object
CLUTTER = ViewConfig(distractors=(12, 8), clutter=True)  # as `dense-desc generate --clutter`
ATTEMPTS = 40
LEAST_SHARE, LEAST_SHARE_ALONE = 0.3, 0.98  # of the first object's silhouette
LEAST_AREA, LEAST_AREA_ALONE = 0.006, 0.04  # of the picture
WIDER, COARSER = 3, 8  # the picture in which whole silhouettes are counted
POINT_MARGIN = 15  # px from the silhouette's edge to a registered point


@dataclass(frozen=True, eq=False)
class Instance:
    """An object in a picture.

    Attributes:
        mesh: the object.
        T_camera_object: (4, 4) its pose.
        mask: (H, W) where it is visible.
        share: of its whole silhouette, uncut and with nothing before it, that is visible.
    """

    mesh: Mesh
    T_camera_object: FloatArray
    mask: npt.NDArray[np.bool_]
    share: float


@dataclass(frozen=True, eq=False)
class GraspScene:
    """A picture of objects: the frame, measured as a depth camera does, and the truth.

    Attributes:
        frame: what a robot gets.
        depth: (H, W) float32 metres, exact, NaN where there is nothing.
        instances: the objects in it.
    """

    frame: RgbdFrame
    depth: npt.NDArray[np.float32]
    instances: tuple[Instance, ...]


class SceneMaker:
    """Takes pictures of one set of things; use it with `with`.

    Args:
        rng: source of chance for distractors, table and room.
        meshes: the objects.
        others: makers of some of the distractors.
        from_above: objects are upright and seen straight from above; else tumbled too, and from
            anywhere around.

    Raises:
        DataError: this machine cannot render.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        meshes: Sequence[Mesh],
        others: Sequence[Maker],
        from_above: bool = False,
    ) -> None:
        self._scene = random_scene(rng, meshes, others, CLUTTER)
        self._caster = RayCaster(self._scene)
        self._alone, self._cluttered = (
            ViewSampler(self._scene, config.straight_from_above() if from_above else config)
            for config in (ALONE, CLUTTER)
        )
        self._renderer = MujocoRenderer(self._scene, CLUTTER.width, CLUTTER.height)

    def __enter__(self) -> "SceneMaker":
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.__exit__()

    def alone(self, rng: np.random.Generator) -> GraspScene:
        """A random picture of the first object on an empty table, as somebody would show it."""
        for _ in range(ATTEMPTS):
            view = self._alone.sample(rng)
            shown = self._instance(view, 0)
            if shown.share >= LEAST_SHARE_ALONE and shown.mask.mean() >= LEAST_AREA_ALONE:
                return self._picture(rng, view, [0])
        raise InvalidInputError("an object of this size is never well visible alone on the table")

    def cluttered(self, rng: np.random.Generator, objects: Sequence[int]) -> GraspScene:
        """A random picture of some objects, the first of which is visible, and of other things."""
        for _ in range(ATTEMPTS):
            view = self._cluttered.sample(rng, objects)
            if any(view.poses[number] is None for number in objects):
                continue
            shown = [self._instance(view, number) for number in objects[:1]]
            if all(each.share >= LEAST_SHARE and each.mask.mean() >= LEAST_AREA for each in shown):
                return self._picture(rng, view, objects)
        raise InvalidInputError(f"{len(objects)} objects of this size do not fit on the table")

    def _picture(self, rng: np.random.Generator, view: View, objects: Sequence[int]) -> GraspScene:
        depth = self._caster.layers(view).depth
        measured = measure(depth, view.camera, rng)
        frame = RgbdFrame(self._renderer.color(view), measured, view.camera)
        return GraspScene(frame, depth, tuple(self._instance(view, i) for i in objects))

    def _instance(self, view: View, body: int) -> Instance:
        T_world_object = view.poses[body]
        assert T_world_object is not None
        mask = self._caster.layers(view, body).mask_visib
        only = [pose if i == body else None for i, pose in enumerate(view.poses)]
        wide = replace(view, camera=_wide(view.camera), poses=tuple(only))
        whole = self._caster.layers(wide, body).mask.sum() * COARSER**2
        T_camera_object = np.linalg.inv(view.T_world_camera) @ T_world_object
        mesh = self._scene.bodies[body].mesh
        return Instance(mesh, T_camera_object, mask, float(mask.sum() / max(whole, 1)))


def _wide(camera: PinholeCamera) -> PinholeCamera:
    """A camera at the same place that sees WIDER times as far to all sides, in fewer pixels."""
    left, top = ((WIDER - 1) // 2 * side for side in (camera.width, camera.height))
    return PinholeCamera(
        camera.fx / COARSER,
        camera.fy / COARSER,
        (camera.cx + left + 0.5) / COARSER - 0.5,
        (camera.cy + top + 0.5) / COARSER - 0.5,
        WIDER * camera.width // COARSER,
        WIDER * camera.height // COARSER,
    )


def point_pixels(rng: np.random.Generator, instance: Instance, count: int) -> FloatArray:
    """Random pixels (count, 2), (u, v), on an object and POINT_MARGIN px within its silhouette."""
    inside = cv2.distanceTransform(instance.mask.astype(np.uint8), cv2.DIST_L2, 5) >= POINT_MARGIN
    pixels = np.argwhere(inside)[:, ::-1]
    return pixels[rng.integers(len(pixels), size=count)].astype(float)
