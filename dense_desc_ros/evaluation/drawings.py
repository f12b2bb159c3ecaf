"""Pairs of pictures side by side, with lines from each point to where it was found."""

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.evaluation.evaluate import PairResult

Picture = npt.NDArray[np.uint8]

SHOWN = 16  # matches in a picture
BAD_PX = 50.0  # drawn in pure red; no error at all is pure green
TRUTH_COLOR = (255, 255, 255)


def draw_pair(reference: Picture, target: Picture, pair: PairResult) -> Picture:
    """Reference and target (H, W, 3) RGB side by side, with some of the pair's matches.

    They are spread evenly over all errors, from the best to the worst. A line ends where the point
    was found, green if that is right, red if it is far off; white leads from there to the truth.
    """
    height = max(reference.shape[0], target.shape[0])
    picture = np.hstack([_pad(reference, height), _pad(target, height)])
    shift = np.array([reference.shape[1], 0])
    order = np.argsort(pair.errors)
    chosen = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).astype(int))]
    for n in chosen:
        color = _color(pair.errors[n])
        start, found, truth = pair.pixels[n], pair.found[n] + shift, pair.truth[n] + shift
        cv2.line(picture, _point(found), _point(truth), TRUTH_COLOR, 1, cv2.LINE_AA)
        cv2.line(picture, _point(start), _point(found), color, 1, cv2.LINE_AA)
        cv2.circle(picture, _point(start), 4, color, 2, cv2.LINE_AA)
        cv2.circle(picture, _point(found), 4, color, 2, cv2.LINE_AA)
        cv2.circle(picture, _point(truth), 2, TRUTH_COLOR, cv2.FILLED, cv2.LINE_AA)
    return picture


def _pad(picture: Picture, height: int) -> Picture:
    below = height - picture.shape[0]
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, 0, cv2.BORDER_CONSTANT))


def _color(error: float) -> tuple[int, int, int]:
    badness = float(np.clip(error / BAD_PX, 0, 1))
    return round(255 * min(2 * badness, 1)), round(255 * min(2 - 2 * badness, 1)), 0


def _point(pixel: FloatArray) -> tuple[int, int]:
    u, v = np.rint(pixel).astype(int)
    return int(u), int(v)
