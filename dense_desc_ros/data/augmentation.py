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

from dense_desc_ros.data.colours import Image, change_colours
from dense_desc_ros.errors import DataError

ATTEMPTS = 100
BEYOND = (-1e3,)  # rarity beyond a picture: negative, however little of it is interpolated
LAB_BINS, FREQUENT = [8, 64, 64], 0.08  # of the most frequent colour's frequency
COMMON_WEIGHT = 0.05  # how often common colours are looked at, beside 1 for the rarest

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly views differ. Drawn uniformly, zoom and stretch in log scale.

    Attributes:
        zoom: a view shows its surface up to this factor larger or smaller.
        rotation: in-plane rotation, ± radians.
        stretch: foreshortening along a random direction, a factor.
        perspective: relative change of scale from the centre to the border of a view.
        shift: offset between the centres of two views, as a share of the view's size.
        occluders: most patches pasted over a view.
        moved: share of views of which only what has rare colours is left, in the middle, and laid
            onto another picture, as when an object is moved: its descriptors must not depend on
            what it lay on.
    """

    zoom: float = 1.5
    rotation: float = 0.4
    stretch: float = 1.35
    perspective: float = 0.2
    shift: float = 0.2
    occluders: int = 3
    moved: float = 0.5

    def at_strength(self, strength: float) -> "AugmentationConfig":
        """These differences at a share of their strength: 0 is two crops of the same picture."""
        return AugmentationConfig(
            zoom=self.zoom**strength,
            rotation=self.rotation * strength,
            stretch=self.stretch**strength,
            perspective=self.perspective * strength,
            shift=self.shift,
            occluders=round(self.occluders * strength),
            moved=self.moved * strength,
        )


class Picture(NamedTuple):
    """A picture (H, W, 3) uint8 RGB, and the `rarity` (H, W) of its colours: see `with_rarity`."""

    image: Image
    rarity: Array


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


def with_rarity(image: Image) -> Picture:
    """A picture with the rarity of its colours, from 0 (table, floor, wall) to 1 (most objects).

    What covers much of a picture is what objects lie on. Colours that are frequent in it, by their
    histogram in CIELAB, tell both apart well enough to look more often at objects than at tables,
    and to lay objects onto other backgrounds.
    """
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 2), cv2.COLOR_RGB2LAB)
    histogram = cv2.calcHist([lab], [0, 1, 2], None, LAB_BINS, [0, 256] * 3)
    smooth = np.stack([cv2.GaussianBlur(chroma, (0, 0), 1) for chroma in histogram])
    bins = (lab.astype(int) * LAB_BINS) // 256
    frequency = smooth[tuple(np.moveaxis(bins, -1, 0))] / smooth.max()
    rarity = np.clip(1 - frequency / FREQUENT, 0, 1).astype(np.float32)
    rarity = cv2.morphologyEx(rarity, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return Picture(image, np.asarray(cv2.resize(rarity, image.shape[1::-1]), dtype=np.float32))


def sample_pair(
    picture: Picture,
    other: Picture,
    size: tuple[int, int],
    points: int,
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> PairOfViews:
    """Draw two overlapping views of `picture` and `points` correspondences between them.

    Args:
        picture: what both views show.
        other: where pasted patches and other backgrounds are cut from.
        size: (height, width) of the views in pixels.
        points: N.
        rng: source of all randomness.

    Raises:
        DataError: the picture is too small for that.
    """
    interest = picture.rarity + COMMON_WEIGHT
    for _ in range(ATTEMPTS):
        centre = _draw_pixels(interest, 1, rng)[0]
        a, b = (draw_view(picture, other, centre, size, config, rng) for _ in range(2))
        pixels_a, pixels_b = correspondences(a, b)
        if len(pixels_a) >= points:
            break
    else:
        height, width = interest.shape
        raise DataError(
            f"two views of {size[1]}x{size[0]} of a picture of {width}x{height} hardly share "
            f"{points} pixels: use smaller crops or larger pictures"
        )
    source = np.rint(_apply(a.to_source, pixels_a)).astype(int)
    u, v = np.clip(source, 0, np.array(interest.shape[::-1]) - 1).T
    weights = interest[v, u] / interest[v, u].sum()
    chosen = rng.choice(len(pixels_a), points, replace=False, p=weights)
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
    picture: Picture,
    other: Picture,
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
    warped = [
        cv2.warpPerspective(source, to_source, size[::-1], flags=inverse, borderValue=border)
        for source, border in ((picture.image, beyond), (picture.rarity, BEYOND))
    ]
    image = np.asarray(warped[0], dtype=np.uint8)
    rarity: Array = np.asarray(warped[1], dtype=np.float32)
    visible = rarity >= 0
    if rng.random() < config.moved:
        _replace(image, visible, ~_object_inside(rarity, rng), other, rng)
    for _ in range(rng.integers(0, config.occluders + 1)):
        patch = _ellipse(size, rng.uniform((0, 0), size[::-1]), rng.uniform(0.06, 0.25, 2), rng)
        _replace(image, visible, patch, other, rng)
    return View(change_colours(image, rng), to_source, visible)


def cut_piece(source: Picture, size: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A piece (h, w, 3) of a picture that shows, somewhere, one of its rare colours."""
    height, width = size
    centre = _draw_pixels(source.rarity + COMMON_WEIGHT, 1, rng)[0]
    left, top = centre - rng.uniform((0, 0), (width, height))
    shift = np.array([[1, 0, -left], [0, 1, -top]])
    piece = cv2.warpAffine(source.image, shift, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(piece, dtype=np.uint8)


def _draw_pixels(weights: Array, count: int, rng: np.random.Generator) -> Array:
    """Pixels (count, 2), (u, v), drawn by weight (H, W)."""
    cumulative = np.cumsum(weights)
    index = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))
    return np.stack([index % weights.shape[1], index // weights.shape[1]], axis=1).astype(float)


def _apply(homography: Array, pixels: Array) -> Array:
    return (
        cv2.perspectiveTransform(pixels[None].astype(np.float64), homography)[0].astype(np.float32)
        if len(pixels)
        else pixels
    )


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


def _object_inside(rarity: Array, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """What has rare colours inside an ellipse around the middle."""
    size = rarity.shape
    centre = rng.uniform(0.4, 0.6, 2) * size[::-1]
    return (rarity > 0.5) & _ellipse(size, centre, rng.uniform(0.35, 0.6, 2), rng)


def _ellipse(
    size: tuple[int, ...], centre: Array, half_axes: Array, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """A turned ellipse as a mask; `centre` (u, v) in pixels, `half_axes` as shares of the size."""
    mask = np.zeros(size, np.uint8)
    axes = np.rint(half_axes * max(size)).astype(int).tolist()
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(mask, np.rint(centre).astype(int).tolist(), axes, angle, 0, 360, 1, -1)
    return mask.astype(bool)


def _replace(
    image: Image,
    visible: npt.NDArray[np.bool_],
    where: npt.NDArray[np.bool_],
    source: Picture,
    rng: np.random.Generator,
) -> None:
    """Put a piece of `source` into `image` where the mask says, and mark that as not visible."""
    image[where] = cut_piece(source, visible.shape, rng)[where]
    visible[where] = False
