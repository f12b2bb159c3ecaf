"""One scene of a generated data set, written by a worker process: the views of one instance."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.bop_models import add_model_info, model_info, write_model
from dense_desc_ros.data.bop_writer import Annotation, BopWriter
from dense_desc_ros.data.instances import Instances
from dense_desc_ros.data.rendering.cycles import CyclesConfig, cycles_colors
from dense_desc_ros.data.rendering.mujoco_renderer import MujocoRenderer
from dense_desc_ros.data.rendering.raycast import Layers, RayCaster
from dense_desc_ros.data.rendering.sampling import ViewConfig, ViewSampler, random_scene
from dense_desc_ros.data.rendering.scene import Picture, Scene, View
from dense_desc_ros.errors import InvalidInputError

RENDERERS = ("mujoco", "cycles")
SCENE_VIEWS = 100
SCENES_PER_INSTANCE = 100  # numbers set aside, so that no two instances' scenes share one
MOST_INSTANCES = 10_000
ABSENT_EVERY = 5  # with clutter, one view in so many is without the object
ATTEMPTS = 40
COARSER = 8  # than the view, when an attempt is judged
LEAST_VISIBLE, LEAST_SHARE = 0.006, 0.3  # of the picture, and of the object's silhouette

_threads = 0
_done: "multiprocessing.Queue[int] | None" = None


@dataclass(frozen=True)
class GenerateConfig:
    """What is generated. All but the instances must agree when a data set is gone on with.

    Attributes:
        objects: a procedural category, or a folder of meshes.
        instances: how many objects.
        first_instance: number of the first one; the number fixes the object.
        views: of each object.
        seed: fixes cameras, lights, tables and distractors.
        renderer: "mujoco" or "cycles".
        clutter: distractors hide parts of the object, and one view in five lacks it.
        from_above: objects stand upright and cameras look straight down, as in "Training Dense
            Object Nets: A Novel Approach"; else cameras are anywhere on a hemisphere and a quarter
            of the objects lies tilted or upside down.
        split: folder of the scenes.
        size: width and height of the pictures, pixels.
        mesh_size: longest side of the meshes of a folder, metres; None leaves them as they are.
    """

    objects: str
    instances: int = 10
    first_instance: int = 0
    views: int = 100
    seed: int = 0
    renderer: str = "mujoco"
    clutter: bool = False
    from_above: bool = False
    split: str = "train"
    size: tuple[int, int] = (640, 480)
    mesh_size: float | None = None

    def __post_init__(self) -> None:
        most = SCENE_VIEWS * SCENES_PER_INSTANCE
        if not 1 <= self.views <= most:
            raise InvalidInputError(f"the number of views must be in 1..{most}, got {self.views}")
        if self.seed < 0:
            raise InvalidInputError(f"the seed must not be negative, got {self.seed}")
        if self.renderer not in RENDERERS:
            raise InvalidInputError(f"unknown renderer {self.renderer!r}: use one of {RENDERERS}")
        if not 0 <= self.first_instance <= MOST_INSTANCES - self.instances:
            raise InvalidInputError(f"instances have numbers from 0 to {MOST_INSTANCES - 1}")
        if min(self.size) < 16:
            raise InvalidInputError(f"pictures of {self.size} pixels are too small")

    @property
    def view(self) -> ViewConfig:
        width, height = self.size
        many = (12, 8) if self.clutter else (5, 3)
        views = ViewConfig(width, height, distractors=many, clutter=self.clutter)
        return views.straight_from_above() if self.from_above else views


class SceneJob(NamedTuple):
    """One scene to write: a range of the views of one instance."""

    config: GenerateConfig
    out: Path
    cycles: CyclesConfig
    instance: int
    chunk: int

    @property
    def number(self) -> int:
        return self.instance * SCENES_PER_INSTANCE + self.chunk

    @property
    def object_id(self) -> int:
        return self.instance + 1  # BOP's count from 1

    @property
    def views(self) -> range:
        start = self.chunk * SCENE_VIEWS
        return range(start, min(start + SCENE_VIEWS, self.config.views))


def set_up_worker(done: "multiprocessing.Queue[int]", threads: int) -> None:
    """Prepare this process: a queue that gets a 1 for each frame, and how many threads to use."""
    global _threads, _done
    _threads, _done = threads, done
    cv2.setNumThreads(threads)
    os.environ["LP_NUM_THREADS"] = str(threads)  # of Mesa's software renderer


def write_scene(job: SceneJob) -> None:
    """Render and write a scene and its model.

    Raises:
        DataError: this machine cannot render, the disk is full, or a mesh is broken.
    """
    config = job.config
    instances = Instances(config.objects, config.mesh_size)
    mesh = instances.make(job.instance)
    write_model(job.out / "models", job.object_id, mesh)
    add_model_info(job.out / "models", job.object_id, model_info(mesh))
    rng = np.random.default_rng([config.seed, job.number])
    scene = random_scene(rng, [mesh], instances.others(), config.view)
    sampler, caster = ViewSampler(scene, config.view), RayCaster(scene, _threads)
    views = [_view(job, number, sampler, caster) for number in job.views]
    with BopWriter(job.out, config.split).scene(job.number) as writer:
        for number, (view, image) in enumerate(zip(views, _colors(scene, views, job), strict=True)):
            layers = caster.layers(view)
            T_camera_world = np.linalg.inv(view.T_world_camera)
            annotations = _annotations(job.object_id, view, layers)
            writer.add(number, image, layers.depth, view.camera, T_camera_world, annotations)
            if _done is not None:
                _done.put(1)


def _view(job: SceneJob, number: int, sampler: ViewSampler, caster: RayCaster) -> View:
    """The first of several random views that shows enough of the object, if it is to be there."""
    rng = np.random.default_rng([job.config.seed, job.instance, number])
    present = not (job.config.clutter and number % ABSENT_EVERY == ABSENT_EVERY - 1)
    for _ in range(ATTEMPTS):
        view = sampler.sample(rng, [0] if present else [])
        if not present:
            break
        layers = caster.layers(replace(view, camera=_coarse(view.camera)))
        visible = layers.mask_visib.sum()
        if visible > max(LEAST_VISIBLE * layers.mask.size, LEAST_SHARE * layers.mask.sum()):
            break
    return view


def _coarse(camera: PinholeCamera) -> PinholeCamera:
    """A camera that sees the same in fewer pixels."""
    return PinholeCamera(
        camera.fx / COARSER,
        camera.fy / COARSER,
        (camera.cx + 0.5) / COARSER - 0.5,
        (camera.cy + 0.5) / COARSER - 0.5,
        camera.width // COARSER,
        camera.height // COARSER,
    )


def _colors(scene: Scene, views: Sequence[View], job: SceneJob) -> Iterator[Picture]:
    if job.config.renderer == "cycles":
        yield from cycles_colors(scene, views, job.cycles, _threads)
        return
    with MujocoRenderer(scene, *job.config.size) as renderer:
        for view in views:
            yield renderer.color(view)


def _annotations(object_id: int, view: View, layers: Layers) -> list[Annotation]:
    T_world_object = view.poses[0]
    if T_world_object is None:
        return []
    T_camera_object = np.linalg.inv(view.T_world_camera) @ T_world_object
    return [
        Annotation(object_id, T_camera_object, layers.mask, layers.mask_visib, layers.canonical)
    ]
