"""Caps: six- or five-panel crowns with a brim, a button and mostly a strap at the back."""

from functools import cache
from itertools import pairwise

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects.cap_shape import CapShape, Dent
from dense_desc_ros.data.objects.cap_texture import paint_cap, region
from dense_desc_ros.data.objects.grids import Grid, hem, in_rectangle, joined, seen_from_behind

ROWS = 30  # of vertices from the rim to the button
BRIM_ENDS = 0.985  # of the brim's way across, where its width is nearly gone
SECTORS = 12  # of the crown's collision pieces
PLATES = 5  # of the brim's collision pieces


def make_cap(rng: np.random.Generator) -> Mesh:
    """A random cap, standing on z = 0, its rim's middle at the origin and its brim along x.

    Its canonical coordinates are the places of the same anatomy on one template cap, scaled to
    [0, 1]; the inside of the crown and the underside of the brim lie as much behind the outside as
    the template's cloth is thick, which is 2 to 5 % of the scale.
    """
    shape = random_shape(rng)
    vertices, faces, uv = joined(_surfaces(shape, shape))
    canonical = joined(_surfaces(CapShape(), shape))[0]
    low, high = _template_box()
    ground = vertices[:, 2].min()
    return Mesh(
        vertices - [0, 0, ground],
        faces,
        uv,
        paint_cap(rng, shape),
        np.clip((canonical - low) / (high - low), 0, 1).astype(np.float32),
        tuple(piece - [0, 0, ground] for piece in _collision(shape)),
    )


def random_shape(rng: np.random.Generator) -> CapShape:
    """Structured and soft caps, flat and curved brims, with and without an opening."""
    soft = rng.random() < 0.45
    side = rng.uniform(0.083, 0.099)
    flat = rng.random() < 0.3
    front_fullness = rng.uniform(2.05, 2.4) if soft else rng.uniform(2.3, 3.0)
    return CapShape(
        front=side * rng.uniform(1.04, 1.16),
        back=side * rng.uniform(1.02, 1.14),
        side=side,
        height=rng.uniform(0.085, 0.12) if soft else rng.uniform(0.1, 0.135),
        front_fullness=front_fullness,
        back_fullness=min(front_fullness, rng.uniform(2.0, 2.5)),
        lean=rng.uniform(-0.008, 0.008),
        panels=int(rng.choice([5, 6], p=[0.3, 0.7])),
        panel_bulge=rng.uniform(0.0005, 0.003),
        brim_length=rng.uniform(0.055, 0.082),
        brim_angle=rng.uniform(1.0, 1.25),
        brim_fullness=rng.uniform(2.0, 3.0),
        brim_camber=rng.uniform(0, 0.004) if flat else rng.uniform(0.01, 0.038),
        brim_slope=rng.uniform(-0.05, 0.1) if flat else rng.uniform(-0.25, 0.02),
        opening_angle=rng.uniform(0.36, 0.47),
        opening_height=0.0 if rng.random() < 0.15 else rng.uniform(0.26, 0.37),
        cloth=0.0022,
        brim_cloth=0.003,
        dents=_dents(rng, 1.0 if soft else 0.4),
    )


def _dents(rng: np.random.Generator, strength: float) -> tuple[Dent, ...]:
    hollows = [
        Dent(at, at, rng.uniform(0.02, 0.045), strength * rng.uniform(-0.005, 0.024))
        for at in ((rng.uniform(-3.1, 3.1), rng.uniform(0.3, 0.7)) for _ in range(rng.integers(4)))
    ]
    folds = []
    for _ in range(rng.integers(4)):
        azimuth, height = rng.uniform(-3.1, 3.1), rng.uniform(0.15, 0.5)
        stop = (azimuth + rng.uniform(-0.6, 0.6), height + rng.uniform(0.1, 0.4))
        depth = strength * rng.uniform(-0.004, 0.008)
        folds.append(Dent((azimuth, height), stop, rng.uniform(0.008, 0.014), depth))
    return (*hollows, *folds)


def _surfaces(shape: CapShape, anatomy: CapShape) -> list[Grid]:
    """All surfaces of a cap, at the same anatomical places as those of the cap `anatomy`."""
    return [
        *_crown(shape, anatomy),
        *_brim(shape),
        *(_strap(shape) if anatomy.opening_height else ()),
        _button(shape),
    ]


def _azimuths(anatomy: CapShape) -> FloatArray:
    """Columns of the crown: on all seams, and denser where the opening's edge is steep."""
    third = np.pi / 3
    edge = np.pi - anatomy.opening_angle
    half = np.concatenate(
        [
            np.linspace(0, third, 16, endpoint=False),
            np.linspace(third, 2 * third, 16, endpoint=False),
            np.linspace(2 * third, edge, 10, endpoint=False),
            np.pi - anatomy.opening_angle * np.cos(np.linspace(0, np.pi / 2, 13)),
        ]
    )
    return np.concatenate([-half[:0:-1], half])


def _crown(shape: CapShape, anatomy: CapShape) -> list[Grid]:
    azimuth = _azimuths(anatomy)[None]
    start = anatomy.opening(azimuth)
    height = start + (1 - start) * np.linspace(0, 1, ROWS)[:, None]
    height[-1] = 1
    outside, inside = (shape.crown(azimuth, height, depth) for depth in (0.0, shape.cloth))
    u = (azimuth + np.pi) / (2 * np.pi)
    behind = in_rectangle(1 - u, 1 - height, region("lining"))
    return [
        Grid(outside, in_rectangle(u, 1 - height, region("crown"))),
        seen_from_behind(Grid(inside, behind)),
        *hem(outside, inside, region("hem"), closed=True),
    ]


def _brim(shape: CapShape) -> list[Grid]:
    across = BRIM_ENDS * np.sin(np.linspace(np.pi / 2, -np.pi / 2, 45))[None]
    out = np.linspace(0, 1, 12)[:, None]
    top, bottom = (shape.brim(across, out, depth) for depth in (0.0, shape.brim_cloth))
    u = (1 - across) / 2
    return [
        Grid(top, in_rectangle(u, 1 - out, region("brim"))),
        seen_from_behind(Grid(bottom, in_rectangle(1 - u, 1 - out, region("underside")))),
        *hem(top, bottom, region("hem")),
    ]


def _strap(shape: CapShape) -> list[Grid]:
    across, rise = np.linspace(-1, 1, 19)[None], np.linspace(0, 1, 4)[:, None]
    outside, inside = (shape.strap(across, rise, depth) for depth in (0.0, 0.6 * shape.cloth))
    uv = in_rectangle((across + 1) / 2, 1 - rise, region("strap"))
    return [
        Grid(outside, uv),
        seen_from_behind(Grid(inside, uv)),
        *hem(outside, inside, region("hem")),
    ]


def _button(shape: CapShape) -> Grid:
    azimuth, rise = np.linspace(-np.pi, np.pi, 17)[None], np.linspace(0, 1, 9)[:, None]
    angle = np.broadcast_to(azimuth, (9, 17))
    reach = (1 - rise) / 2
    uv = in_rectangle(0.5 + reach * np.cos(angle), 0.5 + reach * np.sin(angle), region("button"))
    return Grid(shape.button(azimuth, rise), uv)


@cache
def _template_box() -> tuple[FloatArray, FloatArray]:
    template = CapShape()
    vertices = joined(_surfaces(template, template))[0]
    margin = 0.002  # the strap of a cap with a narrower opening, the crown without one
    return vertices.min(axis=0) - margin, vertices.max(axis=0) + margin


def _collision(shape: CapShape) -> tuple[FloatArray, ...]:
    """The crown as wall segments around its hollow, its top, and the brim as plates."""
    edges = np.linspace(-np.pi, np.pi, SECTORS + 1)
    azimuth = np.stack([edges[:-1], (edges[:-1] + edges[1:]) / 2, edges[1:]], axis=1)[:, None]
    start = shape.opening(azimuth[:, :, 1:2])
    height = np.concatenate([start, np.full_like(start, 0.5), np.full_like(start, 0.8)], axis=1)
    walls = np.stack([shape.crown(azimuth, height, depth) for depth in (0.0, 2 * shape.cloth)])
    pieces = [
        walls[:, sector, band : band + 2].reshape(-1, 3)
        for sector in range(SECTORS)
        for band in range(2)
    ]
    top = shape.crown(edges[None, :-1], np.array([0.8, 0.9])[:, None])
    pieces.append(np.vstack([top.reshape(-1, 3), shape.button(np.zeros(1), np.ones(1))]))
    for left, right in pairwise(np.linspace(-0.95, 0.95, PLATES + 1)):
        across, out = np.linspace(left, right, 3)[None], np.array([0.0, 0.5, 1.0])[:, None]
        sides = [shape.brim(across, out, depth) for depth in (0.0, shape.brim_cloth)]
        pieces.append(np.concatenate(sides).reshape(-1, 3))
    return tuple(pieces)
