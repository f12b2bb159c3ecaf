"""References: grasp points shown once, and the files they are kept in."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError, ReferenceStoreError
from dense_desc_ros.names import check_name as check_name

FORMAT = 3  # of files; another is of a version whose scores are on another scale
LEAST_CONTRAST = 0.05  # between `own` and `rest`: what is everywhere alike has no score


class Level(NamedTuple):
    """How much speaks for a reference in the picture it was registered in.

    `own` where it is; and `rest`, the most that speaks for it elsewhere: in the rest of that
    picture or, by the method registered, mostly in pictures as they usually are.
    """

    rest: float
    own: float

    def score(self, evidence: float) -> float:
        """1 for what the reference itself reaches, 0 for what the rest does."""
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

    @cached_property
    def points_array(self) -> FloatArray:
        """The points as float64, which every frame needs."""
        return np.asarray(self.points.double().numpy())

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


@dataclass(frozen=True, eq=False)
class Reference:
    """A point on an object, and how to grasp there.

    The frame of the point, in which all that is known around it is given, has its origin there, z
    into the surface and x along the registering camera's, see `grasping.straight.point_frame`.

    Attributes:
        name: what the user calls it.
        descriptors: (V, D) float32, the point's descriptor in each of V registered views.
        fingerprint: of the model that computed them.
        T_point_grasp: (4, 4) the taught grasp in the frame of the point; identity is the straight
            grasp (see `grasping.straight.point_frame`).
        opening_width: of the gripper before closing, metres; NaN if not taught.
        support: the surface around the point; empty if little depth was seen there.
        keypoints: (N, 3) float32 the network's keypoints in the frame of the point, metres, NaN
            for those that were not on the object; (0, 3) for networks without.
        levels: by method, what speaks for the reference; see `grasping`.
    """

    name: str
    descriptors: Tensor
    fingerprint: str
    T_point_grasp: FloatArray = field(default_factory=lambda: np.eye(4))
    opening_width: float = math.nan
    support: Support = field(default_factory=lambda: Support.none(0))
    keypoints: Tensor = field(default_factory=lambda: torch.empty(0, 3))
    levels: Mapping[str, Level] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_transform(self.T_point_grasp)
        if self.opening_width < 0 or math.isinf(self.opening_width):
            raise InvalidInputError(f"opening width {self.opening_width} m is not possible")

    def score(self, method: str, evidence: float) -> float:
        """What speaks for the reference by some method, on the scale of its level."""
        return self.levels.get(method, Level(0.0, 1.0)).score(evidence)

    def to_bytes(self) -> bytes:
        description = {
            "format": FORMAT,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "T_point_grasp": self.T_point_grasp.tolist(),
            "opening_width": None if math.isnan(self.opening_width) else self.opening_width,
            "levels": {method: list(level) for method, level in self.levels.items()},
        }
        tensors = {"descriptors": self.descriptors, "keypoints": self.keypoints}
        tensors |= {f"support.{name}": values for name, values in self.support.tensors().items()}
        tensors = {name: values.cpu().contiguous() for name, values in tensors.items()}
        return serialize(tensors, {"reference": json.dumps(description)})

    @classmethod
    def from_file(cls, path: Path) -> "Reference":
        """Read one reference.

        Raises:
            ReferenceStoreError: the file is corrupt or no reference.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                description = json.loads((file.metadata() or {})["reference"])
                if description.get("format") != FORMAT:
                    raise ValueError("another version of this package made it: register it anew")
                descriptors = file.get_tensor("descriptors")
                keypoints = file.get_tensor("keypoints")
                support = Support(
                    *(file.get_tensor(f"support.{name}") for name in Support.none(0).tensors())
                )
            width = description["opening_width"]
            if descriptors.ndim != 2 or not descriptors.isfinite().all():
                raise ValueError("its descriptors are not a finite (V, D) array")
            if keypoints.ndim != 2 or keypoints.shape[1] != 3 or keypoints.isinf().any():
                raise ValueError("its keypoints are not a (N, 3) array")
            if len(support):
                support.check(descriptors.shape[1])
            levels = {
                str(name): Level(*map(float, level))
                for name, level in description["levels"].items()
            }
            if not all(map(math.isfinite, itertools.chain(*levels.values()))):
                raise ValueError("its levels are not finite")
            return cls(
                description["name"],
                descriptors,
                description["fingerprint"],
                np.array(description["T_point_grasp"], dtype=float),
                math.nan if width is None else float(width),
                support,
                keypoints,
                levels,
            )
        except (
            OSError,
            safetensors.SafetensorError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise ReferenceStoreError(
                f"{path.name} is not a readable reference: {error}"
            ) from error


def check_transform(matrix: FloatArray) -> None:
    """Raise InvalidInputError unless the matrix (4, 4) is a rigid transform."""
    m = np.asarray(matrix, dtype=float)
    if m.shape != (4, 4) or not np.all(np.isfinite(m)):
        raise InvalidInputError("a pose must be a finite 4x4 matrix")
    rotation = m[:3, :3]
    if (
        not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
        or np.linalg.det(rotation) < 0
        or not np.allclose(m[3], [0, 0, 0, 1])
    ):
        raise InvalidInputError("a pose must be a rotation and a translation")
