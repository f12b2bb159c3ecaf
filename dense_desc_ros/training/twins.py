"""Twin views of posed objects as data sets: augmented for training, as they are for validation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.correspondences import sample_correspondences
from dense_desc_ros.data.posed import PosedFrame, PosedFrames
from dense_desc_ros.data.twin_augmentation import augment
from dense_desc_ros.errors import DataError
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.frame_choice import FrameChoice
from dense_desc_ros.training.pairs import as_images, strength

ATTEMPTS = 50
SMALLEST_MASK = 0.002  # of a view's pixels
FEWEST_SHARED = 0.1  # of the correspondences wanted; fewer are repeated up to that number
VALIDATION_POINTS, VALIDATION_SEED = 32, 1


class TwinPairs(Dataset):
    """Augmented twin views, the same ones for the same seed and number.

    An item is a dictionary: `images` (2, 3, h, w) uint8, and what the objectives need. By points,
    `pixels` (2, N, 2) float32, where pixels[0, n] and pixels[1, n] show the same surface point; by
    keypoints, `intrinsics` (2, 3, 3) and `T_object_camera` (2, 4, 4) float32; by canonical
    coordinates, `canonical` (2, h, w, 3) float32, NaN off the object; `masks` (2, h, w) bool of the
    object; and its class `labels` (2,), the same one for all if instances are matched with each
    other, else the object's number.

    Args:
        frames: the data set.
        backgrounds: pictures to put behind objects.
        config: of the training; with `twins`.
        first: number of the first pair, counted from the start of the training.
        length: how many follow, itself included.

    Raises:
        DataError: no object is seen twice, or no two instances where these are wanted.
    """

    def __init__(
        self,
        frames: PosedFrames,
        backgrounds: Sequence[Path],
        config: TrainingConfig,
        first: int,
        length: int,
    ) -> None:
        assert config.twins
        self.frames, self.backgrounds = frames, backgrounds
        self.config, self.twins = config, config.twins
        self.first, self.length = first, length
        self.choice = FrameChoice(frames, config)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self.first + index
        rng = np.random.default_rng((self.config.seed, number))
        for _ in range(ATTEMPTS):
            item = self._draw(number, rng)
            if item is not None:
                return item
        raise DataError(
            f"{self.twins.path}: in {ATTEMPTS} tries no two views of {self.twins.crop} show enough "
            "of an object: use larger crops, a smaller shift or another scale"
        )

    def _draw(self, number: int, rng: np.random.Generator) -> dict[str, Tensor] | None:
        *chosen, canonical = self.choice.draw(number, rng)
        a, b = (self._view(index, number, rng) for index in chosen)
        if min(a.mask.mean(), b.mask.mean()) < SMALLEST_MASK:
            return None
        item = {"images": as_images(a.image, b.image)}
        if self.config.needs_masks:
            item["masks"] = torch.from_numpy(np.stack([a.mask, b.mask]))
        if self.config.class_aware:
            category = self.twins.other_instances > 0
            item["labels"] = torch.tensor([0 if category else v.object_id for v in (a, b)])
        if self.config.needs_canonical:
            item["canonical"] = _canonical(a, b)
        if self.config.keypoint:
            item |= _geometry(a, b)
        if self.config.points:
            pixels = correspondences(a, b, self.config.points, rng, canonical)
            if pixels is None:
                return None
            item["pixels"] = pixels
        return item

    def _view(self, index: int, number: int, rng: np.random.Generator) -> PosedFrame:
        frame, twins = self.frames[index], self.twins
        if not frame.mask.any():
            return frame
        augmentation = twins.augmentation.at_strength(strength(number, self.config))
        return augment(frame, twins.crop, twins.scale, augmentation, self.backgrounds, rng)


class ValidationPairs(Dataset):
    """Pairs of whole frames of one object each, and pixels of the same points in them.

    An item is a dictionary of `images` (2, 3, H, W) uint8 and `pixels` (2, N, 2) float32.

    Args:
        frames: the data set.
        count: how many pairs.

    Raises:
        DataError: there are not that many pairs whose frames show the same points.
    """

    def __init__(self, frames: PosedFrames, count: int) -> None:
        self.frames = frames
        self.pairs: list[tuple[int, int]] = []
        self.pixels: list[Tensor] = []
        rng = np.random.default_rng(VALIDATION_SEED)
        objects = [views for views in frames.groups.values() if len(views) > 1]
        for _ in range(ATTEMPTS * count if objects else 0):
            views = objects[rng.integers(len(objects))]
            a, b = (int(i) for i in rng.choice(views, 2, replace=False))
            pixels = correspondences(frames[a], frames[b], VALIDATION_POINTS, rng, canonical=False)
            if pixels is not None:
                self.pairs.append((a, b))
                self.pixels.append(pixels)
            if len(self.pairs) == count:
                return
        raise DataError(f"the validation set has no {count} pairs of frames that share points")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        a, b = (self.frames[i].image for i in self.pairs[index])
        return {"images": as_images(a, b), "pixels": self.pixels[index]}


def correspondences(
    a: PosedFrame, b: PosedFrame, count: int, rng: np.random.Generator, canonical: bool
) -> Tensor | None:
    """Pixels (2, count, 2) of the same surface points; None if the frames hardly share any."""
    pixels_a, pixels_b = sample_correspondences(a, b, count, rng, canonical)
    if len(pixels_a) < max(FEWEST_SHARED * count, 1):
        return None
    chosen = np.resize(np.arange(len(pixels_a)), count)
    return _tensor(np.stack([pixels_a[chosen], pixels_b[chosen]]))


def _geometry(a: PosedFrame, b: PosedFrame) -> dict[str, Tensor]:
    return {
        "intrinsics": _tensor(np.stack([a.camera.matrix, b.camera.matrix])),
        "T_object_camera": _tensor(np.stack([a.T_object_camera, b.T_object_camera])),
    }


def _canonical(a: PosedFrame, b: PosedFrame) -> Tensor:
    for frame in (a, b):
        if frame.canonical is None:
            raise DataError(f"{frame.name} has no canonical coordinates to learn")
    assert a.canonical is not None and b.canonical is not None
    return torch.from_numpy(np.stack([a.canonical, b.canonical]))


def _tensor(array: FloatArray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
