"""Two synthetic views of one picture, with known correspondences: training without poses or labels.

A view is a crop seen through a random homography (zoom, rotation, tilt) with other colours, blur
and noise, and with patches of other pictures pasted over it, so that a descriptor learns to be of
its surface point and not of what happens to lie beside it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly views differ. Every range is drawn from uniformly, zoom and stretch in log scale.

    Attributes:
        zoom: a view shows its surface up to this factor larger or smaller.
        rotation: in-plane rotation, ± radians.
        stretch: foreshortening along a random direction, a factor.
        perspective: relative change of scale from the centre to the border of a view.
        shift: offset between the centres of two views, as a share of the view's size.
        occluders: most patches pasted over a view.
    """

    zoom: float = 1.6
    rotation: float = 0.7
    stretch: float = 1.4
    perspective: float = 0.25
    shift: float = 0.2
    occluders: int = 3


class View(NamedTuple):
    """An augmented view.

    `image` (h, w, 3) uint8; `to_source` (3, 3) maps its pixels (homogeneous) to the source picture;
    `visible` (h, w) bool: shows the source picture, not a patch or what lies beyond its border.
    """

    image: Image
    to_source: Array
    visible: npt.NDArray[np.bool_]


class PairOfViews(NamedTuple):
    """Two views (h, w, 3) uint8 and N corresponding pixels in each, (N, 2) float32 as (u, v)."""

    image_a: Image
    image_b: Image
    pixels_a: Array
    pixels_b: Array


def sample_pair(
    picture: Image,
    occluder_source: Image,
    size: tuple[int, int],
    points: int,
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> PairOfViews:
    """Draw two overlapping views of `picture` and `points` correspondences between them.

    Args:
        picture: (H, W, 3) uint8, at least as large as a view is needed to be informative.
        occluder_source: (H', W', 3) uint8, where pasted patches are cut from.
        size: (height, width) of the views in pixels.
        points: N; drawn with replacement only if fewer pixels correspond.
        rng: source of all randomness.
    """
    while True:
        centre = rng.uniform((0, 0), picture.shape[1::-1])
        a, b = (draw_view(picture, occluder_source, centre, size, config, rng) for _ in range(2))
        pixels_a, pixels_b = correspondences(a, b)
        if len(pixels_a) >= points:
            break
    chosen = rng.choice(len(pixels_a), points, replace=False)
    return PairOfViews(a.image, b.image, pixels_a[chosen], pixels_b[chosen])


def correspondences(a: View, b: View) -> tuple[Array, Array]:
    """Pixels (N, 2) of a and of b that show the same point of the source, visible in both."""
    v, u = np.nonzero(a.visible)
    pixels_a = np.stack([u, v], axis=1).astype(np.float32)
    pixels_b = _apply(np.linalg.inv(b.to_source) @ a.to_source, pixels_a)
    height, width = b.visible.shape
    u, v = np.rint(pixels_b).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    inside[inside] = b.visible[v[inside], u[inside]]
    return pixels_a[inside], pixels_b[inside]


def draw_view(
    picture: Image,
    occluder_source: Image,
    centre: Array,
    size: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> View:
    """One random view of `picture` around `centre` (u, v)."""
    shifted = centre + rng.uniform(-config.shift, config.shift, 2) * size[::-1]
    to_source = _random_homography(shifted, size, config, rng)
    inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    beyond = tuple(int(c) for c in rng.integers(0, 256, 3))
    image = cv2.warpPerspective(picture, to_source, size[::-1], flags=inverse, borderValue=beyond)
    everywhere = np.full(picture.shape[:2], 255, np.uint8)
    visible = cv2.warpPerspective(everywhere, to_source, size[::-1], flags=inverse) == 255
    for _ in range(rng.integers(0, config.occluders + 1)):
        _paste_patch(image, visible, occluder_source, rng)
    return View(_change_colours(image, rng), to_source, visible)


def _apply(homography: Array, pixels: Array) -> Array:
    return cv2.perspectiveTransform(pixels[None].astype(np.float64), homography)[0].astype(
        np.float32
    ) if len(pixels) else pixels


def _random_homography(
    centre: Array, size: tuple[int, int], config: AugmentationConfig, rng: np.random.Generator
) -> Array:
    height, width = size

    def factor(limit: float) -> float:
        return float(np.exp(rng.uniform(-1, 1) * np.log(limit)))

    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-1, 1, 2) * config.perspective / (max(size) / 2)
    stretch_axis = _rotation(rng.uniform(0, np.pi))
    stretch = stretch_axis @ np.diag([factor(config.stretch), 1, 1]) @ stretch_axis.T
    turn = _rotation(rng.uniform(-1, 1) * config.rotation)
    zoom = np.diag([1 / factor(config.zoom)] * 2 + [1.0])
    from_corner = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    to_place = np.array([[1, 0, centre[0]], [0, 1, centre[1]], [0, 0, 1]])
    return to_place @ zoom @ turn @ stretch @ tilt @ from_corner


def _rotation(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _paste_patch(
    image: Image, visible: npt.NDArray[np.bool_], source: Image, rng: np.random.Generator
) -> None:
    """Cover an ellipse of `image` with a piece of `source`, in place, and mark it as not visible."""
    height, width = visible.shape
    mask = np.zeros((height, width), np.uint8)
    place = rng.integers((0, 0), (width, height))
    axes = rng.uniform(0.06, 0.25, 2) * max(width, height)
    cv2.ellipse(mask, place.tolist(), np.rint(axes).astype(int).tolist(), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    covered = mask.astype(bool)
    rows, columns = source.shape[0] - height, source.shape[1] - width
    top, left = rng.integers(0, max(rows, 0) + 1), rng.integers(0, max(columns, 0) + 1)
    patch = source[top : top + height, left : left + width]
    if patch.shape[:2] != (height, width):
        patch = cv2.resize(source, (width, height))
    image[covered] = patch[covered]
    visible[covered] = False


def _change_colours(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation and tint; sometimes grey, blurred, noisy."""
    x = image.astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.6, 1.4)
    x = grey + (x - grey) * saturation
    x = (x - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-30, 30)
    x *= rng.uniform(0.9, 1.1, 3)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.3:
        x += rng.normal(0, rng.uniform(2, 10), x.shape)
    return np.clip(x, 0, 255).astype(np.uint8)
