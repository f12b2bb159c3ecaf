"""Random views of a scene: where things lie, where the camera is, how the light falls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.rendering.distractors import Maker, random_distractor
from dense_desc_ros.data.rendering.scene import (
    Body,
    Color,
    Lamp,
    Scene,
    Surface,
    View,
)
from dense_desc_ros.data.rendering.surfaces import random_surfaces

SURFACES = 14
TRIES = 30
GAP = 0.01
FOCAL_WIDTH = 640  # pixels; focal lengths are given for pictures as wide


@dataclass(frozen=True)
class ViewConfig:
    """What views are drawn from; lengths in metres, angles in radians.

    Attributes:
        width, height: of the pictures, pixels.
        focal: range of the focal length, for a picture FOCAL_WIDTH pixels wide.
        principal_jitter: of the principal point around the middle, ± pixels.
        distance: range of the camera's distance from what it looks at.
        lowest: least elevation of the camera above the table.
        from_above: share of views straight from above, as a wrist camera looks.
        roll: of the other views, ±; a third of them is turned by any angle.
        spread: of the object's place on the table, ±.
        tumbled: share of the objects that lie tilted or upside down.
        distractors: in the scene, and most in a view.
        clutter: distractors touch the objects, lie on them and in front of them, two for each.
    """

    width: int = 640
    height: int = 480
    focal: tuple[float, float] = (560.0, 660.0)
    principal_jitter: float = 8.0
    distance: tuple[float, float] = (0.35, 0.9)
    lowest: float = 0.3
    from_above: float = 0.25
    roll: float = 0.3
    spread: float = 0.12
    tumbled: float = 0.25
    distractors: tuple[int, int] = (5, 3)
    clutter: bool = False

    def straight_from_above(self) -> "ViewConfig":
        """The same with upright objects, seen as a wrist camera looks down on them."""
        return replace(self, from_above=1.0, tumbled=0.0)


def random_scene(
    rng: np.random.Generator, meshes: Sequence[Mesh], others: Sequence[Maker], config: ViewConfig
) -> Scene:
    """A scene of objects, with distractors, some of which the `others` make."""
    objects = [Body(mesh, shine=float(rng.uniform(0.05, 0.25))) for mesh in meshes]
    distractors = [random_distractor(rng, others) for _ in range(config.distractors[0])]
    return Scene((*objects, *distractors), random_surfaces(rng, SURFACES), len(objects))


class ViewSampler:
    """Draws views of a scene."""

    def __init__(self, scene: Scene, config: ViewConfig) -> None:
        self._config, self._surfaces, self._objects = config, len(scene.surfaces), scene.objects
        self._hulls = [_hull(body.mesh.vertices) for body in scene.bodies]

    def sample(self, rng: np.random.Generator, objects: Sequence[int] = (0,)) -> View:
        """A random view with some of the scene's objects, given by number, apart from each other.

        The pose of one for which there is no place left is None. Without objects, a place for the
        scene's first one stays empty.
        """
        config = self._config
        first = objects[0] if objects else 0
        hull = self._hulls[first]
        place = np.array([*rng.uniform(-config.spread, config.spread, 2), 0.0])
        tumbled = rng.random() < config.tumbled
        resting = _resting(rng, hull, tumbled)
        target = place + [0, 0, 0.4 * np.ptp(hull @ resting.T, axis=0)[2]]
        T_world_camera = _camera_pose(rng, config, target)
        poses: list[FloatArray | None] = [None] * len(self._hulls)
        poses[first] = _pose(resting, place, hull)
        for body in objects[1:]:
            turned = _resting(rng, self._hulls[body], rng.random() < config.tumbled)
            poses[body] = self._free_place(rng, poses, self._hulls[body], turned)
        self._add_distractors(rng, poses, T_world_camera[:3, 3])
        if not objects:
            poses[first] = None
        table, room = (_surface(rng, self._surfaces, zoom) for zoom in ((0.5, 3.0), (1.0, 2.0)))
        return View(
            _intrinsics(rng, config),
            T_world_camera,
            tuple(poses),
            *_light(rng),
            table,
            room,
        )

    def _add_distractors(
        self, rng: np.random.Generator, poses: list[FloatArray | None], eye: FloatArray
    ) -> None:
        config = self._config
        least = 3 if config.clutter else 0
        shown = [
            self._hulls[body] @ pose[:3, :3].T + pose[:3, 3]
            for body, pose in enumerate(poses)
            if pose is not None
        ]
        available = len(poses) - self._objects
        count = min(int(rng.integers(least, config.distractors[1] + 1)), available)
        for number, body in enumerate(self._objects + rng.permutation(available)[:count]):
            hull = self._hulls[body]
            resting = _resting(rng, hull, rng.random() < 0.4)
            if config.clutter and number < 2 * len(shown):
                hidden = shown[number % len(shown)]
                poses[body] = self._occluder(rng, hidden, hull @ resting.T, eye, resting)
            else:
                poses[body] = self._free_place(rng, poses, hull, resting)

    def _occluder(
        self,
        rng: np.random.Generator,
        shown: FloatArray,
        turned: FloatArray,
        eye: FloatArray,
        resting: FloatArray,
    ) -> FloatArray:
        """On top of the object whose corners are `shown`, or between it and the camera."""
        middle, radius = _circle(shown)
        if rng.random() < 0.5:
            place = [*(middle + rng.normal(0, 0.5 * radius, 2)), shown[:, 2].max()]
        else:
            toward = eye[:2] - middle + rng.normal(0, 0.1, 2)
            toward /= np.linalg.norm(toward)
            reach = rng.uniform(0.75, 1.0) * (radius + _circle(turned)[1])
            place = [*(middle + reach * toward), 0.0]
        return _pose(resting, np.array(place), turned @ resting)

    def _free_place(
        self,
        rng: np.random.Generator,
        poses: Sequence[FloatArray | None],
        hull: FloatArray,
        resting: FloatArray,
    ) -> FloatArray | None:
        """Somewhere on the table where nothing is yet, near the object; None if it is full."""
        taken = [
            _circle(other @ pose[:3, :3].T + pose[:3, 3])
            for other, pose in zip(self._hulls, poses, strict=True)
            if pose is not None
        ]
        radius = _circle(hull @ resting.T)[1]
        reach = 0.15 if self._config.clutter else 0.35
        for _ in range(TRIES):
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, reach)
            around, room = taken[0]
            away = room + radius + distance
            place = around + away * np.array([np.cos(angle), np.sin(angle)])
            if all(np.linalg.norm(place - at) > r + radius + GAP for at, r in taken):
                return _pose(resting, np.array([*place, 0.0]), hull)
        return None


def _hull(vertices: FloatArray) -> FloatArray:
    """The corners of the convex hull: where a body can touch the table."""
    try:
        return vertices[ConvexHull(vertices).vertices]
    except QhullError:  # a flat mesh
        return vertices


def _circle(points: FloatArray) -> tuple[FloatArray, float]:
    """A circle on the table around points (N, 3)."""
    middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
    return middle, float(np.linalg.norm(points[:, :2] - middle, axis=1).max())


def _resting(rng: np.random.Generator, hull: FloatArray, tumbled: bool) -> FloatArray:
    """A rotation (3, 3): upright up to a yaw, else on one of the hull's sides or just tilted."""
    yaw = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi))
    if not tumbled:
        return yaw.as_matrix()
    axis = rng.normal(size=3) * [1, 1, 0.2]
    axis /= np.linalg.norm(axis)
    # Half of them about upside down, the others tilted by up to a right angle.
    angle = rng.normal(np.pi, 0.25) if rng.random() < 0.5 else rng.uniform(0.2, np.pi / 2)
    return (yaw * Rotation.from_rotvec(angle * axis)).as_matrix()


def _pose(rotation: FloatArray, place: FloatArray, hull: FloatArray) -> FloatArray:
    """T_world_body (4, 4) of a body that is turned, around `place` (3,), its lowest point on it."""
    turned = hull @ rotation.T
    middle, _ = _circle(turned)
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = place - [*middle, turned[:, 2].min()]
    return pose


def _intrinsics(rng: np.random.Generator, config: ViewConfig) -> PinholeCamera:
    focal = rng.uniform(*config.focal) * config.width / FOCAL_WIDTH
    jitter = rng.uniform(-config.principal_jitter, config.principal_jitter, 2)
    cx, cy = (config.width - 1) / 2 + jitter[0], (config.height - 1) / 2 + jitter[1]
    return PinholeCamera(focal, focal, cx, cy, config.width, config.height)


def _camera_pose(rng: np.random.Generator, config: ViewConfig, target: FloatArray) -> FloatArray:
    """T_world_camera (4, 4) on a hemisphere around a point near the target."""
    azimuth, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*config.distance)
    if rng.random() < config.from_above:
        elevation = np.pi / 2 - abs(rng.normal(0, 0.05))
        roll = rng.uniform(-np.pi, np.pi)
    else:
        elevation = np.arcsin(rng.uniform(np.sin(config.lowest), 1))
        roll = rng.uniform(-1, 1) * (np.pi if rng.random() < 1 / 3 else config.roll)
    away = np.array(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
        ]
    )
    down = np.array(
        [
            np.cos(azimuth) * np.sin(elevation),
            np.sin(azimuth) * np.sin(elevation),
            -np.cos(elevation),
        ]
    )
    pose = np.eye(4)
    upright = np.column_stack([np.cross(down, -away), down, -away])
    pose[:3, :3] = upright @ Rotation.from_euler("z", roll).as_matrix()
    pose[:3, 3] = target + distance * away
    # Looking a little past the target, along the picture's plane, keeps it from always being
    # in the middle.
    pose[:3, 3] += pose[:3, :2] @ (rng.uniform(-0.12, 0.12, 2) * distance)
    return pose


def _light(rng: np.random.Generator) -> tuple[tuple[Lamp, ...], Color]:
    """Lamps and the light from everywhere; together about as bright as a picture can show."""
    ambient = rng.uniform(0.2, 0.5)
    total = rng.uniform(0.9, 1.4) - ambient
    count = int(rng.integers(1, 4))
    shares = rng.dirichlet(np.full(count, 2.0))
    strongest = int(np.argmax(shares))
    lamps = []
    for i, share in enumerate(shares):
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.arcsin(rng.uniform(0.5, 1))
        flat = np.cos(elevation)
        away = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
        x, y, z = (rng.uniform(1.3, 2.2) * away).tolist()
        radius = float(rng.uniform(0.01, 0.11)) if i == strongest else 0.0
        lamps.append(Lamp((x, y, z), _tone(rng, total * share), radius))
    return tuple(lamps), _tone(rng, ambient)


def _tone(rng: np.random.Generator, brightness: float) -> Color:
    """White light of some brightness, from warm to cold."""
    warmth = rng.normal(0, 0.12)
    return brightness * (1 + warmth), brightness, brightness * (1 - warmth)


def _surface(rng: np.random.Generator, count: int, zoom: tuple[float, float]) -> Surface:
    red, green, blue = rng.uniform(0.75, 1.15, 3).tolist()
    return Surface(
        int(rng.integers(count)),
        float(rng.uniform(0, 2 * np.pi)),
        float(np.exp(rng.uniform(*np.log(zoom)))),
        (red, green, blue),
    )
