"""Pictures for people: descriptors as colours, and what was found drawn into the image."""

import colorsys
import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.grasp import Grasp, Refusal
from dense_desc_ros.gripper_drawing import draw_gripper
from dense_desc_ros.pipeline import FrameResult
from dense_desc_ros.rgbd_frame import RgbdFrame

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SUBPIXEL_BITS = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
LISTED_REFUSALS = 6
RICHER = 4.0  # times the variance of descriptors: colours for so few would tell too little


class Mark(NamedTuple):
    """A `pixel` (2,) as (u, v) to point out, with a `label` in ASCII, in an RGB `color`."""

    pixel: FloatArray
    label: str
    color: Color


class Box(NamedTuple):
    """A rectangle in the picture, pixels."""

    left: int
    top: int
    width: int
    height: int

    def overlap(self, other: "Box") -> int:
        """The area that two rectangles share."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


class DescriptorColors:
    """Descriptors as RGB: their three principal components in the first image seen.

    The components and their scale stay as they are from then on, so that the same descriptor has
    the same colour in every picture. Only when an image is far richer than that one, which may have
    been taken in the dark, do they become those of this image.
    """

    def __init__(self) -> None:
        self._mean = self._basis = self._low = self._span = torch.empty(0)
        self._variance = 0.0

    def __call__(self, descriptors: DescriptorMap) -> Picture:
        """The picture (H, W, 3) uint8 of a frame's descriptors."""
        features = descriptors.features
        if descriptors.metric == "cosine":
            features = functional.normalize(features, dim=-1)
        variance = float(features.flatten(0, 1).var(dim=0).sum())
        if self._basis.shape[:1] != features.shape[-1:] or variance > RICHER * self._variance:
            self._fit(features.flatten(0, 1))
            self._variance = variance
        components = (features - self._mean) @ self._basis
        colors = ((components - self._low) / self._span).clamp(0, 1).mul(255).byte().cpu().numpy()
        # Linear like the features themselves, so three channels are upsampled instead of all.
        height, width = (n * descriptors.stride for n in colors.shape[:2])
        full = cv2.resize(colors, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(full[: descriptors.height, : descriptors.width])

    def _fit(self, descriptors: Tensor) -> None:
        self._mean = descriptors.mean(dim=0)
        centred = descriptors - self._mean
        vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :3]
        self._basis = functional.pad(vectors, (0, 3 - vectors.shape[1]))
        # The brightest and darkest few pixels may saturate; the others then differ more clearly.
        components = (centred @ self._basis).cpu().numpy()
        low, high = np.percentile(components, (2, 98), axis=0).astype(np.float32)
        self._low = torch.from_numpy(low).to(descriptors)
        self._span = torch.from_numpy(high - low).to(descriptors).clamp_min(1e-6)


def draw_matches(result: FrameResult) -> Picture:
    """What was found in a frame, see `draw_answers`."""
    return draw_answers(result.frame, result.grasps, result.refusals)


def draw_answers(frame: RgbdFrame, grasps: Sequence[Grasp], refusals: Sequence[Refusal]) -> Picture:
    """Answers for a frame, drawn into a copy of its image (H, W, 3) uint8 RGB.

    Each grasp is a ring around its pixel, the name and score, and a two-finger gripper as the
    camera would see it there. At the bottom, in small print, what gave no grasp and why.
    """
    picture = frame.image.copy()
    lines = [f"{refusal.name}: {refusal.reason}" for refusal in refusals]
    if len(lines) > LISTED_REFUSALS:
        lines[LISTED_REFUSALS:] = [f"and {len(lines) - LISTED_REFUSALS} more"]
    _draw_footer(picture, lines)
    for grasp in grasps:
        color, width = color_of(grasp.name), grasp.opening_width
        draw_gripper(picture, frame.camera, grasp.T_camera_grasp, width, color)
    draw_marks(
        picture,
        [Mark(g.pixel, f"{g.name} {g.score:.2f}", color_of(g.name)) for g in grasps],
    )
    return picture


def draw_image_matches(
    reference: Picture,
    pixels: FloatArray,
    targets: Sequence[Picture],
    matches: Sequence[tuple[FloatArray, FloatArray]],
) -> Picture:
    """Points in a picture, and beside it the others with where they were found.

    Args:
        reference: (H, W, 3) RGB, and the `pixels` (K, 2), (u, v), of the points in it.
        targets: further pictures, of any size.
        matches: for each of them the pixels (K, 2), and the scores (K,).
    """
    numbers = [str(number) for number in range(1, len(pixels) + 1)]
    panels = [_with_points(reference, pixels, numbers)]
    for target, (found, scores) in zip(targets, matches, strict=True):
        labels = [f"{n} {score:.2f}" for n, score in zip(numbers, scores, strict=True)]
        panels.append(_with_points(target, found, labels))
    return tile(panels)


def tile(panels: Sequence[Picture]) -> Picture:
    """Pictures in rows and columns, about as many of the ones as of the others, on black."""
    columns = math.ceil(math.sqrt(len(panels)))
    height, width = (max(panel.shape[axis] for panel in panels) for axis in (0, 1))
    cells = np.zeros((math.ceil(len(panels) / columns), columns, height, width, 3), np.uint8)
    for number, panel in enumerate(panels):
        cells[divmod(number, columns)][: panel.shape[0], : panel.shape[1]] = panel
    return cells.swapaxes(1, 2).reshape(-1, columns * width, 3)


def _with_points(picture: Picture, pixels: FloatArray, labels: Sequence[str]) -> Picture:
    """A copy with labelled points, each in a colour of its own."""
    panel = picture.copy()
    hues = np.arange(len(labels)) / len(labels)
    marks = zip(pixels, labels, map(_bright, hues.tolist()), strict=True)
    draw_marks(panel, [Mark(*mark) for mark in marks])
    return panel


def draw_marks(picture: Picture, marks: Sequence[Mark]) -> None:
    """Draw a ring around each pixel, and its label beside it, into a picture."""
    scale = scale_of(picture)
    taken: list[Box] = []
    for mark in marks:
        centre = _fixed(mark.pixel)
        for radius, tint, thickness in ((7, BLACK, 4), (7, mark.color, 2), (1.5, WHITE, -1)):
            thickness = round(thickness * scale) if thickness > 0 else cv2.FILLED
            radius = round(radius * scale * 2**SUBPIXEL_BITS)
            cv2.circle(picture, centre, radius, tint, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        reach = round(9 * scale)
        left, top = (round(x) - reach for x in mark.pixel)
        taken.append(Box(left, top, 2 * reach, 2 * reach))
    for mark in marks:
        taken.append(_draw_label(picture, mark, taken))


def color_of(name: str) -> Color:
    """A bright colour that is always the same for a name."""
    return _bright(zlib.crc32(name.encode()) % 360 / 360)


def _bright(hue: float) -> Color:
    red, green, blue = colorsys.hls_to_rgb(hue, 0.6, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def scale_of(picture: Picture) -> float:
    """Sizes are for pictures 640 wide; larger ones get thicker lines and larger letters."""
    return max(picture.shape[1] / 640, 1.0)


def darken(area: Picture) -> None:
    """Make a part of a picture a plate for white text."""
    area //= 4


def _draw_label(picture: Picture, mark: Mark, taken: Sequence[Box]) -> Box:
    """Text on a dark plate beside the mark, where it covers nothing taken if possible."""
    scale = scale_of(picture)
    size, pad = 0.42 * scale, round(4 * scale)
    (text_width, ascent), descent = cv2.getTextSize(mark.label, FONT, size, 1)
    width, height = text_width + 3 * pad, ascent + descent + pad
    boxes = [
        _inside(picture, Box(round(left), round(top), width, height))
        for left, top in _places_beside(mark.pixel, width, height, 11 * scale)
    ]
    free = (box for box in boxes if not any(box.overlap(other) for other in taken))
    box = next(free, None) or min(boxes, key=lambda box: sum(map(box.overlap, taken)))
    darken(picture[box.top : box.top + height, box.left : box.left + width])
    stripe = picture[box.top : box.top + height, box.left : box.left + pad // 2 + 1]
    stripe[:] = mark.color
    origin = (box.left + 2 * pad, box.top + ascent + pad // 2)
    cv2.putText(picture, mark.label, origin, FONT, size, WHITE, round(scale), cv2.LINE_AA)
    return box


def _places_beside(
    pixel: FloatArray, width: int, height: int, gap: float
) -> list[tuple[float, float]]:
    """Where (left, top) a plate may go, most wanted first: right, left, above, below, corners."""
    u, v = pixel
    right, left, centre = u + gap, u - gap - width, u - width / 2
    above, below, middle = v - gap - height, v + gap, v - height / 2
    return [(right, middle), (left, middle), (centre, above), (centre, below)] + [
        (x, y) for x in (right, left) for y in (above, below)
    ]


def _inside(picture: Picture, box: Box) -> Box:
    height, width = picture.shape[:2]
    left = max(min(box.left, width - box.width), 0)
    top = max(min(box.top, height - box.height), 0)
    return box._replace(left=left, top=top)


def _draw_footer(picture: Picture, lines: Sequence[str]) -> None:
    if not lines:
        return
    scale = scale_of(picture)
    step, pad = round(14 * scale), round(4 * scale)
    top = max(picture.shape[0] - step * len(lines) - pad, 0)
    darken(picture[top:])
    for row, line in enumerate(lines, start=1):
        origin = (pad, top + step * row - pad // 2)
        text = line.encode("ascii", "replace").decode()  # all that OpenCV's fonts have
        cv2.putText(picture, text, origin, FONT, 0.36 * scale, WHITE, round(scale), cv2.LINE_AA)


def _fixed(pixel: npt.ArrayLike) -> tuple[int, int]:
    """A pixel (u, v) in OpenCV's fixed-point coordinates."""
    u, v = np.rint(np.asarray(pixel, dtype=float) * 2**SUBPIXEL_BITS).astype(int)
    return int(u), int(v)
