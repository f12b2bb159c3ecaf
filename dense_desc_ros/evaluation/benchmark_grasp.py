"""How exactly grasps that were registered once are found again, on pictures with known truth."""

import contextlib
import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.instances import Instances
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.errors import InvalidInputError, MissingDepthError
from dense_desc_ros.evaluation.grasp_figures import (
    ABSENT,
    MAIN,
    Condition,
    Example,
    GraspBenchmark,
    Sighting,
    Truth,
)
from dense_desc_ros.evaluation.grasp_scenes import (
    GraspScene,
    Instance,
    SceneMaker,
    point_pixels,
)
from dense_desc_ros.evaluation.grasp_truth import is_expected, true_pose
from dense_desc_ros.grasping.grasp import METHODS
from dense_desc_ros.grasping.registration import MAX_VIEWS, Registration
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import FrameResult, GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

SEEN = 10  # objects, from number 0, that trainings use
FIRST_UNSEEN, UNSEEN = 100, 100  # number of the first that no training uses, and how many
MOST = 5  # objects in a picture
CONDITIONS = {
    "seen": (MAIN, Condition("seen", 3), Condition("seen", MOST), ABSENT),
    "unseen": tuple(Condition("unseen", count) for count in (1, 3, MOST)),
}
PICTURES = 5  # of the same things: preparing them takes longer than a picture
POINTS, TIMED_POINTS = 2, 16  # references registered for a picture, and where time is measured
TRIES = 20  # pixels for each point, until there is depth
SHOWN = 4  # examples of the best grasps, and of the worst


class Shown(NamedTuple):
    """A picture of an object alone, and its descriptors, to register grasps in."""

    scene: GraspScene
    descriptors: DescriptorMap

    @property
    def instance(self) -> Instance:
        (instance,) = self.scene.instances
        return instance


class Picture(NamedTuple):
    """A scene of a condition, and what is shown before; the first is where points are chosen."""

    condition: Condition
    shown: Sequence[Shown]
    scene: GraspScene


def benchmark_grasp(
    model: DescriptorModel,
    scenes: int = 100,
    seed: int = 0,
    objects: str = "caps",
    from_above: bool = False,
    views: int = 1,
) -> GraspBenchmark:
    """Register points on one object, and look for them in pictures of it and of others.

    Args:
        model: what describes the pictures.
        scenes: pictures of each condition.
        seed: fixes pictures and points.
        objects: a procedural category.
        from_above: cameras look straight down on upright objects; else from anywhere around.
        views: pictures in which the object is shown. A point is chosen in the first, and its
            reference gets the others in which it can be seen.

    Raises:
        InvalidInputError: no scene or view, or objects without canonical coordinates.
        DataError: this machine cannot render.
    """
    if scenes < 1:
        raise InvalidInputError(f"at least one scene is needed, got {scenes}")
    if not 1 <= views <= MAX_VIEWS:
        raise InvalidInputError(f"a reference has 1 to {MAX_VIEWS} views, not {views}")
    methods = [each for each in METHODS if each != "aligned" or model.config.network.keypoints]
    result = GraspBenchmark(scenes)
    timed: list[Picture] = []
    total = scenes * sum(map(len, CONDITIONS.values()))
    with (
        tempfile.TemporaryDirectory(prefix="benchmark_grasp_") as folder,
        Progress(console=Console(stderr=True)) as progress,
    ):
        pipeline = GraspPipeline(model, ReferenceStore(folder, model.fingerprint))
        pictures = _pictures(model, Instances(objects), scenes, seed, from_above, views)
        for number, picture in enumerate(progress.track(pictures, total, description="scenes")):
            rng = np.random.default_rng([seed, number])
            points = register_points(pipeline, rng, picture, POINTS)
            frame, condition = picture.scene.frame, picture.condition
            truths = {name: _truth(picture, point) for name, point in points.items()}
            descriptors = model.describe(frame.image)
            default = ["auto"] if condition in (MAIN, ABSENT) else []
            for method in [*default, *(methods if condition != ABSENT else [])]:
                most = max(condition.instances, 1)
                pipeline.settings = PipelineSettings(method=method, max_instances=most)
                found = pipeline.find(frame, descriptors)
                sightings = [_sighting(truth, name, found) for name, truth in truths.items()]
                result.sightings[condition, method] += sightings
                if (condition, method) == (MAIN, "auto"):
                    result.seconds.append(found.timings.total / len(points))
                    _add_examples(result.examples, picture, points, sightings)
            if condition == MAIN and len(timed) < PICTURES:
                timed.append(picture)
        result.timings = _time(model, Path(folder) / "timed", timed)
    return result


def _pictures(
    model: DescriptorModel,
    instances: Instances,
    scenes: int,
    seed: int,
    from_above: bool,
    views: int,
) -> Iterator[Picture]:
    for k, (kind, conditions) in enumerate(CONDITIONS.items()):
        for start in range(0, scenes, PICTURES):
            rng = np.random.default_rng([seed, k, start])
            meshes, lying = _meshes(rng, instances, kind)
            with SceneMaker(rng, meshes, instances.others(), from_above) as maker:
                alone = [maker.alone(rng) for _ in range(views)]
                shown = [Shown(each, model.describe(each.frame.image)) for each in alone]
                for condition in conditions:
                    for number in range(start, min(start + PICTURES, scenes)):
                        rng = np.random.default_rng([seed, k, condition.instances, number])
                        scene = maker.cluttered(rng, lying[: condition.instances])
                        yield Picture(condition, shown, scene)


def _meshes(
    rng: np.random.Generator, instances: Instances, kind: str
) -> tuple[list[Mesh], Sequence[int]]:
    """Objects, the first of which is registered, and which of them lie in the scenes."""
    if kind == "seen":
        return [instances.make(int(rng.integers(SEEN)))] * MOST, range(MOST)
    numbers = FIRST_UNSEEN + rng.choice(UNSEEN, MOST + 1, replace=False)
    return [instances.make(int(number)) for number in numbers], range(1, MOST + 1)


def register_points(
    pipeline: GraspPipeline, rng: np.random.Generator, picture: Picture, count: int
) -> dict[str, FloatArray]:
    """Register random points of what is shown; their frames (4, 4) in the first picture's camera,
    by name."""
    first, *others = picture.shown
    poses: dict[str, FloatArray] = {}
    for pixel in point_pixels(rng, first.instance, TRIES * count):
        name = f"point_{len(poses)}"
        with contextlib.suppress(MissingDepthError):
            poses[name] = _register_view(pipeline, first, name, pixel).T_camera_point
        if name in poses:
            for other in others:
                _add_view(pipeline, first, other, name, poses[name])
        if len(poses) == count:
            return poses
    raise InvalidInputError("the depth camera sees too little of the object to register points")


def _add_view(
    pipeline: GraspPipeline, first: Shown, other: Shown, name: str, T_camera_point: FloatArray
) -> None:
    """Add another picture to a reference, if its point can be seen there."""
    there = true_pose(first.instance, other.instance, T_camera_point)
    if there is not None and is_expected(other.scene, other.instance, there):
        pixel = other.scene.frame.camera.project(there[:3, 3])
        with contextlib.suppress(MissingDepthError):
            _register_view(pipeline, other, name, pixel, append=True)


def _register_view(
    pipeline: GraspPipeline, shown: Shown, name: str, pixel: FloatArray, append: bool = False
) -> Registration:
    return pipeline.register(
        shown.scene.frame,
        name,
        pixel,
        descriptors=shown.descriptors,
        mask=shown.instance.mask,
        append=append,
    )


def _truth(picture: Picture, T_camera_point: FloatArray) -> Truth:
    registered, scene = picture.shown[0].instance, picture.scene
    poses = [true_pose(registered, instance, T_camera_point) for instance in scene.instances]
    there = [(i, pose) for i, pose in zip(scene.instances, poses, strict=True) if pose is not None]
    expected = [is_expected(scene, instance, pose) for instance, pose in there]
    return Truth(
        np.array([pose for _, pose in there]).reshape(-1, 4, 4), np.array(expected, dtype=bool)
    )


def _sighting(truth: Truth, name: str, found: FrameResult) -> Sighting:
    grasps = [grasp for grasp in found.grasps if grasp.name == name]
    refusals = [refusal for refusal in found.refusals if refusal.name == name]
    return Sighting(
        truth,
        np.array([grasp.T_camera_grasp for grasp in grasps]).reshape(-1, 4, 4),
        max([each.score for each in grasps] + [each.score for each in refusals]),
        "" if grasps else _kind(refusals[0].reason),
    )


def _kind(reason: str) -> str:
    """A reason without its numbers and explanations: what all of its kind have in common."""
    return re.sub(r"-?\d+(\.\d+)?", "#", reason.split(":")[0])


def _add_examples(
    examples: list[Example],
    picture: Picture,
    points: Mapping[str, FloatArray],
    sightings: Sequence[Sighting],
) -> None:
    for point, sighting in zip(points.values(), sightings, strict=True):
        for errors, grasp in zip(sighting.distances.T, sighting.grasps, strict=True):
            nearest = int(errors.argmin())
            frames = picture.shown[0].scene.frame, point, picture.scene.frame
            examples.append(Example(errors[nearest], *frames, sighting.truth.poses[nearest], grasp))
    examples.sort(key=lambda example: example.error)
    del examples[SHOWN:-SHOWN]


def _time(model: DescriptorModel, folder: Path, pictures: Sequence[Picture]) -> dict[str, float]:
    """What many references take in some pictures, beside the forward pass."""
    pipeline = GraspPipeline(model, ReferenceStore(folder, model.fingerprint))
    register_points(pipeline, np.random.default_rng(0), pictures[0], TIMED_POINTS)
    frames = [picture.scene.frame for picture in pictures]
    pipeline.process(frames[0])  # to warm up
    timings = [pipeline.process(frame).timings for frame in frames]
    shares = [(each.matching + each.grasp) / each.forward for each in timings]
    return {
        "references": TIMED_POINTS,
        "forward_ms": 1e3 * statistics.median(each.forward for each in timings),
        "matching_ms": 1e3 * statistics.median(each.matching for each in timings),
        "grasp_ms": 1e3 * statistics.median(each.grasp for each in timings),
        f"share_{TIMED_POINTS}": statistics.median(shares),
    }
