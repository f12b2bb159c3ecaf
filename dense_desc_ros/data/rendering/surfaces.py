"""Procedural pictures for tables, rooms and distractors: wood, noise, stripes, checks, plain."""

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from dense_desc_ros.data.rendering.scene import SURFACE_PIXELS, Picture
from dense_desc_ros.sim.textures import Canvas, Color, blend, noise, speckled, wood

Maker = Callable[[np.random.Generator], Picture]


def random_surfaces(rng: np.random.Generator, count: int) -> tuple[Picture, ...]:
    """Pictures (SURFACE_PIXELS, SURFACE_PIXELS, 3), every kind about equally often."""
    order = np.concatenate([rng.permutation(len(KINDS)) for _ in range(-(-count // len(KINDS)))])
    return tuple(KINDS[kind](rng) for kind in order[:count])


def random_texture(rng: np.random.Generator) -> Picture:
    """A smaller picture (256, 256, 3) of any kind, to wrap a body in."""
    picture = KINDS[rng.integers(len(KINDS))](rng)
    return np.asarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)


def random_color(rng: np.random.Generator) -> Color:
    """Any colour, muted ones more often than vivid ones."""
    saturation, value = rng.beta(1.1, 2.2), rng.uniform(0.2, 0.98)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def _wood(rng: np.random.Generator) -> Picture:
    tone = np.array([1, rng.uniform(0.68, 0.85), rng.uniform(0.4, 0.65)])
    light = tone * rng.uniform(110, 240)
    dark = light * rng.uniform(0.4, 0.8)
    planks = int(rng.integers(3, 14))
    return wood(rng, SURFACE_PIXELS, SURFACE_PIXELS, planks, _color(light), _color(dark))


def _plain(rng: np.random.Generator) -> Picture:
    picture = np.full((SURFACE_PIXELS, SURFACE_PIXELS, 3), random_color(rng), np.uint8)
    return speckled(rng, picture, rng.uniform(0.02, 0.15))


def _stone(rng: np.random.Generator) -> Picture:
    cells = rng.uniform(3, 60)
    weight = noise(rng, SURFACE_PIXELS, SURFACE_PIXELS, (cells, cells * rng.uniform(0.5, 2)), 5)
    return blend(weight, random_color(rng), random_color(rng))


def _stripes(rng: np.random.Generator) -> Picture:
    across = np.linspace(0, rng.uniform(4, 40), SURFACE_PIXELS)[None] % 1
    striped = (across < rng.uniform(0.2, 0.8)).astype(np.float32)
    row = blend(striped, random_color(rng), random_color(rng))
    return speckled(rng, np.repeat(row, SURFACE_PIXELS, axis=0), 0.1)


def _checks(rng: np.random.Generator) -> Picture:
    u = np.floor(np.linspace(0, rng.uniform(3, 24), SURFACE_PIXELS, dtype=np.float32)) % 2
    tiles = (u + u[:, None]) % 2
    if rng.random() < 0.5:  # a tablecloth's checks, stripes over stripes, instead of tiles
        tiles = (u + u[:, None]) / 2
    return speckled(rng, blend(tiles, random_color(rng), random_color(rng)), 0.1)


def _blobs(rng: np.random.Generator) -> Picture:
    """Shapes of all colours and sizes, as a full table or a poster looks from far."""
    canvas = Canvas(SURFACE_PIXELS // 2, SURFACE_PIXELS // 2, random_color(rng))
    for _ in range(int(rng.integers(15, 70))):
        u, v = rng.random(2)
        radius, color = 0.2 * rng.random() ** 2 + 0.01, random_color(rng)
        kind = rng.integers(4)
        if kind == 0:
            canvas.ellipse(u, v, radius, color, rng.uniform(0.3, 1))
        elif kind == 1:
            canvas.rectangle(u, v, u + radius, v + radius * rng.uniform(0.2, 2), color)
        elif kind == 2:
            canvas.star(u, v, radius, color, int(rng.integers(3, 9)))
        else:
            canvas.line([(u, v), tuple(rng.random(2))], radius / 10, color)
    size = (SURFACE_PIXELS, SURFACE_PIXELS)
    return speckled(rng, np.asarray(cv2.resize(canvas.picture(), size), np.uint8), 0.1)


def _color(values: np.ndarray) -> Color:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


KINDS: tuple[Maker, ...] = (_wood, _plain, _stone, _stripes, _checks, _blobs)
