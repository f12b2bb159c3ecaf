"""Procedural pictures for the objects of the rendered table: (H, W, 3) uint8, RGB."""

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim.shapes import BOX_FACES

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
WHITE, CREAM, INK, BLACK = (250, 248, 242), (246, 234, 205), (38, 34, 40), (18, 18, 20)
RED, ORANGE, YELLOW = (206, 38, 34), (240, 128, 28), (250, 200, 40)
GREEN, TEAL, BLUE, NAVY = (52, 148, 62), (22, 140, 140), (44, 98, 190), (24, 40, 92)
PURPLE, PINK, BROWN = (118, 58, 150), (238, 120, 160), (120, 72, 38)


class Canvas:
    """Draws in coordinates of [0, 1] x [0, 1], v down, on a picture twice as fine as the result."""

    FINER = 2

    def __init__(self, width: int, height: int, background: Color | Picture) -> None:
        self.size = (width, height)
        fine = (width * self.FINER, height * self.FINER)
        if isinstance(background, np.ndarray):
            self.image = Image.fromarray(background).resize(fine)
        else:
            self.image = Image.new("RGB", fine, background)
        self.draw = ImageDraw.Draw(self.image)

    def picture(self) -> Picture:
        return np.array(self.image.resize(self.size, Image.Resampling.BOX))

    def rectangle(self, u0: float, v0: float, u1: float, v1: float, color: Color) -> None:
        self.draw.rectangle([self._at(u0, v0), self._at(u1, v1)], fill=color)

    def polygon(self, points: npt.ArrayLike, color: Color) -> None:
        self.draw.polygon([self._at(u, v) for u, v in np.asarray(points)], fill=color)

    def line(self, points: npt.ArrayLike, thickness: float, color: Color) -> None:
        """A line through (u, v) points, its thickness as a share of the height."""
        at = [self._at(u, v) for u, v in np.asarray(points)]
        width = max(1, round(thickness * self.image.height))
        self.draw.line(at, fill=color, width=width, joint="curve")

    def ellipse(self, u: float, v: float, radius: float, color: Color, flat: float = 1.0) -> None:
        """A disc, its radius as a share of the height; `flat` scales it vertically."""
        x, y = self._at(u, v)
        r = radius * self.image.height
        self.draw.ellipse([x - r, y - r * flat, x + r, y + r * flat], fill=color)

    def star(self, u: float, v: float, radius: float, color: Color, tips: int = 5) -> None:
        x, y = self._at(u, v)
        angle = np.arange(2 * tips) * np.pi / tips - np.pi / 2
        r = np.where(np.arange(2 * tips) % 2, 0.45, 1.0) * radius * self.image.height
        points = np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1)
        self.draw.polygon([tuple(point) for point in points], fill=color)

    def text(
        self, u: float, v: float, text: str, height: float, color: Color, bold: float = 0.06
    ) -> None:
        """Text centred on (u, v), its size and the stroke that makes it bold relative to height."""
        size = height * self.image.height
        font = ImageFont.load_default(size)
        self.draw.text(
            self._at(u, v), text, color, font, anchor="mm", stroke_width=round(bold * size)
        )

    def _at(self, u: float, v: float) -> tuple[float, float]:
        return u * (self.image.width - 1), v * (self.image.height - 1)


def noise(
    rng: np.random.Generator, width: int, height: int, cells: tuple[float, float], octaves: int = 4
) -> FloatArray:
    """Smooth random values in [0, 1], (height, width), with about `cells` bumps across and down."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        scale = 2.0**octave
        grid = rng.random(
            (max(2, round(cells[1] * scale)), max(2, round(cells[0] * scale))), np.float32
        )
        smooth = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(smooth, np.float32) / np.float32(scale)
    low, high = np.percentile(total, [1, 99])
    return np.clip((total - low) / (high - low), 0, 1)


def blend(weight: FloatArray, low: Color | Picture, high: Color | Picture) -> Picture:
    """From `low` where the weight (H, W) is 0 to `high` where it is 1."""
    w = np.asarray(weight)[..., None]
    mixed = np.asarray(low, np.float32) * (1 - w) + np.asarray(high, np.float32) * w
    return np.clip(mixed, 0, 255).astype(np.uint8)


def flat_color(color: Color) -> Picture:
    return np.full((8, 8, 3), color, np.uint8)


def gradient(width: int, height: int, top: Color, bottom: Color) -> Picture:
    return blend(np.repeat(np.linspace(0, 1, height)[:, None], width, axis=1), top, bottom)


def speckled(rng: np.random.Generator, picture: Picture, strength: float = 0.08) -> Picture:
    """The picture with uneven brightness, as printed and worn things have it."""
    height, width = picture.shape[:2]
    uneven = noise(rng, width, height, (9, 9 * height / width), 5)
    return np.clip(picture * (1 + strength * (uneven[..., None] * 2 - 1)), 0, 255).astype(np.uint8)


def wood(
    rng: np.random.Generator, width: int, height: int, planks: int, light: Color, dark: Color
) -> Picture:
    """Planks running across the picture, with growth rings, fine fibres and joints."""
    picture = np.empty((height, width, 3), np.uint8)
    edges = np.linspace(0, height, planks + 1).astype(int)
    for top, bottom in pairwise(edges):
        rows = bottom - top
        bend = noise(rng, width, rows, (3, 1.5), 3)
        rings = np.linspace(0, 5, rows)[:, None] + 4 * bend
        grain = 0.5 + 0.5 * np.sin(2 * np.pi * (rings + rng.random()))
        fibres = noise(rng, width, rows, (6, rows / 3), 2)
        tone = 0.18 + 0.3 * grain**2 + 0.28 * fibres + rng.uniform(-0.1, 0.14)
        picture[top:bottom] = blend(np.clip(tone, 0, 1), light, dark)
        joint = slice(max(0, bottom - 3), bottom)
        picture[joint] = (picture[joint] * 0.45).astype(np.uint8)
    return picture


def metal(rng: np.random.Generator, width: int, height: int, color: Color) -> Picture:
    """Brushed along u."""
    scratches = noise(rng, width, height, (2, height / 2), 2)
    stains = noise(rng, width, height, (4, 4), 4)
    dark = 1 - 0.4 * (0.55 * scratches + 0.45 * stains)
    return np.asarray(dark[..., None] * color).astype(np.uint8)


def tiled(faces: Mapping[str, Picture], tile: int = 512) -> Picture:
    """The texture of a box out of the pictures of its six faces."""
    tiles = [
        cv2.resize(faces[face], (tile, tile), interpolation=cv2.INTER_AREA) for face in BOX_FACES
    ]
    return np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])
