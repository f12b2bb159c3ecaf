"""Other colours for a view: what lights, exposure, white balance and sensors do to a picture."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601

CHANGES = np.array([0.4, 0.35, 0.12])  # of saturation, contrast and tint, as factors
OF_PICTURES = 0.7  # strength for views of plain pictures: a few are learnt better without more

Image = npt.NDArray[np.uint8]


class ColourChange(NamedTuple):
    """What is done to a picture's colours, in this order.

    `matrix` (3, 4) maps (r, g, b, 1) to the new colour, levels of 0 to 255; then it is blurred by a
    Gaussian of `blur` pixels and gets noise of `noise` levels, standard deviations, 0 for neither.
    """

    matrix: FloatArray
    blur: float
    noise: float


def draw_colour_change(rng: np.random.Generator, strength: float = 1.0) -> ColourChange:
    """Brightness, contrast, saturation and tint; sometimes grey, blurred, noisy.

    Of another strength than 1 changes are so many times as large.
    """
    least, most = 1 - strength * CHANGES, 1 + strength * CHANGES
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(least[0], most[0])
    contrast = rng.uniform(least[1], most[1])
    brightness = strength * rng.uniform(-35, 35)
    tint = rng.uniform(least[2], most[2], 3)
    linear = contrast * (saturation * np.eye(3) + (1 - saturation) * GREY) * tint[:, None]
    offset = (128 * (1 - contrast) + brightness) * tint
    blur = strength * rng.uniform(0.4, 1.8) if rng.random() < 0.3 else 0.0
    noise = strength * rng.uniform(2, 12) if rng.random() < 0.3 else 0.0
    return ColourChange(np.column_stack([linear, offset]), blur, noise)


def apply_colour_change(image: Image, change: ColourChange, rng: np.random.Generator) -> Image:
    """The image (H, W, 3) in other colours; `rng` draws its noise."""
    changed = cv2.transform(image, change.matrix)  # rounds and saturates
    if change.blur:
        changed = cv2.GaussianBlur(changed, (0, 0), change.blur)
    if change.noise:
        noise = change.noise * rng.standard_normal(image.shape, np.float32)
        changed = cv2.add(changed, noise, dtype=cv2.CV_8U)
    return np.asarray(changed, np.uint8)


def change_colours(image: Image, rng: np.random.Generator) -> Image:
    """A view (H, W, 3) of a plain picture with a random change of its colours."""
    return apply_colour_change(image, draw_colour_change(rng, OF_PICTURES), rng)
