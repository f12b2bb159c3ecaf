"""What is stored around the point of a reference when it is registered, to find its pose by."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.region import Mask
from dense_desc_ros.grasping.surface import measure_points

LEAST_CONTRAST = 0.05  # between `own` and `rest`: what is everywhere alike has no score
POINTS = 48  # of a view
REACH = 0.15  # m from the point; further away there may be another object
CANDIDATES = 3000
FEWEST_POINTS = 12  # fewer tell no pose


class Level(NamedTuple):
    """How much speaks for a reference in the picture it was registered in.

    `own` where it is, and `rest`, the most that speaks for it anywhere else in that picture.
    """

    rest: float
    own: float

    def score(self, evidence: float) -> float:
        """1 for what the reference itself reaches, 0 for what the rest of its picture does."""
        return (evidence - self.rest) / max(self.own - self.rest, LEAST_CONTRAST)


@dataclass(frozen=True, eq=False)
class Support:
    """The surface around the point of a reference, as it was registered.

    Attributes:
        descriptors: (S, D) float32.
        points: (S, 3) float32 in the frame of the point, metres.
        views: (S,) int32, the registered view, from 0, that each comes from.
    """

    descriptors: Tensor
    points: Tensor
    views: Tensor

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def none(cls, dim: int) -> "Support":
        return cls(torch.empty(0, dim), torch.empty(0, 3), torch.empty(0, dtype=torch.int32))

    def joined(self, other: "Support") -> "Support":
        """This and another's, given in the frame of the same point."""
        pairs = zip(self.tensors().values(), other.tensors().values(), strict=True)
        return Support(*(torch.cat(pair) for pair in pairs))

    def tensors(self) -> dict[str, Tensor]:
        return {"descriptors": self.descriptors, "points": self.points, "views": self.views}

    def check(self, dim: int) -> None:
        """Raise ValueError unless shapes fit each other and the length of descriptors."""
        count = len(self.points)
        if self.descriptors.shape != (count, dim) or self.points.shape != (count, 3):
            raise ValueError("its support is not (S, D) descriptors of (S, 3) points")
        if not (self.points.isfinite().all() and self.descriptors.isfinite().all()):
            raise ValueError("its support is not finite")
        views = self.views
        if views.shape != (count,) or views.dtype != torch.int32:
            raise ValueError("the views of its support are not (S,) int32")
        if count and not 0 <= int(views.min()) <= int(views.max()) < count:  # each has some points
            raise ValueError("the views of its support are not numbered from 0")


def choose_support(
    frame: RgbdFrame, descriptors: DescriptorMap, region: Mask, T_camera_point: FloatArray
) -> Support:
    """Points all over a region, within REACH of the point of a reference.

    Each is the farthest from those chosen before (Eldar et al., "The farthest point strategy for
    progressive image sampling", 1997), so that near and far ones are there however few they are.

    None where fewer than FEWEST_POINTS are measured.

    Args:
        frame: what is seen.
        descriptors: of it.
        region: (H, W) the object.
        T_camera_point: (4, 4) the frame of the point.
    """
    # Not at its border, where depth may be that of what is behind.
    inner = cv2.erode(region.astype(np.uint8), np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero(inner)
    every = max(len(rows) // CANDIDATES, 1)
    pixels = np.stack([columns, rows], axis=1)[::every].astype(float)
    points = measure_points(frame, pixels)
    near = np.linalg.norm(points - T_camera_point[:3, 3], axis=1) < REACH  # False for NaN
    pixels, points = pixels[near], points[near]
    if len(points) < FEWEST_POINTS:
        return Support.none(descriptors.features.shape[-1])
    chosen = [int(np.linalg.norm(points - T_camera_point[:3, 3], axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(POINTS, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    in_point = (points[chosen] - T_camera_point[:3, 3]) @ T_camera_point[:3, :3]
    return Support(
        descriptors.sample(pixels[chosen]).float().cpu(),
        torch.from_numpy(in_point).float(),
        torch.zeros(len(chosen), dtype=torch.int32),
    )
