"""Mugs: straight, tapered and bellied ones with a handle along x and a print around them."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects.cap_cloth import some_colors
from dense_desc_ros.data.objects.prints import some_print
from dense_desc_ros.sim import shapes
from dense_desc_ros.sim.textures import Picture, blend, gradient, noise, speckled

SIZE = 768  # texels of the texture's sides
WALL_SHARE = 0.62  # of the texture's height, from above: the outside; then the inside; the handle
INSIDE_SHARE = 0.26
SECTORS = 12


@dataclass(frozen=True)
class MugShape:
    """Lengths in metres.

    Attributes:
        radius: of the rim.
        height: of the whole.
        taper: radius of the foot as a share of the rim's.
        belly: how much wider than straight the middle is, a share of the radius.
        wall: thickness.
        handle_reach: how far the handle stands out.
        handle_low, handle_high: where it meets the wall, shares of the height.
        handle_thickness: its radius.
        handle_squareness: 1 is round, less is squarer.
    """

    radius: float = 0.041
    height: float = 0.095
    taper: float = 0.95
    belly: float = 0.0
    wall: float = 0.004
    handle_reach: float = 0.032
    handle_low: float = 0.2
    handle_high: float = 0.82
    handle_thickness: float = 0.0055
    handle_squareness: float = 0.8

    def outer_radius(self, height: FloatArray) -> FloatArray:
        """Radius of the outside at a height (...,) from 0 to 1."""
        straight = self.taper + (1 - self.taper) * height
        return self.radius * (straight + self.belly * np.sin(np.pi * height))

    def outside(self) -> shapes.Mesh:
        """The foot and the wall up to the middle of the lip."""
        rise = np.linspace(0, 1, 40)
        foot = np.linspace(0, 0.94, 8)[:, None] * [self.outer_radius(np.zeros(())), 0]
        wall = np.stack([self.outer_radius(rise), 0.003 + (self.height - 0.005) * rise], axis=1)
        lip = (self.radius - self.wall / 2, self.height)
        return shapes.lathe(np.vstack([foot, wall, [lip]]))

    def inside(self) -> shapes.Mesh:
        """From the middle of the lip down to the middle of the floor."""
        rise = np.linspace(1, 0, 36)
        floor = 1.5 * self.wall
        wall = np.stack(
            [
                self.outer_radius(floor / self.height + (1 - floor / self.height) * rise)
                - self.wall,
                floor + (self.height - 0.002 - floor) * rise,
            ],
            axis=1,
        )
        bottom = np.linspace(0.9, 0, 8)[:, None] * [wall[-1, 0], 0] + [0, floor]
        lip = (self.radius - self.wall / 2, self.height)
        return shapes.lathe(np.vstack([[lip], wall, bottom]))

    def handle(self) -> shapes.Mesh:
        """A bent tube in the plane of x and z whose ends are hidden in the wall."""
        angle = np.linspace(np.pi / 2, -np.pi / 2, 28)
        x = np.cos(angle) ** self.handle_squareness
        z = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** self.handle_squareness
        share = (self.handle_high + self.handle_low + (self.handle_high - self.handle_low) * z) / 2
        start = self.outer_radius(share) - 0.6 * self.wall
        path = np.stack([start + x * self.handle_reach, 0 * x, share * self.height], axis=1)
        return shapes.tube(path, self.handle_thickness, 1.3)

    def surfaces(self) -> tuple[shapes.Mesh, ...]:
        return self.outside(), self.inside(), self.handle()


def make_mug(rng: np.random.Generator) -> Mesh:
    """A random mug, standing on z = 0 around the z axis, its handle along x.

    Its canonical coordinates are those of the same places of one template mug, scaled to [0, 1]:
    inside and outside of the wall differ by the template's thickness, 4 % of the scale.
    """
    shape = _random_shape(rng)
    body = shapes.merged(shape.surfaces())
    low, high = _template_box()
    # Every shape has the same grids, so the n-th vertex is the same place of all of them.
    canonical = (shapes.merged(MugShape().surfaces()).vertices - low) / (high - low)
    return Mesh(
        body.vertices,
        body.faces,
        _texture_coordinates(shape),
        _paint(rng, shape),
        canonical.astype(np.float32),
        _collision(shape),
    )


def _random_shape(rng: np.random.Generator) -> MugShape:
    low = rng.uniform(0.15, 0.3)
    return MugShape(
        radius=rng.uniform(0.035, 0.048),
        height=rng.uniform(0.075, 0.125),
        taper=rng.uniform(0.68, 1.05),
        belly=rng.choice([0.0, rng.uniform(0, 0.2)]),
        wall=rng.uniform(0.003, 0.0055),
        handle_reach=rng.uniform(0.025, 0.04),
        handle_low=low,
        handle_high=low + rng.uniform(0.45, 0.6),
        handle_thickness=rng.uniform(0.0045, 0.007),
        handle_squareness=rng.uniform(0.45, 1.0),
    )


@cache
def _template_box() -> tuple[FloatArray, FloatArray]:
    vertices = shapes.merged(MugShape().surfaces()).vertices
    return vertices.min(axis=0), vertices.max(axis=0)


def _texture_coordinates(shape: MugShape) -> FloatArray:
    shares = (WALL_SHARE, INSIDE_SHARE, 1 - WALL_SHARE - INSIDE_SHARE)
    top, parts = 0.0, []
    for share, surface in zip(shares, shape.surfaces(), strict=True):
        margin = 2 / SIZE
        parts.append(surface.uv * [1, share - 2 * margin] + [0, top + margin])
        top += share
    return np.concatenate(parts)


def _paint(rng: np.random.Generator, shape: MugShape) -> Picture:
    """The outside with its prints, the inside and the handle."""
    glaze, second, third = some_colors(rng, 3)
    if rng.random() < 0.35:
        glaze = (238, 236, 230)
    texture = np.empty((SIZE, SIZE, 3), np.uint8)
    wall_rows, inside_rows = round(WALL_SHARE * SIZE), round(INSIDE_SHARE * SIZE)
    wall = texture[:wall_rows]
    kind = rng.choice(["plain", "gradient", "bands", "marbled", "drip"])
    wall[:] = glaze
    v, u = np.mgrid[:wall_rows, :SIZE] / [[[wall_rows]], [[SIZE]]]
    if kind == "gradient":
        wall[:] = gradient(SIZE, wall_rows, glaze, second)
    elif kind == "bands":
        edges = np.sort(rng.uniform(0, 0.9, 2 * rng.integers(1, 4)))
        wall[np.searchsorted(edges, v) % 2 == 1] = second
    elif kind == "marbled":
        wall[:] = blend(noise(rng, SIZE, wall_rows, (9, 5), 4), glaze, second)
    elif kind == "drip":
        edge = rng.uniform(0.2, 0.45) + 0.15 * noise(rng, SIZE, 2, (14, 1), 2)[0]
        wall[v < edge] = second
    around = 2 * np.pi * shape.radius
    down = (v - rng.uniform(0.35, 0.45)) * (shape.height + shape.radius)
    for place in (0.5, *rng.choice([0.0, 0.08, 0.92], 1)):  # on the front, and near the back
        mark = some_print(rng, some_colors(rng, 3))
        right = (np.mod(u - place + 0.5, 1) - 0.5) * around
        wall[:] = mark.apply(wall, right, down, rng.uniform(0.4, 0.75) * shape.height, raised=False)
    texture[wall_rows : wall_rows + inside_rows] = glaze if rng.random() < 0.5 else third
    texture[wall_rows + inside_rows :] = glaze if rng.random() < 0.6 else second
    return speckled(rng, texture, 0.05)


def _collision(shape: MugShape) -> tuple[FloatArray, ...]:
    """The wall as segments around the hollow, the floor, and the handle as short rods."""
    edges = np.linspace(-np.pi, np.pi, SECTORS + 1)
    height = np.array([0.0, 0.5, 1.0])
    outer = shape.outer_radius(height)
    pieces = []
    for left, right in pairwise(edges):
        around = np.array([(np.cos(a), np.sin(a)) for a in (left, right)])
        rings = [radius[:, None, None] * around for radius in (outer, outer - shape.wall)]
        levels = np.broadcast_to((height * shape.height)[:, None, None], (3, 2, 1))
        corners = [np.concatenate([ring, levels], axis=-1) for ring in rings]
        pieces.append(np.concatenate(corners).reshape(-1, 3))
    circle = np.stack([np.cos(edges[:-1]), np.sin(edges[:-1])], axis=1) * outer[0]
    pieces.append(np.vstack([np.c_[circle, np.full(SECTORS, z)] for z in (0, 1.5 * shape.wall)]))
    bends = shape.handle().vertices.reshape(28, -1, 3)[::3, ::4]
    pieces += [np.vstack(pair) for pair in pairwise(bends)]
    return tuple(pieces)
