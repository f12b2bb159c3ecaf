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

from dense_desc_ros.errors import DataError

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
ATTEMPTS = 100
PLAIN_SHARE = 0.25  # of the mean contrast, added everywhere

Image = npt.NDArray[np.uint8]
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
        moved: share of views of which only the middle is left, laid onto another picture, as when
            an object is moved: its descriptors must not depend on what it lay beside.
    """

    zoom: float = 1.5
    rotation: float = 0.6
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
        points: N.
        rng: source of all randomness.

    Raises:
        DataError: the picture is too small for that.
    """
    interest = saliency(picture)
    for _ in range(ATTEMPTS):
        centre = _draw_pixels(interest, 1, rng)[0]
        a, b = (draw_view(picture, occluder_source, centre, size, config, rng) for _ in range(2))
        pixels_a, pixels_b = correspondences(a, b)
        if len(pixels_a) >= points:
            break
    else:
        raise DataError(
            f"two views of {size[1]}x{size[0]} of a picture of {picture.shape[1]}x"
            f"{picture.shape[0]} hardly share {points} pixels: use smaller crops or larger pictures"
        )
    source = np.rint(_apply(a.to_source, pixels_a)).astype(int)
    u, v = np.clip(source, 0, np.array(interest.shape[::-1]) - 1).T
    weights = interest[v, u] / interest[v, u].sum()
    chosen = rng.choice(len(pixels_a), points, replace=False, p=weights)
    return PairOfViews(a.image, b.image, pixels_a[chosen], pixels_b[chosen])


def saliency(picture: Image) -> Array:
    """How often to look at each pixel (H, W): the contrast around it, and a floor.

    Most of a picture is table; most of what there is to learn is on the objects.
    """
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = small.astype(np.float32)
    mean = cv2.blur(small, (9, 9))
    variance = (cv2.blur(small**2, (9, 9)) - mean**2).sum(axis=2)
    contrast = cv2.resize(np.sqrt(np.maximum(variance, 0)), picture.shape[1::-1])
    return contrast / (contrast.mean() + 1e-6) + PLAIN_SHARE


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
    warped = cv2.warpPerspective(picture, to_source, size[::-1], flags=inverse, borderValue=beyond)
    image = np.asarray(warped, dtype=np.uint8)
    everywhere = np.full(picture.shape[:2], 255, np.uint8)
    visible = cv2.warpPerspective(everywhere, to_source, size[::-1], flags=inverse) == 255
    if rng.random() < config.moved:
        _lay_onto(image, visible, occluder_source, rng)
    for _ in range(rng.integers(0, config.occluders + 1)):
        _paste_patch(image, visible, occluder_source, rng)
    return View(_change_colours(image, rng), to_source, visible)


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


def _paste_patch(
    image: Image, visible: npt.NDArray[np.bool_], source: Image, rng: np.random.Generator
) -> None:
    """Cover an ellipse of `image` with a piece of `source`, and mark it as not visible."""
    size = visible.shape
    covered = _ellipse(size, rng.uniform((0, 0), size[::-1]), rng.uniform(0.06, 0.25, 2), rng)
    _replace(image, visible, covered, source, rng)


def _lay_onto(
    image: Image, visible: npt.NDArray[np.bool_], source: Image, rng: np.random.Generator
) -> None:
    """Keep an ellipse in the middle of `image`, and surround it with a piece of `source`."""
    size = np.array(visible.shape[::-1])
    kept = _ellipse(visible.shape, rng.uniform(0.4, 0.6, 2) * size, rng.uniform(0.15, 0.4, 2), rng)
    _replace(image, visible, ~kept, source, rng)


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
    source: Image,
    rng: np.random.Generator,
) -> None:
    """Put a piece of `source` into `image` where the mask says, and mark that as not visible."""
    size = visible.shape[::-1]
    left, top = _draw_pixels(saliency(source), 1, rng)[0] - rng.uniform((0, 0), size)
    shift = np.array([[1, 0, -left], [0, 1, -top]])
    piece = cv2.warpAffine(source, shift, size, borderMode=cv2.BORDER_REFLECT)
    image[where] = piece[where]
    visible[where] = False


def _change_colours(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation and tint; sometimes grey, blurred, noisy."""
    x: Array = image.astype(np.float32)
    grey = x @ GREY
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.7, 1.3)
    x = grey[..., None] + (x - grey[..., None]) * saturation
    x = (x - 128) * rng.uniform(0.75, 1.25) + 128 + rng.uniform(-25, 25)
    x *= rng.uniform(0.92, 1.08, 3)
    if rng.random() < 0.3:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.5)))
    if rng.random() < 0.3:
        x += rng.normal(0, rng.uniform(2, 10), x.shape)
    return np.clip(x, 0, 255).astype(np.uint8)
