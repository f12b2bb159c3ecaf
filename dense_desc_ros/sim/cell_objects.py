"""What lies on the table of the simulated cell: shapes to see and to touch, masses, free places."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects import CATEGORIES, make_object
from dense_desc_ros.data.objects.caps import PLATES
from dense_desc_ros.data.rendering.distractors import random_distractor
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.sim.anatomy import find_points
from dense_desc_ros.sim.offscreen import add_textured_mesh, mujoco
from dense_desc_ros.sim.robot import BODY_BIT, TIP_BIT

MASSES = {"caps": 0.08, "mugs": 0.3}  # kg
DENSITY, LIGHTEST, HEAVIEST = 300.0, 0.05, 0.8  # of distractors: kg/m³ of the box around, kg
FRICTION = (0.8, 0.01, 0.0005)  # sliding; turning and rolling, m
# The cloth of a cap's crown gives way to finger tips. What is bunched under its button does not: a
# cylinder of this radius and half height, metres.
STEM = 0.0085, 0.012
# Things stand around the middle, at most so far from it along x and y; the first ones are tried in
# half of that. Metres.
MIDDLE, SPREAD = np.array([0.48, 0.0]), np.array([0.16, 0.30])
GAP = 0.03  # m between things
DROP = 0.002  # m that they fall when the scene begins
TRIES = 300
DRAWS = 30  # for one thing, in each try
MOST = 12  # things


@dataclass(frozen=True, eq=False)
class Thing:
    """A body on the table.

    Attributes:
        body: its name.
        category: of an object; "" for a distractor.
        number: of the object in its category, or of the distractor.
        mesh: its surface.
        shine: how much it mirrors the lights, in [0, 1].
        mass: kg.
        points: name -> (3,) anatomical points, in the object's frame.
    """

    body: str
    category: str
    number: int
    mesh: Mesh
    shine: float
    mass: float
    points: dict[str, FloatArray] = field(default_factory=dict)

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Add it to a model, where it can be moved; touched as its convex pieces."""
        mesh = self.mesh
        assert mesh.uv is not None and mesh.texture is not None  # as all that is made here has
        body = spec.worldbody.add_body(name=self.body)
        body.add_freejoint(name=self.body)
        add_textured_mesh(
            spec,
            body,
            self.body,
            mesh.vertices,
            mesh.normals,
            mesh.uv,
            mesh.faces,
            mesh.texture,
            self.shine,
        )
        body.geoms[-1].mass = self.mass
        pieces = mesh.collision or (mesh.vertices,)
        firm_from = len(pieces) - PLATES if self.category == "caps" else 0  # the brim's are last
        for i, piece in enumerate(pieces):
            name = f"{self.body}_{i}"
            spec.add_mesh(name=name, uservert=piece.ravel())
            kind = mujoco.mjtGeom.mjGEOM_MESH
            _touched(body, i >= firm_from, name=name, type=kind, meshname=name)
        if self.category == "caps":
            at = self.points["button"] - [0, 0, STEM[1]]
            kind = mujoco.mjtGeom.mjGEOM_CYLINDER
            _touched(body, True, name=f"{self.body}_stem", type=kind, size=(*STEM, 0), pos=at)


def _touched(body: mujoco.MjsBody, is_firm: bool, **shape: object) -> None:
    body.add_geom(
        **shape,
        mass=0,
        group=3,
        condim=4,
        friction=FRICTION,
        contype=BODY_BIT,
        conaffinity=BODY_BIT | TIP_BIT if is_firm else BODY_BIT,
    )


def make_things(
    rng: np.random.Generator, category: str, instances: int, distractors: int, first: int
) -> list[Thing]:
    """Objects numbered from `first`, then distractors, which `rng` chooses.

    Raises:
        InvalidInputError: an unknown category, a negative number, nothing at all or too much.
    """
    if min(instances, distractors) < 0 or not 1 <= instances + distractors <= MOST:
        raise InvalidInputError(
            f"there can be 1 to {MOST} things on the table, got {instances} instances and "
            f"{distractors} distractors"
        )
    things = [_object(category, number) for number in range(first, first + instances)]
    others = [make for name, make in CATEGORIES.items() if name != category]
    for number in range(distractors):
        body = random_distractor(rng, others)
        volume = np.ptp(body.mesh.vertices, axis=0).prod()
        mass = float(np.clip(DENSITY * volume, LIGHTEST, HEAVIEST))
        things.append(Thing(f"distractor_{number}", "", number, body.mesh, body.shine, mass))
    return things


@lru_cache(maxsize=32)
def _object(category: str, number: int) -> Thing:
    mesh = make_object(category, number)
    points = find_points(category, mesh)
    return Thing(f"{category}_{number}", category, number, mesh, 0.15, MASSES[category], points)


def place(rng: np.random.Generator, things: Sequence[Thing]) -> list[FloatArray]:
    """T_base_object (4, 4) for each thing: upright, turned freely, apart from the others.

    Raises:
        InvalidInputError: they do not fit on the table.
    """
    outlines = [each.mesh.vertices[:, :2] for each in things]
    middles = [(outline.min(axis=0) + outline.max(axis=0)) / 2 for outline in outlines]
    radii = [
        np.linalg.norm(outline - middle, axis=1).max()
        for outline, middle in zip(outlines, middles, strict=True)
    ]
    needed = np.add.outer(radii, radii) + GAP
    for attempt in range(TRIES):
        spread = SPREAD * (1 + attempt / TRIES) / 2
        at = _apart(rng, needed, spread)
        if at is not None:
            yaws = rng.uniform(-np.pi, np.pi, len(things))
            return [
                _standing(xy, yaw, middle)
                for xy, yaw, middle in zip(at, yaws, middles, strict=True)
            ]
    raise InvalidInputError(f"{len(things)} things do not fit on the table: ask for fewer")


def _apart(rng: np.random.Generator, needed: FloatArray, spread: FloatArray) -> FloatArray | None:
    """Places (N, 2) at these distances (N, N) from each other at least, or None if none was found.

    They are within `spread` (2,) of the middle of the table, along each axis. They are drawn one
    after another: all at once, six things hardly ever fit.
    """
    at = np.empty((0, 2))
    for distances in needed:
        for _ in range(DRAWS):
            place = MIDDLE + spread * rng.uniform(-1, 1, 2)
            if np.all(np.linalg.norm(at - place, axis=1) >= distances[: len(at)]):
                at = np.vstack([at, place])
                break
        else:
            return None
    return at


def _standing(at: FloatArray, yaw: float, middle: FloatArray) -> FloatArray:
    """The pose (4, 4) of a thing whose outline has its `middle` (2,) at a place (2,)."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:2, 3] = at - pose[:2, :2] @ middle
    pose[2, 3] = DROP
    return pose
