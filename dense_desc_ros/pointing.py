"""What somebody points out: pixels as they are typed, and points in space."""

import re

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.rgbd_frame import RgbdFrame

AGREEMENT = 0.02  # m along the optical axis between a point and what is measured where it is seen
REACH = 1  # px around the pixel: a point of an earlier frame may fall beside what it was seen on


def parse_pixel(text: str) -> tuple[float, float]:
    """The pixel (u, v) of a text like "320.5,240".

    Raises:
        InvalidInputError: it is not like that.
    """
    number = r"(\d+(?:\.\d*)?)"
    if not (match := re.fullmatch(f"{number},{number}", text)):
        raise InvalidInputError(f"{text!r} is not U,V, like 320,240")
    return float(match[1]), float(match[2])


def pixel_of_point(frame: RgbdFrame, point: npt.ArrayLike) -> FloatArray:
    """The pixel (2,), as (u, v), at which a frame shows a point.

    Args:
        frame: what is seen.
        point: (3,) in the camera frame, metres; a point of a surface that the frame shows.

    Raises:
        InvalidInputError: it is not finite, out of the picture, or no surface is measured there
            that is as far away as the point within 2 cm.
    """
    point = np.asarray(point, dtype=float)
    if not np.isfinite(point).all():
        raise InvalidInputError(f"the point {_text(point)} is not finite: point at a surface")
    pixel = frame.camera.project(point)
    if not frame.camera.contains(pixel):  # nor is what is behind the camera
        raise InvalidInputError(
            f"the point {_text(point)} m of the camera frame is out of the picture: point at "
            "something that the camera sees"
        )
    u, v = np.rint(pixel).astype(int)
    left, top = max(u - REACH, 0), max(v - REACH, 0)
    seen = frame.depth[top : v + REACH + 1, left : u + REACH + 1]
    seen = seen[np.isfinite(seen)]
    where = f"pixel ({pixel[0]:.1f}, {pixel[1]:.1f})"
    if not seen.size:
        raise InvalidInputError(
            f"no depth is measured at {where}, where the point would be: point at something that "
            "the camera can measure (not shiny, transparent or too near)"
        )
    nearest = float(seen[np.abs(seen - point[2]).argmin()])
    if abs(nearest - point[2]) > AGREEMENT:
        raise InvalidInputError(
            f"the point is {point[2]:.3f} m from the camera, but what is seen at {where} is "
            f"{nearest:.3f} m away: point at a surface as it is seen now"
        )
    return pixel


def _text(point: FloatArray) -> str:
    return f"({', '.join(f'{value:.3f}' for value in point)})"
