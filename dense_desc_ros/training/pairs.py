"""Augmented pairs of views as a data set, the same ones for the same seed and number."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dense_desc_ros.data.augmentation import Picture, sample_pair, with_rarity
from dense_desc_ros.data.colours import Image
from dense_desc_ros.data.images import read_image
from dense_desc_ros.training.config import TrainingConfig

FIRST_STRENGTH, RAMP = 0.25, 0.6


class AugmentedPairs(Dataset):
    """Pairs of synthetic views of single pictures.

    An item is a dictionary: `images` (2, 3, h, w) uint8 and `pixels` (2, N, 2) float32, where
    pixels[0, n] and pixels[1, n] show the same surface point.

    Args:
        paths: the pictures.
        config: of the training; with `pictures`, and an objective of points.
        first: number of the first pair, counted from the start of the training.
        length: how many follow, itself included.
    """

    def __init__(self, paths: list[Path], config: TrainingConfig, first: int, length: int) -> None:
        self.paths, self.config, self.first, self.length = paths, config, first, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self.first + index
        source = self.config.pictures
        assert source
        rng = np.random.default_rng((self.config.seed, number))
        chosen = rng.integers(len(self.paths), size=2)
        picture, other = (_read_picture(self.paths[i]) for i in chosen)
        augmentation = source.augmentation.at_strength(strength(number, self.config))
        pair = sample_pair(picture, other, source.crop, self.config.points, augmentation, rng)
        return {
            "images": as_images(pair.image_a, pair.image_b),
            "pixels": torch.from_numpy(np.stack([pair.pixels_a, pair.pixels_b])),
        }


def as_images(a: Image, b: Image) -> Tensor:
    """Two views (h, w, 3) as a network wants them, (2, 3, h, w) uint8."""
    return torch.from_numpy(np.ascontiguousarray(np.stack([a, b]).transpose(0, 3, 1, 2)))


def strength(number: int, config: TrainingConfig) -> float:
    """How much the views of a pair differ: little at first, and fully after RAMP of the training.

    From scratch, a network that is shown strongly different views at once hardly starts to learn.
    """
    return FIRST_STRENGTH + (1 - FIRST_STRENGTH) * progress(number, config)


def progress(number: int, config: TrainingConfig) -> float:
    """From 0, at the first pair of the training, to 1 after RAMP of it.

    Always 1 for what goes on from the weights of an earlier training.
    """
    if config.initial_weights:
        return 1.0
    done = number / (config.optimisation.steps * config.optimisation.batch_size)
    return min(1.0, done / RAMP)


@lru_cache(maxsize=64)
def _read_picture(path: Path) -> Picture:
    return with_rarity(read_image(path))
