"""Lettering and logos: pictures with opacity, to be sewn or printed on something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim.textures import Canvas, Color, Picture

# fmt: off
WORDS = (
    "FALCONS", "HARBOR", "NORTH", "RIVER", "COAST", "ROVERS", "DELTA", "PIONEER", "SUMMIT",
    "TIGERS", "ORBIT", "WAVE", "RALLY", "CAMP", "LUNA", "TRAIL", "FOX", "BEARS", "EAGLES", "NOVA",
    "STONE", "CEDAR", "COMET", "RACING", "FISHING", "GARAGE", "CLASSIC", "LOCAL",
)
# fmt: on
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TEXELS = 320


@dataclass(frozen=True, eq=False)
class Print:
    """A square `picture` (N, N, 3) and its `opacity` (N, N) in [0, 1]."""

    picture: Picture
    opacity: npt.NDArray[np.float32]

    def apply(
        self,
        onto: Picture,
        right: FloatArray,
        down: FloatArray,
        size: float,
        raised: bool = True,
    ) -> Picture:
        """Put it onto a picture (H, W, 3) whose texels lie at (H, W) metres from its middle.

        Args:
            size: of its side, metres.
            raised: embroidered: with threads and a dark rim, else flat.
        """
        texel = size / TEXELS
        u, v = (np.asarray(each / texel + (TEXELS - 1) / 2, np.float32) for each in (right, down))
        opacity = cv2.remap(self.opacity, u, v, cv2.INTER_LINEAR)[..., None]
        picture = cv2.remap(self.picture, u, v, cv2.INTER_LINEAR).astype(np.float32)
        if raised:
            threads = np.sin((right + 0.6 * down) * (2 * np.pi / 0.0012))
            picture *= np.asarray(0.95 + 0.07 * threads, np.float32)[..., None]
            shadow = cv2.remap(cv2.GaussianBlur(self.opacity, (0, 0), 4), u, v, cv2.INTER_LINEAR)
            onto = (onto * (1 - 0.3 * shadow[..., None])).astype(np.uint8)
        return np.clip(onto * (1 - opacity) + picture * opacity, 0, 255).astype(np.uint8)


Artist = Callable[[np.random.Generator, Canvas, Sequence[Color]], None]


def some_print(rng: np.random.Generator, colors: Sequence[Color]) -> Print:
    """A letter, word, number or emblem in three colours."""
    artist: Artist = rng.choice(
        np.array([_letters, _word, _number, _badge, _emblem, _peaks, _slogan], object),
        p=[0.22, 0.22, 0.08, 0.16, 0.14, 0.08, 0.1],
    )
    state = rng.integers(1 << 30)
    inked, masked = Canvas(TEXELS, TEXELS, colors[0]), Canvas(TEXELS, TEXELS, (0, 0, 0))
    artist(np.random.default_rng(state), inked, colors)
    artist(np.random.default_rng(state), masked, [(255, 255, 255)] * 3)
    opacity = np.asarray(masked.picture()[..., 0] / 255, np.float32)
    return Print(inked.picture(), opacity)


def _outlined(canvas: Canvas, v: float, text: str, height: float, colors: Sequence[Color]) -> None:
    canvas.text(0.5, v, text, height, colors[1], 0.16)
    canvas.text(0.5, v, text, height, colors[0], 0.05)


def _letters(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    count = rng.integers(1, 4)
    text = "".join(rng.choice(list(LETTERS), count))
    _outlined(canvas, 0.5, text, (0.8, 0.62, 0.42)[count - 1], colors)


def _word(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    word = str(rng.choice(WORDS))
    _outlined(canvas, 0.45, word, min(0.5, 1.15 / len(word)), colors)
    if rng.random() < 0.4:
        canvas.rectangle(0.12, 0.62, 0.88, 0.66, colors[2])


def _slogan(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    for v, word in zip((0.35, 0.6), rng.choice(WORDS, 2, replace=False), strict=True):
        canvas.text(0.5, v, str(word), min(0.25, 1.1 / len(word)), colors[0], 0.08)
    canvas.text(0.5, 0.77, f"EST. {rng.integers(1950, 2024)}", 0.09, colors[2], 0.06)


def _number(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    _outlined(canvas, 0.5, str(rng.integers(1, 100)), 0.65, colors)


def _badge(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    if rng.random() < 0.5:
        canvas.ellipse(0.5, 0.5, 0.42, colors[0])
        canvas.ellipse(0.5, 0.5, 0.38, colors[1])
    else:
        canvas.rectangle(0.08, 0.22, 0.92, 0.78, colors[0])
        canvas.rectangle(0.11, 0.25, 0.89, 0.75, colors[1])
    word = str(rng.choice(WORDS))
    canvas.text(0.5, 0.5, word, min(0.3, 0.85 / len(word)), colors[2], 0.08)
    canvas.star(0.5, 0.32, 0.06, colors[2])


def _emblem(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    tips = int(rng.integers(4, 10))
    canvas.star(0.5, 0.5, 0.45, colors[0], tips)
    canvas.star(0.5, 0.5, 0.3, colors[1], tips)
    canvas.ellipse(0.5, 0.5, 0.13, colors[2])


def _peaks(rng: np.random.Generator, canvas: Canvas, colors: Sequence[Color]) -> None:
    canvas.ellipse(0.62, 0.34, 0.12, colors[2])
    for u in rng.uniform(0.25, 0.75, 3):
        top = rng.uniform(0.25, 0.45)
        canvas.polygon([(u - 0.25, 0.72), (u, top), (u + 0.25, 0.72)], colors[0])
        canvas.polygon([(u - 0.07, top + 0.14), (u, top), (u + 0.07, top + 0.14)], colors[1])
    canvas.text(0.5, 0.82, str(rng.choice(WORDS)), 0.12, colors[0], 0.08)
