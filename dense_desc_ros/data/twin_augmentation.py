"""Augmented views of posed frames: whatever is done to a picture, its camera stays exactly known.

A crop, a change of scale and a turn in the image plane are together what another pinhole camera at
the same place sees: one with other intrinsics, turned about its optical axis. So they change
`camera` and `T_object_camera`, and depth along the axis stays what it was. Backgrounds are replaced
as in "Training Dense Object Nets: A Novel Approach" (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.augmentation import Picture, cut_piece
from dense_desc_ros.data.colours import (
    ColourChange,
    Image,
    apply_colour_change,
    draw_colour_change,
)
from dense_desc_ros.data.dead_leaves import draw_leaves
from dense_desc_ros.data.images import read_image
from dense_desc_ros.data.painting import paint
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.errors import InvalidInputError

BACKGROUNDS = ("random_images", "noise", "masked", "own")
MOST_PAINT = 0.6  # of 1, which would leave nothing of an object's own colours


@dataclass(frozen=True)
class TwinAugmentationConfig:
    """How strongly views differ from the frames they are made of.

    Attributes:
        zoom: drawn up to this factor larger or smaller, uniformly in log scale.
        rotation: turned in the image plane, ± radians.
        shift: offset of the object from the middle, as a share of the view's size.
        random_images, noise, masked: shares of views whose background is another picture, noise or
            black; the others keep their own.
        painted: share of views whose object is painted, see `painting`.
    """

    zoom: float = 1.3
    rotation: float = 0.4
    shift: float = 0.1
    random_images: float = 0.5
    noise: float = 0.15
    masked: float = 0.15
    painted: float = 0.0

    def __post_init__(self) -> None:
        if self.zoom < 1:
            raise InvalidInputError(f"zoom must be at least 1, got {self.zoom}")
        shares = self.random_images, self.noise, self.masked
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise InvalidInputError(
                f"random_images, noise and masked must be shares that add up to at most 1, "
                f"got {shares}"
            )
        if not 0 <= self.painted <= 1:
            raise InvalidInputError(f"painted {self.painted} is not a share")

    def at_strength(self, strength: float) -> "TwinAugmentationConfig":
        """These differences only at a share of their strength, and black backgrounds instead.

        From scratch, an object is learnt several times as fast while there is nothing around it.
        """
        return replace(
            self,
            zoom=self.zoom**strength,
            rotation=self.rotation * strength,
            random_images=self.random_images * strength,
            noise=self.noise * strength,
            masked=1 - (1 - self.masked) * strength,
            painted=self.painted * strength,
        )


class ViewPlan(NamedTuple):
    """How a view is made of a frame, before a pixel of it is touched.

    `camera` sees the view and has the pose `T_camera_view` (4, 4): see `turned_camera`; `zoom` is
    pixels of the view to a pixel of the frame; `background` what is put behind the object, one of
    BACKGROUNDS; `paint` how far the object is painted, 0 to 1; `colours` how all of it changes.
    """

    camera: PinholeCamera
    T_camera_view: FloatArray
    zoom: float
    background: str
    paint: float
    colours: ColourChange


def plan_view(
    camera: PinholeCamera,
    middle: FloatArray,
    size: tuple[int, int],
    scale: float,
    config: TwinAugmentationConfig,
    rng: np.random.Generator,
) -> ViewPlan:
    """A random view of a frame's object.

    Args:
        camera: of the frame.
        middle: (u, v) of the object in it, see `middle_of`.
        size: (height, width) of the view, pixels.
        scale: pixels of the view to a pixel of the frame, before zoom.
        config: how views differ.
        rng: source of all randomness.
    """
    zoom = scale * float(np.exp(rng.uniform(-1, 1) * np.log(config.zoom)))
    shift = rng.uniform(-config.shift, config.shift, 2) * size[::-1]
    angle = float(rng.uniform(-config.rotation, config.rotation))
    seen = turned_camera(camera, size, middle, shift, zoom, angle)
    shares = config.random_images, config.noise, config.masked
    kind = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    amount = rng.uniform(0, MOST_PAINT) if rng.random() < config.painted else 0.0
    return ViewPlan(*seen, zoom, BACKGROUNDS[kind], amount, draw_colour_change(rng))


def middle_of(mask: npt.NDArray[np.bool_]) -> FloatArray:
    """The middle (u, v) of what a mask (H, W) that is not empty shows, border to border."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


def augment(
    frame: PosedFrame,
    size: tuple[int, int],
    scale: float,
    config: TwinAugmentationConfig,
    backgrounds: Sequence[Path],
    rng: np.random.Generator,
) -> PosedFrame:
    """A random view of the frame's object.

    Args:
        frame: whose mask must not be empty.
        size, scale, config, rng: see `plan_view`.
        backgrounds: pictures to choose other backgrounds from; drawn ones if there are none.
    """
    plan = plan_view(frame.camera, middle_of(frame.mask), size, scale, config, rng)
    view = warp(frame, plan.camera, plan.T_camera_view)
    image = _painted(view.image, view.mask, plan.paint, rng) if plan.paint else view.image
    image = replace_background(image, view.mask, plan.background, backgrounds, rng)
    return replace(view, image=apply_colour_change(image, plan.colours, rng))


def turned_camera(
    camera: PinholeCamera,
    size: tuple[int, int],
    centre: FloatArray,
    shift: FloatArray,
    zoom: float,
    angle: float,
) -> tuple[PinholeCamera, FloatArray]:
    """The camera that sees a cropped, scaled and turned picture.

    Args:
        camera: of the picture.
        size: (height, width) of the view, pixels.
        centre: (u, v) in the picture of what is to be `shift` (2,) pixels off the view's middle.
        zoom: pixels of the view to a pixel of the picture.
        angle: clockwise turn of the content, radians.

    Returns:
        The view's camera, and its pose T_camera_view (4, 4): turned about the optical axis.
    """
    height, width = size
    T_camera_view = np.eye(4)
    cosine, sine = np.cos(angle), np.sin(angle)
    T_camera_view[:2, :2] = [[cosine, sine], [-sine, cosine]]
    ray = T_camera_view[:3, :3].T @ camera.rays(centre)
    fx, fy = zoom * camera.fx, zoom * camera.fy
    cx, cy = np.array([width - 1, height - 1]) / 2 + shift - (fx, fy) * ray[:2]
    return PinholeCamera(fx, fy, float(cx), float(cy), width, height), T_camera_view


def view_to_frame(
    frame_camera: PinholeCamera, view_camera: PinholeCamera, T_camera_view: FloatArray
) -> FloatArray:
    """The matrix (3, 3) that maps a view's pixels (u, v, 1) to the frame's; affine, since the view
    is turned about the optical axis only."""
    return frame_camera.matrix @ T_camera_view[:3, :3] @ np.linalg.inv(view_camera.matrix)


def warp(frame: PosedFrame, camera: PinholeCamera, T_camera_view: FloatArray) -> PosedFrame:
    """The frame as another camera at the same place sees it, turned about the optical axis only.

    What the picture does not show is black and no object.
    """
    affine = np.linalg.inv(view_to_frame(frame.camera, camera, T_camera_view))[:2]
    size = camera.width, camera.height

    def nearest(layer: npt.NDArray, border: float) -> npt.NDArray:
        flags, borders = cv2.INTER_NEAREST, (border,) * 4
        return np.asarray(cv2.warpAffine(layer, affine, size, flags=flags, borderValue=borders))

    image = _without_fine_detail(frame.image, float(np.sqrt(abs(np.linalg.det(affine[:, :2])))))
    return replace(
        frame,
        image=np.asarray(cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR), np.uint8),
        depth=nearest(frame.depth, np.nan),
        mask=nearest(frame.mask.astype(np.uint8), 0).astype(bool),
        canonical=None if frame.canonical is None else nearest(frame.canonical, np.nan),
        camera=camera,
        T_object_camera=frame.T_object_camera @ T_camera_view,
    )


def replace_background(
    image: Image,
    mask: npt.NDArray[np.bool_],
    kind: str,
    backgrounds: Sequence[Path],
    rng: np.random.Generator,
) -> Image:
    """The image (H, W, 3) with other pixels off the mask (H, W), of a kind of BACKGROUNDS."""
    if kind == "own":
        return image
    if kind == "random_images":
        other = _background(image.shape[:2], backgrounds, rng)
    elif kind == "noise":
        other = rng.integers(0, 256, image.shape, dtype=np.uint8)
    else:
        other = np.zeros_like(image)
    return np.where(mask[..., None], image, other)


def _without_fine_detail(image: Image, zoom: float) -> Image:
    """Blurred, if it is to be shrunk, so that nothing aliases."""
    if zoom >= 1:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(zoom**-2 - 1)), np.uint8)


def _background(
    size: tuple[int, ...], backgrounds: Sequence[Path], rng: np.random.Generator
) -> Image:
    if not backgrounds:
        return _draw_background(size, rng)
    return cut_piece(_read_background(backgrounds[int(rng.integers(len(backgrounds)))]), size, rng)


def _draw_background(size: tuple[int, ...], rng: np.random.Generator) -> Image:
    (drawn,) = draw_leaves(1, (size[0], size[1]), _generator(rng))
    return _as_image(drawn)


def _painted(
    image: Image, mask: npt.NDArray[np.bool_], amount: float, rng: np.random.Generator
) -> Image:
    (levels,) = paint(
        torch.from_numpy(image).permute(2, 0, 1).float()[None],
        torch.from_numpy(mask)[None],
        torch.tensor([amount]),
        _generator(rng),
    )
    return _as_image(levels)


def _generator(rng: np.random.Generator) -> torch.Generator:
    """The same in every process for the same state of `rng`."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


def _as_image(levels: torch.Tensor) -> Image:
    return np.asarray(levels.permute(1, 2, 0).to(torch.uint8).contiguous().numpy())


@lru_cache(maxsize=64)
def _read_background(path: Path) -> Picture:
    image = read_image(path)
    return Picture(image, np.ones(image.shape[:2], np.float32))
