"""A two-finger gripper to show at a grasp: drawn into a picture, or as boxes."""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.grasping.gripper import Gripper

DEFAULT_OPENING, FINGER_LENGTH, STEM_LENGTH = 0.06, 0.04, 0.03  # m
NEAR = 0.01  # m; what is nearer to the camera's plane, or behind it, is cut off
SUBPIXEL_BITS = 4
BLACK = (0, 0, 0)


class GripperBox(NamedTuple):
    """A part of a gripper: a box along the axes of the grasp frame, metres.

    `centre` (3,) and `size` (3,) along x, y and z.
    """

    centre: FloatArray
    size: FloatArray


def gripper_boxes(gripper: Gripper, opening_width: float) -> list[GripperBox]:
    """Both fingers and the palm of an open gripper, as `fit_gripper` takes them to be.

    Args:
        gripper: its sizes.
        opening_width: between the fingers, metres; NaN shows 6 cm.
    """
    length, thickness = gripper.finger_length, gripper.finger_thickness
    beside = (_shown(opening_width) + thickness) / 2
    finger = np.array([gripper.finger_width, thickness, length])
    palm = np.array([gripper.palm_depth, gripper.palm_width, gripper.palm_height])
    fingers = [GripperBox(np.array([0, y, -length / 2]), finger) for y in (-beside, beside)]
    return [*fingers, GripperBox(np.array([0, 0, -length - gripper.palm_height / 2]), palm)]


def draw_gripper(
    image: npt.NDArray[np.uint8],
    camera: PinholeCamera,
    T_camera_grasp: FloatArray,
    opening_width: float,
    color: tuple[int, int, int],
) -> None:
    """Draw two fingers, the line of the palm between them, and the stem they come from.

    Args:
        image: (H, W, 3) RGB; it is drawn into.
        camera: that took it.
        T_camera_grasp: (4, 4) grasp: z along the approach, fingers close along y, tips at z = 0.
        opening_width: between the fingers, metres; NaN draws 6 cm.
        color: RGB.
    """
    half = _shown(opening_width) / 2
    palm, back = -FINGER_LENGTH, -FINGER_LENGTH - STEM_LENGTH
    corners = [(0, -half, 0), (0, -half, palm), (0, half, palm), (0, half, 0)]
    lines = [*zip(corners, corners[1:], strict=False), ((0, 0, palm), (0, 0, back))]
    ends = np.array(lines, dtype=float) @ T_camera_grasp[:3, :3].T + T_camera_grasp[:3, 3]
    seen = [cut for start, end in ends if (cut := _in_front(start, end)) is not None]
    if not seen:
        return
    pixels = np.rint(camera.project(np.array(seen)) * 2**SUBPIXEL_BITS).astype(int).tolist()
    scale = max(image.shape[1] / 640, 1.0)  # larger pictures get thicker lines
    for tint, thickness in ((BLACK, 4), (color, 2)):
        for start, end in pixels:
            width = round(thickness * scale)
            cv2.line(image, start, end, tint, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _shown(opening_width: float) -> float:
    return DEFAULT_OPENING if math.isnan(opening_width) else opening_width


def _in_front(start: FloatArray, end: FloatArray) -> FloatArray | None:
    """The part (2, 3) of a line, from one point (3,) to another, that is before the camera."""
    if max(start[2], end[2]) <= NEAR:
        return None
    if min(start[2], end[2]) < NEAR:
        cut = start + (end - start) * (NEAR - start[2]) / (end[2] - start[2])
        start, end = (cut, end) if start[2] < NEAR else (start, cut)
    return np.stack([start, end])
