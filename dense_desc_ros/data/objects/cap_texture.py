"""The texture of a cap: its panels cut from cloth, seams, eyelets, lettering, wear and dirt."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.objects.cap_cloth import cut, net, plain_cloth, some_cloth, some_colors
from dense_desc_ros.data.objects.cap_shape import CapShape, panel_position
from dense_desc_ros.data.objects.grids import Rectangle
from dense_desc_ros.data.objects.prints import some_print
from dense_desc_ros.sim.textures import Color, Picture, noise

SIZE = 1024
UNDERSIDES: tuple[Color, ...] = ((52, 96, 66), (128, 128, 128), (24, 24, 26))
DUST = np.array((150, 135, 112), np.float32)
# Where each surface is in the texture: columns and rows of its first texel and beyond its last.
REGIONS = {
    "crown": (0, 0, 1024, 416),
    "lining": (0, 416, 1024, 640),
    "brim": (0, 640, 512, 880),
    "underside": (512, 640, 1024, 880),
    "button": (0, 880, 144, 1024),
    "strap": (144, 880, 656, 1024),
    "hem": (656, 880, 1024, 1024),
}


def region(name: str) -> Rectangle:
    """A region's texture coordinates, two texels inside it."""
    u0, v0, u1, v1 = REGIONS[name]
    return (u0 + 2) / SIZE, (v0 + 2) / SIZE, (u1 - 2) / SIZE, (v1 - 2) / SIZE


@dataclass(frozen=True, eq=False)
class _Chart:
    """Lengths on the crown in metres for each texel (H, W) of its region.

    Attributes:
        panel: index of the panel.
        across, along: from the middle of the panel, and up from the rim.
        seam: distance to the nearest seam.
        around: from the middle of the front.
        height: 0 at the rim to 1 at the button.
        slope: length of the crown from rim to button.
    """

    panel: npt.NDArray[np.int64]
    across: FloatArray
    along: FloatArray
    seam: FloatArray
    around: FloatArray
    height: FloatArray
    slope: float


def paint_cap(rng: np.random.Generator, shape: CapShape) -> Picture:
    """A random cap's texture (SIZE, SIZE, 3)."""
    main, second, third = some_colors(rng, 3)
    brim_color = main if rng.random() < 0.55 else second
    thread = main if rng.random() < 0.6 else third
    crown = _crown(rng, _chart(shape), main, second, thread)
    plan = _brim_plan(shape)
    brim = _brim(rng, plan, brim_color, thread)
    plain = plain_cloth(rng, main if rng.random() < 0.5 else second)
    dirt = float(rng.choice([0.0, 0.15, 0.4, 0.8]))
    pictures = {
        "crown": _dirty(rng, crown, dirt),
        "lining": _lining(rng, shape, main),
        "brim": _dirty(rng, brim, dirt),
        "underside": _underside(rng, plan, brim_color),
        "button": plain[:140, :140],
        "strap": _strap(rng, plain, third),
        "hem": brim[-16:-8, :24],
    }
    texture = np.zeros((SIZE, SIZE, 3), np.uint8)
    for name, (u0, v0, u1, v1) in REGIONS.items():
        texture[v0:v1, u0:u1] = cv2.resize(pictures[name], (u1 - u0, v1 - v0))
    return texture


def _chart(shape: CapShape) -> _Chart:
    u0, v0, u1, v1 = REGIONS["crown"]
    azimuth = np.linspace(-np.pi, np.pi, u1 - u0)[None]
    height = np.linspace(1, 0, v1 - v0)[:, None]
    ring = shape.crown(np.linspace(-np.pi, np.pi, 73)[None], height)
    steps = np.linalg.norm(np.diff(ring, axis=0), axis=-1).mean(axis=1)
    along = np.concatenate([np.cumsum(steps[::-1])[::-1], [0]])[:, None]
    radius = np.linalg.norm(ring[..., :2], axis=-1).mean(axis=1)[:, None]
    panel, place, angle = panel_position(azimuth, shape.panels)
    whole = (len(height), azimuth.shape[1])
    across, seam, around = (
        (each * radius).astype(np.float32)
        for each in (place * angle, (0.5 - np.abs(place)) * angle, azimuth)
    )
    up, rise = (np.broadcast_to(each.astype(np.float32), whole) for each in (along, height))
    slope = float(along.max())
    return _Chart(np.broadcast_to(panel, whole), across, up, seam, around, rise, slope)


def _crown(
    rng: np.random.Generator, chart: _Chart, main: Color, second: Color, thread: Color
) -> Picture:
    picture = _panels(rng, chart, main, second)
    _sew(picture, chart, thread)
    if rng.random() < 0.85:
        _eyelets(rng, picture, chart, thread)
    if rng.random() < 0.8:
        size = rng.uniform(0.05, 0.095)
        middle = chart.slope * rng.uniform(0.33, 0.42)
        emblem = some_print(rng, some_colors(rng, 3))
        picture = emblem.apply(
            picture, chart.around, middle - chart.along, size, bool(rng.random() < 0.7)
        )
    if rng.random() < 0.25:  # a small one on a side
        aside = rng.choice([-1, 1]) * rng.uniform(0.11, 0.14)
        small = some_print(rng, some_colors(rng, 3))
        low = chart.slope * rng.uniform(0.2, 0.35) - chart.along
        picture = small.apply(picture, chart.around - aside, low, rng.uniform(0.025, 0.045))
    faded = rng.uniform(0, 0.25) * chart.height[..., None] ** 2
    grey = picture.mean(axis=2, keepdims=True) * 0.5 + 90
    return np.asarray(picture * (1 - faded) + grey * faded, np.uint8)


def _panels(rng: np.random.Generator, chart: _Chart, main: Color, second: Color) -> Picture:
    """The panels, each cut from its place of the cloth."""
    first = some_cloth(rng, main)
    kind = rng.choice(["same", "front", "alternate"], p=[0.62, 0.28, 0.1])
    other = first
    if kind == "front":  # the back of a trucker cap is a net
        other = net(rng, second) if rng.random() < 0.6 else some_cloth(rng, second)
    elif kind == "alternate":
        other = some_cloth(rng, second)
    front = (chart.panel == 0) | (chart.panel == 5)
    mine = chart.panel % 2 == 0 if kind == "alternate" else front
    offsets = rng.uniform(0.06, 0.12, 6)[chart.panel]
    across, along = chart.across + offsets, 0.22 - chart.along
    picture = cut(first, across, along)
    return np.where(mine[..., None], picture, cut(other, across, along))


def _sew(picture: Picture, chart: _Chart, thread: Color) -> None:
    """Darken the seams and stitch beside them and along the rim."""
    groove = 1 - 0.55 * np.exp(-((chart.seam / 0.0008) ** 2))
    groove *= 1 - 0.4 * np.exp(-(((chart.along - 0.001) / 0.001) ** 2))
    np.copyto(picture, (picture * groove[..., None]).astype(np.uint8))
    dashes = np.mod(chart.along / 0.003, 1) < 0.7
    beside = (np.abs(chart.seam - 0.004) < 0.0005) & dashes & (chart.height < 0.97)
    along_rim = np.abs(chart.along - 0.004) < 0.0005
    along_rim |= np.abs(chart.along - 0.024) < 0.0005
    along_rim &= np.mod(chart.around / 0.003, 1) < 0.7
    stitches = beside | along_rim
    picture[stitches] = (0.6 * np.array(thread) + 0.4 * picture[stitches]).astype(np.uint8)


def _eyelets(rng: np.random.Generator, picture: Picture, chart: _Chart, thread: Color) -> None:
    distance = np.hypot(chart.across, chart.along - chart.slope * rng.uniform(0.68, 0.76))
    radius = rng.uniform(0.0028, 0.0042)
    ring = (190, 190, 195) if rng.random() < 0.2 else thread
    picture[distance < radius] = ring
    picture[distance < 0.5 * radius] = (16, 14, 14)


@dataclass(frozen=True, eq=False)
class _BrimPlan:
    """For each texel (H, W) of the brim, metres.

    Attributes:
        across: to the wearer's left from the middle.
        forward: from where the brim meets the crown.
        out: the way to the edge, from 0 to 1.
        length: of the brim in its middle.
    """

    across: FloatArray
    forward: FloatArray
    out: FloatArray
    length: float


def _brim_plan(shape: CapShape) -> _BrimPlan:
    u0, v0, u1, v1 = REGIONS["brim"]
    across = np.linspace(1, -1, u1 - u0)[None]
    out = np.linspace(1, 0, v1 - v0)[:, None]
    points = shape.brim(across, out).astype(np.float32)
    forward = points[..., 0] - points[-1:, :, 0]
    out = np.broadcast_to(out, forward.shape)
    return _BrimPlan(points[..., 1], forward, out, shape.brim_length)


def _brim(rng: np.random.Generator, plan: _BrimPlan, color: Color, thread: Color) -> Picture:
    picture = cut(some_cloth(rng, color), plan.across + 0.125, 0.15 - plan.forward)
    rows = rng.integers(0, 9)
    if rows:
        row = plan.out * rows
        stitch = np.abs(row - np.round(row)) * plan.length / rows < 0.0006
        stitch &= np.mod(plan.across / 0.003, 1) < 0.7
        picture[stitch] = (0.55 * np.array(thread) + 0.45 * picture[stitch]).astype(np.uint8)
    shade = 1 - 0.45 * np.exp(-((plan.out * plan.length / 0.003) ** 2))
    picture = (picture * shade[..., None]).astype(np.uint8)
    if rng.random() < 0.12:
        small = some_print(rng, some_colors(rng, 3))
        aside = rng.uniform(-0.04, 0.04)
        half = 0.5 * plan.length
        picture = small.apply(picture, aside - plan.across, half - plan.forward, half)
    if rng.random() < 0.15:  # piping
        picture[plan.out > 0.94] = thread
    return picture


def _underside(rng: np.random.Generator, plan: _BrimPlan, color: Color) -> Picture:
    tone = UNDERSIDES[rng.integers(len(UNDERSIDES))] if rng.random() < 0.5 else color
    picture = cut(plain_cloth(rng, tone), plan.across + 0.125, 0.15 - plan.forward)
    ridges = 1 - 0.12 * (np.abs(np.mod(plan.out * 7, 1) - 0.5) > 0.46)
    return np.asarray(picture * ridges[..., None], np.uint8)[:, ::-1]


def _lining(rng: np.random.Generator, shape: CapShape, main: Color) -> Picture:
    """The inside: the cloth's back, taped seams and the sweatband."""
    u0, v0, u1, v1 = REGIONS["lining"]
    azimuth = np.broadcast_to(np.linspace(-np.pi, np.pi, u1 - u0), (v1 - v0, u1 - u0))
    height = np.broadcast_to(np.linspace(1, 0, v1 - v0)[:, None], azimuth.shape)
    tape, band = some_colors(rng, 2)
    back = np.array(main) * 0.6 + 30
    picture = np.clip(back + 5 * rng.standard_normal((*azimuth.shape, 1)), 0, 255)
    place = panel_position(azimuth, shape.panels)[1]
    picture[(0.5 - np.abs(place)) * np.cos(height * np.pi / 2) < 0.06] = tape
    picture[height < rng.uniform(0.16, 0.22)] = band if rng.random() < 0.5 else (30, 30, 32)
    if rng.random() < 0.6:  # the label
        picture[(np.abs(azimuth) > 2.85) & (height > 0.42) & (height < 0.58)] = (228, 226, 220)
    return picture.astype(np.uint8)[:, ::-1]


def _strap(rng: np.random.Generator, plain: Picture, third: Color) -> Picture:
    """Cloth with a buckle, or plastic with holes and studs."""
    height, width = 72, 256
    v, u = np.mgrid[:height, :width] / [[[height]], [[width]]]
    picture = plain[:height, :width].copy()
    if rng.random() < 0.5:
        picture[:] = third
        studs = np.hypot(np.mod(u * 12, 1) - 0.5, (v - 0.5) * 4) < 0.28
        picture[studs] = (np.array(third) * 0.35).astype(np.uint8)
        picture[:, (u[0] > 0.45) & (u[0] < 0.47)] = (np.array(third) * 0.5).astype(np.uint8)
    else:
        buckle = (np.abs(u - 0.4) < 0.05) & ~((np.abs(u - 0.4) < 0.03) & (np.abs(v - 0.5) < 0.32))
        picture[buckle] = (176, 172, 160)
    return picture


def _dirty(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Stains and dust; the uneven light of cloth that is not new."""
    height, width = picture.shape[:2]
    worn = _around(rng, width, height, 8, 4)
    stains = np.clip(_around(rng, width, height, 5, 5) - 0.62, 0, 1)
    light = picture * (1 + 0.12 * (worn - 0.5)) * (1 - 1.4 * strength * stains)
    dust = 0.18 * strength * worn
    return np.clip(light * (1 - dust) + DUST * dust, 0, 255).astype(np.uint8)


def _around(
    rng: np.random.Generator, width: int, height: int, cells: int, octaves: int
) -> FloatArray:
    """Noise (height, width, 1) in [0, 1] whose last column goes on in its first."""
    overlap = width // 8
    wide = noise(rng, width + overlap, height, (cells, cells * height / width), octaves)
    share = np.linspace(0, 1, overlap, dtype=np.float32)
    wide[:, :overlap] = share * wide[:, :overlap] + (1 - share) * wide[:, width:]
    return wide[:, :width, None]
