"""Pictures of objects whose pose is known: what training pairs and evaluation are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera, check_image
from dense_desc_ros.errors import DataError, InvalidInputError

ROTATION_TOLERANCE = 1e-3
NO_OBJECT = -1


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One object in one picture.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        depth: (H, W) float32, metres along the optical axis, NaN where there is none.
        camera: intrinsics.
        T_object_camera: (4, 4) pose of the camera in the object's frame (of a scene without
            objects: the world's).
        mask: (H, W) bool, the object's visible pixels.
        canonical: (H, W, 3) float32 canonical surface coordinates in [0, 1], NaN off the object;
            None where the object has none.
        object_id: number of the object.
        name: says in messages and reports which picture this is.

    Raises:
        InvalidInputError: sizes that differ from each other.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    camera: PinholeCamera
    T_object_camera: FloatArray
    mask: npt.NDArray[np.bool_]
    canonical: npt.NDArray[np.float32] | None
    object_id: int
    name: str

    def __post_init__(self) -> None:
        check_image(self.image)
        size = self.image.shape[:2]
        sizes = {
            "camera": (self.camera.height, self.camera.width),
            "depth": self.depth.shape,
            "mask": self.mask.shape,
        }
        if self.canonical is not None:
            sizes["canonical"] = self.canonical.shape[:2]
        for what, other in sizes.items():
            if other != size:
                raise InvalidInputError(f"{self.name}: {what} is {other} but colour is {size}")


class PosedFrames(Protocol):
    """A data set of posed frames, read from disk one at a time.

    Attributes:
        groups: object id -> indices of the frames that show it.
        without_object: indices of the frames that show no object; their mask is empty, their
            object_id is NO_OBJECT and their T_object_camera NaN.
        visible_fraction: for each frame, how much of the object's silhouette is visible, 0 to 1;
            1 where that is not known.
        T_object_camera: for each frame its own.
        skipped: reason -> how many frames were left out for it.
    """

    groups: Mapping[int, Sequence[int]]
    without_object: Sequence[int]
    visible_fraction: Sequence[float]
    T_object_camera: Sequence[FloatArray]
    skipped: Mapping[str, int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PosedFrame:
        """Read a frame.

        Raises:
            IndexError: no such frame.
            DataError: a file of it is missing or broken; the message names it.
        """
        ...


def check_index(frames: PosedFrames, index: int, path: Path) -> None:
    """Raise IndexError unless there is such a frame."""
    if not 0 <= index < len(frames):
        raise IndexError(f"{path} has frames 0 to {len(frames) - 1}, not {index}")


def check_usable(frames: PosedFrames, path: Path) -> None:
    """Raise DataError, with the reasons why frames were left out, unless one is usable."""
    if not len(frames):
        reasons = ", ".join(f"{count} {reason}" for reason, count in frames.skipped.items())
        raise DataError(f"{path} has no usable frame: {reasons or 'there is none at all'}")


def is_rigid(T_a_b: FloatArray) -> bool:
    """Whether a matrix (4, 4) is finite and a rotation with a translation."""
    rotation = T_a_b[:3, :3]
    return bool(
        np.isfinite(T_a_b).all()
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=ROTATION_TOLERANCE)
        and np.linalg.det(rotation) > 0
        and np.allclose(T_a_b[3], [0, 0, 0, 1])
    )
