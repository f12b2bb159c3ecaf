"""Named points of caps and mugs, the same place on each of them, and grasps that hold there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.canonical import blend, closest
from dense_desc_ros.data.correspondences import CANONICAL_TOLERANCE
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.errors import InvalidInputError

# Canonical coordinates, by category and name. Left is +y of the object's frame: a cap's wearer's.
POINTS: Mapping[str, Mapping[str, tuple[float, float, float]]] = MappingProxyType(
    {
        "caps": {
            "button": (0.3672, 0.5, 0.9848),  # its top
            "brim_front": (0.9257, 0.5, 0.1308),  # three quarters of the way out
            "brim_left": (0.7394, 0.8525, 0.089),
            "brim_right": (0.7394, 0.1475, 0.089),
            "crown_front": (0.6791, 0.5, 0.6689),
            "strap": (0.011, 0.5, 0.2415),  # which caps without an opening lack
        },
        "mugs": {
            "rim_left": (0.3531, 0.9756, 1.0),
            "rim_right": (0.3531, 0.0244, 1.0),
            "rim_back": (0.0172, 0.5, 1.0),  # across from the handle
            "handle": (0.9034, 0.5, 0.8066),  # where its upper side begins to bend down
        },
    }
)


class Taught(NamedTuple):
    """A grasp straight down at a point of an object that stands upright.

    Attributes:
        depth: how far below the point the fingers close, metres.
        closing: direction in the object's frame, horizontal.
        opening_width: of the fingers before, metres.
    """

    depth: float
    closing: tuple[float, float, float]
    opening_width: float

    def T_object_grasp(self, point: FloatArray) -> FloatArray:
        """The grasp (4, 4) at the point (3,), in the object's frame."""
        y, z = np.array(self.closing), np.array([0.0, 0.0, -1.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
        pose[:3, 3] = point + self.depth * z
        return pose


TAUGHT: Mapping[str, Mapping[str, Taught]] = MappingProxyType(
    {
        "caps": {"button": Taught(0.014, (0.0, -1.0, 0.0), 0.06)},
        "mugs": {
            "rim_left": Taught(0.012, (0.0, 1.0, 0.0), 0.05),
            "rim_right": Taught(0.012, (0.0, 1.0, 0.0), 0.05),
            "rim_back": Taught(0.012, (1.0, 0.0, 0.0), 0.05),
            "handle": Taught(0.012, (0.0, -1.0, 0.0), 0.05),
        },
    }
)


def find_points(category: str, mesh: Mesh) -> dict[str, FloatArray]:
    """The points (3,) of an object, in its frame, metres, without those that it lacks."""
    names = list(POINTS[category])
    wanted = np.array([POINTS[category][name] for name in names])
    if mesh.canonical is None:
        raise InvalidInputError("an object without canonical coordinates has no named points")
    corners, shares = closest(mesh.canonical, mesh.faces, wanted)
    gaps = np.linalg.norm(blend(mesh.canonical[corners], shares) - wanted, axis=1)
    places = blend(mesh.vertices[corners], shares)
    return {
        name: place
        for name, place, gap in zip(names, places, gaps, strict=True)
        if gap <= CANONICAL_TOLERANCE
    }


def taught(category: str, point: str) -> Taught:
    """The grasp that is taught at a point.

    Raises:
        InvalidInputError: there is none.
    """
    known = TAUGHT.get(category, {})
    if point not in known:
        raise InvalidInputError(
            f"no grasp is taught at {point!r} of {category}; there is one at {', '.join(known)}"
        )
    return known[point]
