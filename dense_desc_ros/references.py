"""References: grasp points shown once, and their folder on disk."""

import itertools
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError, ReferenceStoreError
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasping.support import Level, Support

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: str) -> str:
    """Return the name, or raise InvalidInputError if it could not safely name a file."""
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"reference name {name[:80]!r} is not 1 to 64 letters, digits, '_' or '-'"
        )
    return name


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
            grasp (see `grasps.straight_grasp`).
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


class ReferenceStore:
    """The references of one model, in memory and in a folder of safetensors files.

    Every change is on disk before the call returns, and a file is always whole: a process killed at
    any moment loses nothing that was acknowledged. Safe to use from several threads.

    Args:
        folder: where the files are; created when missing.
        fingerprint: of the model in use. Files of other models are left alone and listed in
            `problems`, like files that cannot be read.

    Raises:
        ReferenceStoreError: the folder cannot be used.
    """

    SUFFIX = ".safetensors"

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self.problems: dict[str, str] = {}
        self._references: dict[str, Reference] = {}
        self._lock = threading.RLock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files = sorted(self.folder.glob(f"*{self.SUFFIX}"))
        except OSError as error:
            raise ReferenceStoreError(f"cannot use reference folder {folder}: {error}") from error
        for path in files:
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            reference = Reference.from_file(path)
            self._check_fingerprint(reference)
            if reference.name != path.stem:
                raise ReferenceStoreError(f"{path.name} says its name is {reference.name!r}")
        except ReferenceStoreError as error:
            self.problems[path.stem] = str(error)
        else:
            self._references[reference.name] = reference

    def __len__(self) -> int:
        return len(self._references)

    def __iter__(self) -> Iterator[Reference]:
        """The references in order of name, as they are at this moment."""
        with self._lock:
            return iter([self._references[name] for name in sorted(self._references)])

    def names(self) -> list[str]:
        """Names of all usable references, sorted."""
        with self._lock:
            return sorted(self._references)

    def get(self, name: str) -> Reference:
        """The reference of that name.

        Raises:
            ReferenceStoreError: there is none, or its file is unusable.
        """
        with self._lock:
            if name in self._references:
                return self._references[name]
        if name in self.problems:
            raise ReferenceStoreError(self.problems[name])
        known = ", ".join(self.names()) or "none"
        raise ReferenceStoreError(f"unknown reference {name[:80]!r}; registered: {known}")

    def add(self, reference: Reference) -> Reference:
        """Store a reference, replacing the one of its name, and return what is stored.

        Args:
            reference: made by this store's model.

        Raises:
            ReferenceStoreError: made by other weights; or a file that cannot be used (of another
                model, corrupt) has this name, and would be lost.
            OSError: it could not be written; the old one is untouched.
        """
        self._check_fingerprint(reference)
        with self._lock:
            name = reference.name
            if name in self.problems:
                raise ReferenceStoreError(
                    f"{self.problems[name]}. Remove it first, or use another name or folder"
                )
            write_atomically(self._path(name), reference.to_bytes())
            self._references[name] = reference
            return reference

    def remove(self, name: str) -> None:
        """Delete a reference, also one whose file cannot be used.

        Raises:
            InvalidInputError: not a possible name.
            ReferenceStoreError: there is none.
        """
        check_name(name)
        with self._lock:
            if name not in self.problems:
                self.get(name)
            self._path(name).unlink(missing_ok=True)
            self._references.pop(name, None)
            self.problems.pop(name, None)

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}{self.SUFFIX}"

    def _check_fingerprint(self, reference: Reference) -> None:
        if reference.fingerprint != self.fingerprint:
            raise ReferenceStoreError(
                f"reference {reference.name!r} was made by other weights "
                f"({reference.fingerprint[:12]}) than those in use ({self.fingerprint[:12]}): "
                "register it again"
            )


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
