"""The objects of the rendered table: shapes with prints on them, and points with names."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim import labels
from dense_desc_ros.sim.shapes import (
    Mesh,
    arc,
    box,
    box_uv,
    disc,
    ellipsoid,
    lathe,
    merged,
    polyline,
    printed_from_above,
    tube,
)
from dense_desc_ros.sim.textures import CREAM, NAVY, Picture, flat_color

# Rotations that lay down what stands along z.
Z_TO_X = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
Z_TO_MINUS_X = Z_TO_X.T
Z_TO_Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@dataclass(frozen=True)
class Part:
    """A mesh with its picture; `shine` in [0, 1] is how much it mirrors the lights."""

    mesh: Mesh
    picture: Picture
    shine: float = 0.2


@dataclass(frozen=True)
class TableObject:
    """Something that stands on the table; its frame has z up, the front at -y, the table at z = 0.

    Attributes:
        name: as it is known to the scene.
        parts: what it is made of.
        points: name -> (3,) the reference points on its surface.
        footprint: (K, 3) discs (x, y, radius) that cover what it occupies of the table.
    """

    name: str
    parts: tuple[Part, ...]
    points: dict[str, FloatArray]
    footprint: FloatArray


def make_objects(seed: int) -> list[TableObject]:
    """All objects; the seed varies the random details of their prints."""
    makers: list[Callable[[np.random.Generator], TableObject]] = [
        _cereal_box,
        _book,
        _can,
        _mug,
        _bottle,
        _hammer,
        _bowl,
        _egg,
    ]
    return [make(np.random.default_rng([seed, i])) for i, make in enumerate(makers)]


def _cereal_box(rng: np.random.Generator) -> TableObject:
    mesh = box((0.14, 0.055, 0.195))
    points = {"box_star": mesh.point_at(*box_uv("front", 0.13, 0.35))}
    return TableObject("box", (Part(mesh, labels.cereal_box(rng)),), points, _row(0.045, 0.04, 3))


def _book(rng: np.random.Generator) -> TableObject:
    mesh = box((0.17, 0.12, 0.026))
    points = {"book_sun": mesh.point_at(*box_uv("top", 0.74, 0.36))}
    footprint = np.array([(x, y, 0.045) for x in (-0.055, 0, 0.055) for y in (-0.03, 0.03)])
    return TableObject("book", (Part(mesh, labels.book(rng)),), points, footprint)


def _can(rng: np.random.Generator) -> TableObject:
    radius, height = 0.038, 0.108
    side = lathe([(radius, 0), (radius, height)])
    sunk = (radius - 0.002, height - 0.001)
    rim = lathe(np.vstack([arc((radius - 0.001, height), 0.001, 0, 180), sunk]))
    lid = disc(*sunk)
    lid_print = labels.can_lid(rng)
    parts = (
        Part(side, labels.can_side(rng), 0.4),
        Part(rim, lid_print[:20], 0.9),
        Part(lid, lid_print, 0.7),
    )
    points = {"can_tab": lid.point_at(0.5, 0.46)}
    return TableObject("can", parts, points, _row(0, radius, 1))


def _mug(rng: np.random.Generator) -> TableObject:
    radius, height, wall = 0.04, 0.092, 0.004
    inner = radius - wall
    outside = lathe(polyline([(radius - 0.003, 0), (radius, 0.004), (radius, height)]))
    lip = lathe(arc((radius - wall / 2, height), wall / 2, 0, 180))
    inside = merged([lathe([(inner, height), (inner, 0.008)]), disc(inner, 0.008)])
    bend = np.radians(np.linspace(90, -90, 32))
    path = np.stack([0.038 + 0.026 * np.cos(bend), 0 * bend, 0.047 + 0.031 * np.sin(bend)], axis=1)
    # The handle points to the front right, where it is seen through most turns of the mug.
    turn = about_z(np.radians(-52))
    handle = tube(path, 0.0055, flat=1.3).moved(rotation=turn)
    parts = (
        Part(outside, labels.mug_outside(rng), 0.6),
        Part(lip, flat_color(NAVY), 0.6),
        Part(inside, flat_color(CREAM), 0.3),
        Part(handle, labels.mug_handle(rng), 0.6),
    )
    points = {"mug_handle": handle.point_at(0.5, 0.5), "mug_flower": outside.point_at(0.4375, 0.62)}
    footprint = np.array([(0, 0, radius), (*(turn @ (0.05, 0, 0))[:2], 0.02)])
    return TableObject("mug", parts, points, footprint)


def _bottle(rng: np.random.Generator) -> TableObject:
    s = np.linspace(0, 1, 24)
    shoulder = np.stack([0.016 + 0.018 * np.cos(np.pi / 2 * s) ** 0.8, 0.105 + 0.035 * s], axis=1)
    body = lathe(np.vstack([polyline([(0.031, 0), (0.034, 0.004), (0.034, 0.1)]), shoulder]))
    cap_radius, low, high = 0.018, 0.138, 0.160
    top = disc(cap_radius, high)
    parts = (
        Part(body, labels.bottle(rng), 0.7),
        Part(lathe([(cap_radius, low), (cap_radius, high)]), labels.cap_side(rng), 0.4),
        Part(top, labels.cap_top(rng), 0.4),
    )
    points = {"bottle_cap": top.point_at(0.5, 0.5), "bottle_bee": body.point_at(0.61, 0.68)}
    return TableObject("bottle", parts, points, _row(0, 0.034, 1))


def _hammer(rng: np.random.Generator) -> TableObject:
    """Lies along x, its head at +x, striking face to the front."""
    s = np.linspace(0, 1, 40)
    thickness = 0.0125 + 0.003 * np.cos(2 * np.pi * (s - 0.1))
    handle = lathe(np.stack([thickness, 0.25 * s], axis=1)).moved(rotation=Z_TO_X)
    butt = disc(thickness[0]).moved(rotation=Z_TO_MINUS_X)
    tip = disc(thickness[-1], 0.25).moved(rotation=Z_TO_X)
    profile = [(0, 0), (0.014, 0), (0.0155, 0.003), (0.0155, 0.02), (0.012, 0.026)]
    profile += [(0.012, 0.04), (0.0145, 0.055), (0.0145, 0.075), (0.007, 0.112), (0, 0.113)]
    head = lathe(polyline(profile)).moved((0.235, -0.062, 0), Z_TO_Y)
    lift = (-0.12, 0, 0.0155)
    wood = labels.hammer_handle(rng)
    parts = (
        Part(handle.moved(lift), wood, 0.3),
        Part(butt.moved(lift), wood[-8:], 0.2),
        Part(tip.moved(lift), wood[:8], 0.2),
        Part(head.moved(lift), labels.hammer_head(rng), 0.8),
    )
    points = {"hammer_grip": parts[0].mesh.point_at(0.25, 0.53)}
    shaft = [(x, 0, 0.02) for x in np.arange(-0.11, 0.14, 0.03)]
    cross = [(0.115, y, 0.02) for y in (-0.05, -0.025, 0.025, 0.045)]
    return TableObject("hammer", parts, points, np.array(shaft + cross))


def _bowl(rng: np.random.Generator) -> TableObject:
    s = np.linspace(0, 1, 20)
    flare = 0.03 + 0.045 * np.sin(np.pi / 2 * s)
    wall = np.stack([flare, 0.05 * s**1.6], axis=1)
    hollow = np.stack([flare - 0.004, 0.005 + 0.045 * s**1.6], axis=1)[::-1]
    lip = arc((0.073, 0.05), 0.002, 0, 180)
    outside = lathe(np.vstack([[(0, 0)], wall]))
    inside = printed_from_above(lathe(np.vstack([lip[:-1], hollow, [(0, 0.005)]])), 0.0755)
    parts = (
        Part(outside, labels.bowl_outside(rng), 0.6),
        Part(inside, labels.bowl_inside(rng), 0.3),
    )
    points = {"bowl_fish": inside.point_at(0.36, 0.49)}
    return TableObject("bowl", parts, points, _row(0, 0.075, 1))


def _egg(rng: np.random.Generator) -> TableObject:
    mesh = ellipsoid((0.026, 0.026, 0.034)).moved((0, 0, 0.034))
    points = {"egg_star": mesh.point_at(0.45, 0.42)}
    return TableObject("egg", (Part(mesh, labels.egg(rng), 0.5),), points, _row(0, 0.027, 1))


def _row(reach: float, radius: float, count: int) -> FloatArray:
    """Footprint discs in a row along x."""
    return np.array([(x, 0.0, radius) for x in np.linspace(-reach, reach, count)])


def about_z(angle: float) -> FloatArray:
    """The rotation (3, 3) about z by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
