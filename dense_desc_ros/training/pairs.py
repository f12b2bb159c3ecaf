"""Augmented pairs of views as a data set, the same ones for the same seed and number."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dense_desc_ros.data.augmentation import Picture, sample_pair, with_rarity
from dense_desc_ros.data.images import read_image
from dense_desc_ros.training.config import TrainingConfig

FIRST_STRENGTH, RAMP = 0.25, 0.6


class AugmentedPairs(Dataset):
    """Pairs of synthetic views of single pictures.

    An item is a dictionary: `images` (2, 3, h, w) uint8 and `pixels` (2, N, 2) float32, where
    pixels[0, n] and pixels[1, n] show the same surface point.

    Args:
        paths: the pictures.
        config: of the training.
        first: number of the first pair, counted from the start of the training.
        length: how many follow, itself included.
    """

    def __init__(self, paths: list[Path], config: TrainingConfig, first: int, length: int) -> None:
        self.paths, self.config, self.first, self.length = paths, config, first, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number, config = self.first + index, self.config
        rng = np.random.default_rng((config.seed, number))
        chosen = rng.integers(len(self.paths), size=2)
        picture, other = (_read_picture(self.paths[i]) for i in chosen)
        augmentation = config.augmentation.at_strength(_strength(number, config))
        pair = sample_pair(picture, other, config.crop, config.points, augmentation, rng)
        images = np.stack([pair.image_a, pair.image_b]).transpose(0, 3, 1, 2)
        return {
            "images": torch.from_numpy(np.ascontiguousarray(images)),
            "pixels": torch.from_numpy(np.stack([pair.pixels_a, pair.pixels_b])),
        }


def draw_pairs(pairs: list[dict[str, Tensor]], shown: int = 16) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) of pairs of views, one a row, with some of their correspondences."""
    rows = []
    for pair in pairs:
        views = [np.ascontiguousarray(v.numpy().transpose(1, 2, 0)) for v in pair["images"]]
        for n, hue in enumerate(np.linspace(0, 180, shown, endpoint=False)):
            hsv = np.array([[[hue, 255, 255]]], np.uint8)
            colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
            for view, pixel in zip(views, pair["pixels"][:, n].round().int().tolist(), strict=True):
                cv2.circle(view, pixel, 4, colour, -1, cv2.LINE_AA)
        rows.append(np.hstack(views))
    return np.vstack(rows)


def _strength(number: int, config: TrainingConfig) -> float:
    """Views differ little at first and fully after RAMP of the training.

    From scratch, a network that is shown strongly different views at once hardly starts to learn.
    """
    progress = number / (config.steps * config.batch_size)
    return min(1.0, FIRST_STRENGTH + (1 - FIRST_STRENGTH) * progress / RAMP)


@lru_cache(maxsize=64)
def _read_picture(path: Path) -> Picture:
    return with_rarity(read_image(path))
