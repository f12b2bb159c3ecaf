"""Heat maps: how much every pixel of a picture is like a reference."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.pictures import FONT, WHITE, Picture, darken, scale_of, tile
from dense_desc_ros.pipeline import FrameResult
from dense_desc_ros.references import Reference

HEAT = 0.6  # share of the colours in the picture; the rest is what was seen, in grey
LOW, HIGH = "0: like the rest of its picture", "1: like itself"


@torch.inference_mode()
def heat_of(reference: Reference, descriptors: DescriptorMap) -> FloatArray:
    """The heat (H, W) of a reference's point, on a scale that is the reference's own.

    1 is what the point itself reaches in the picture it was registered in, 0 what most resembles it
    in the rest of that picture, as for the score of a straight grasp. Of several registered views
    the most similar one counts at each pixel.
    """
    views = reference.descriptors.to(descriptors.features.device)
    similarity = descriptors.similarity(views).amax(dim=0).cpu().numpy()
    nothing, everything = (reference.score("straight", evidence) for evidence in (0.0, 1.0))
    return np.asarray(nothing + (everything - nothing) * similarity)


def draw_heatmaps(result: FrameResult, references: Sequence[Reference], most: int = 4) -> Picture:
    """The heat of references over a frame's picture in grey, see `pictures.tile`.

    Args:
        result: of the frame.
        references: the first ones are drawn.
        most: so many of them.
    """
    grey = _grey(result.frame.image)
    if not references:
        return _titled(grey, "no references are registered")
    shown = references[:most]
    titles = [reference.name for reference in shown]
    if len(references) > most:
        titles[-1] += f" (and {len(references) - most} more)"
    panels = [
        _with_legend(_titled(_heated(grey, heat_of(reference, result.descriptors)), title))
        for reference, title in zip(shown, titles, strict=True)
    ]
    return tile(panels)


def _grey(image: Picture) -> Picture:
    return np.asarray(
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8
    )


def _heated(grey: Picture, heat: FloatArray) -> Picture:
    return np.asarray(cv2.addWeighted(_colors(heat), HEAT, grey, 1 - HEAT, 0), np.uint8)


def _colors(heat: FloatArray) -> Picture:
    """RGB (H, W, 3) of heat (H, W): dark blue for 0 and less, dark red for 1 and more."""
    shade = np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(shade, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.asarray(colors, np.uint8)


def _titled(panel: Picture, text: str) -> Picture:
    """The picture, with a line of text drawn into its top."""
    scale = scale_of(panel)
    height = round(18 * scale)
    darken(panel[:height])
    origin = (round(4 * scale), round(13 * scale))
    cv2.putText(panel, text, origin, FONT, 0.42 * scale, WHITE, round(scale), cv2.LINE_AA)
    return panel


def _with_legend(panel: Picture) -> Picture:
    """The picture, the colours from 0 to 1 and what these mean drawn into its bottom."""
    scale = scale_of(panel)
    bar, width = round(6 * scale), panel.shape[1]
    panel[-bar:] = _colors(np.linspace(0, 1, width)[None])
    plate = panel[-3 * bar : -bar]
    darken(plate)
    size, thickness = 0.36 * scale, round(scale)
    (text_width, _), _ = cv2.getTextSize(HIGH, FONT, size, thickness)
    for text, left in (LOW, bar), (HIGH, width - text_width - bar):
        origin = (left, plate.shape[0] - round(3 * scale))
        cv2.putText(plate, text, origin, FONT, size, WHITE, thickness, cv2.LINE_AA)
    return panel
