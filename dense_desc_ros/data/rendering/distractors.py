"""Things that lie around and must not be taken for the object."""

from collections.abc import Callable, Sequence

import numpy as np

from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.rendering.scene import Body
from dense_desc_ros.data.rendering.surfaces import random_texture
from dense_desc_ros.sim import shapes

OTHERS = 0.3  # share of distractors that are objects of other categories
Maker = Callable[[np.random.Generator], Mesh]


def random_distractor(rng: np.random.Generator, others: Sequence[Maker]) -> Body:
    """A simple shape with a random texture, or what one of the `others` makes."""
    if others and rng.random() < OTHERS:
        mesh = others[int(rng.integers(len(others)))](rng)
    else:
        shape = SHAPES[int(rng.integers(len(SHAPES)))](rng)
        mesh = Mesh(
            shape.vertices - [0, 0, shape.vertices[:, 2].min()],
            shape.faces,
            np.clip(shape.uv, 0, 1),
            random_texture(rng),
        )
    return Body(mesh, shine=float(rng.uniform(0, 0.7)))


def _box(rng: np.random.Generator) -> shapes.Mesh:
    return shapes.box(rng.uniform(0.03, 0.18, 3))


def _can(rng: np.random.Generator) -> shapes.Mesh:
    radius, height = rng.uniform(0.015, 0.06), rng.uniform(0.03, 0.22)
    profile = [(0, 0), (radius, 0), (radius, height), (0, height)]
    return shapes.lathe(shapes.polyline(profile))


def _ball(rng: np.random.Generator) -> shapes.Mesh:
    return shapes.ellipsoid(rng.uniform(0.02, 0.06, 3))


def _vase(rng: np.random.Generator) -> shapes.Mesh:
    steps = np.linspace(0, 1, 24)
    radius = rng.uniform(0.02, 0.05) * (
        1 + rng.uniform(0, 0.5) * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * steps + rng.random()))
    )
    height = rng.uniform(0.06, 0.2)
    side = np.stack([radius, height * steps], axis=1)
    lids = shapes.polyline([(0, 0), side[0]]), shapes.polyline([side[-1], (0, height)])
    return shapes.lathe(np.vstack([lids[0][:-1], side, lids[1][1:]]))


def _ring(rng: np.random.Generator) -> shapes.Mesh:
    angle = np.linspace(0, 2 * np.pi, 40)
    radius = rng.uniform(0.03, 0.06)
    path = radius * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    lying = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return shapes.tube(path, rng.uniform(0.006, 0.018)).moved(rotation=lying)


SHAPES: tuple[Callable[[np.random.Generator], shapes.Mesh], ...] = (
    _box,
    _box,
    _can,
    _ball,
    _vase,
    _ring,
)
