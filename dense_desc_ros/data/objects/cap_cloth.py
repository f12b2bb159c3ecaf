"""Flat pieces of cloth to cut caps from: pictures of SIDE by SIDE metres."""

from collections.abc import Sequence

import cv2
import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim.textures import Color, Picture, blend, noise

SIDE = 0.25
TEXELS = 512
COLORS: tuple[Color, ...] = (
    (22, 22, 25),
    (30, 42, 84),
    (240, 240, 236),
    (176, 28, 36),
    (128, 130, 134),
    (190, 170, 134),
    (92, 98, 60),
    (36, 88, 178),
    (104, 28, 44),
    (232, 132, 168),
    (30, 124, 120),
    (224, 112, 36),
    (236, 194, 52),
    (96, 56, 140),
    (112, 78, 52),
    (44, 120, 66),
    (120, 176, 214),
    (62, 64, 70),
)


def some_colors(rng: np.random.Generator, count: int) -> list[Color]:
    """Different colours of caps, each a little off, as dyes are."""
    chosen = [COLORS[i] for i in rng.choice(len(COLORS), count, replace=False)]
    return [_off(rng, color) for color in chosen]


def some_cloth(rng: np.random.Generator, color: Color) -> Picture:
    """A piece of cloth that is mostly of a colour; about half of them plain."""
    others = some_colors(rng, 3)
    kind = rng.choice(
        ["plain", "heather", "denim", "corduroy", "stripes", "plaid", "camouflage", "dyed", "dots"],
        p=[0.42, 0.08, 0.07, 0.06, 0.1, 0.12, 0.06, 0.05, 0.04],
    )
    match kind:
        case "heather":
            return _woven(rng, _heather(rng, color))
        case "denim":
            return _woven(rng, _denim(rng, color))
        case "corduroy":
            return _corduroy(rng, color)
        case "stripes":
            return _woven(rng, _stripes(rng, color, others))
        case "plaid":
            return _woven(rng, _plaid(rng, color, others))
        case "camouflage":
            return _woven(rng, _camouflage(rng, color, others))
        case "dyed":
            return _woven(rng, blend(noise(rng, TEXELS, TEXELS, (5, 5), 3), color, others[0]))
        case "dots":
            return _woven(rng, _dots(rng, color, others[0]))
    return plain_cloth(rng, color)


def plain_cloth(rng: np.random.Generator, color: Color) -> Picture:
    """Twill of one colour."""
    return _woven(rng, np.full((TEXELS, TEXELS, 3), color, np.uint8))


def net(rng: np.random.Generator, color: Color) -> Picture:
    """The plastic net of trucker caps."""
    x, y = _metres()
    pitch = rng.uniform(0.0022, 0.0032)
    row = np.floor(y / pitch)
    u = np.mod(x / pitch + 0.5 * np.mod(row, 2), 1) - 0.5
    v = np.mod(y / pitch, 1) - 0.5
    hole = np.clip((0.36 - np.hypot(u, v)) * 8, 0, 1)
    dark = (int(color[0] * 0.25), int(color[1] * 0.25), int(color[2] * 0.25))
    return blend(hole, color, dark)


def cut(cloth: Picture, across: FloatArray, along: FloatArray) -> Picture:
    """The cloth at places (H, W) in metres, mirrored beyond its edges."""
    scale = TEXELS / SIDE
    u, v = (np.asarray(each * scale, np.float32) for each in (across, along))
    pieces = cv2.remap(cloth, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(pieces, np.uint8)


def _off(rng: np.random.Generator, color: Color) -> Color:
    shades = np.clip(np.array(color) * rng.uniform(0.8, 1.15) + rng.uniform(-12, 12, 3), 8, 250)
    return int(shades[0]), int(shades[1]), int(shades[2])


def _metres() -> tuple[FloatArray, FloatArray]:
    x, y = np.meshgrid(*[np.arange(TEXELS, dtype=np.float32) * (SIDE / TEXELS)] * 2)
    return x, y


def _woven(rng: np.random.Generator, picture: Picture) -> Picture:
    """The picture as threads: fine diagonal ribs and uneven yarn."""
    x, y = _metres()
    ribs = np.sin(
        (x + (1 if rng.random() < 0.5 else -1) * y) * (2 * np.pi / rng.uniform(0.0016, 0.003))
    )
    yarn = rng.standard_normal((TEXELS, TEXELS), np.float32)
    light = 1 + rng.uniform(0.02, 0.07) * ribs + rng.uniform(0.01, 0.05) * yarn
    return np.clip(picture * light[..., None] + 2 * yarn[..., None], 0, 255).astype(np.uint8)


def _heather(rng: np.random.Generator, color: Color) -> Picture:
    fibres = noise(rng, TEXELS, TEXELS, (160, 60), 2)
    return blend(rng.uniform(0.3, 0.6) * fibres, color, (225, 225, 222))


def _denim(rng: np.random.Generator, color: Color) -> Picture:
    indigo = color if rng.random() < 0.3 else (58, 82, 122)
    threads = noise(rng, TEXELS, TEXELS, (200, 30), 2) * noise(rng, TEXELS, TEXELS, (30, 200), 2)
    worn = noise(rng, TEXELS, TEXELS, (4, 4), 3)
    return blend(np.clip(0.8 * threads + 0.35 * worn, 0, 1), indigo, (196, 206, 220))


def _corduroy(rng: np.random.Generator, color: Color) -> Picture:
    x, _ = _metres()
    ribs = np.abs(np.sin(x * (np.pi / rng.uniform(0.002, 0.004))))
    plush = 0.12 * rng.standard_normal((TEXELS, TEXELS), np.float32)
    light = 0.55 + 0.5 * ribs + plush * ribs
    return np.clip(np.asarray(color) * light[..., None], 0, 255).astype(np.uint8)


def _bands(
    rng: np.random.Generator, at: FloatArray, colors: Sequence[Color], period: float
) -> Picture:
    """Bands of random widths over places (H, W), metres, that repeat with a period."""
    edges = np.sort(rng.uniform(0.1, 0.95, len(colors) - 1))
    index = np.searchsorted(edges, np.mod(at / period, 1).ravel()).reshape(at.shape)
    return np.array(colors, np.uint8)[index]


def _stripes(rng: np.random.Generator, color: Color, others: Sequence[Color]) -> Picture:
    x, y = _metres()
    at = x if rng.random() < 0.6 else y
    if rng.random() < 0.4:  # pinstripes
        period = rng.uniform(0.008, 0.016)
        thin = np.mod(at / period, 1) < 0.0012 / period
        return np.where(thin[..., None], others[0], color).astype(np.uint8)
    return _bands(rng, at, [color, *others[: int(rng.integers(1, 4))]], rng.uniform(0.012, 0.06))


def _plaid(rng: np.random.Generator, color: Color, others: Sequence[Color]) -> Picture:
    x, y = _metres()
    colors = [color, others[0], color, others[1], color, others[2]][: int(rng.integers(2, 7))]
    period, state = rng.uniform(0.02, 0.07), rng.integers(1 << 30)
    warp, weft = (
        _bands(np.random.default_rng(state), at, colors, period).astype(np.float32) for at in (x, y)
    )
    return ((warp + weft) / 2).astype(np.uint8)


def _camouflage(rng: np.random.Generator, color: Color, others: Sequence[Color]) -> Picture:
    green = rng.random() < 0.6
    tones = (
        [(54, 62, 40), (98, 104, 64), (150, 138, 100), (40, 36, 32)] if green else [color, *others]
    )
    picture = np.full((TEXELS, TEXELS, 3), tones[0], np.uint8)
    for tone in tones[1:]:
        picture[noise(rng, TEXELS, TEXELS, (7, 9), 3) > rng.uniform(0.55, 0.7)] = tone
    return picture


def _dots(rng: np.random.Generator, color: Color, other: Color) -> Picture:
    x, y = _metres()
    pitch = rng.uniform(0.008, 0.025)
    u, v = (np.mod(at / pitch, 1) - 0.5 for at in (x + y, x - y))
    return blend(np.clip((rng.uniform(0.2, 0.33) - np.hypot(u, v)) * 12, 0, 1), color, other)
