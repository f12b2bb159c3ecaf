"""The data of a run, by step: a resumed run gets what it would have got."""

import logging
from collections.abc import Callable

import lightning
from torch.utils.data import DataLoader, Dataset

from dense_desc_ros.data.images import find_images
from dense_desc_ros.data.posed import PosedFrames, open_posed_frames
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.pairs import AugmentedPairs
from dense_desc_ros.training.twins import TwinPairs, ValidationPairs

EPOCH_STEPS = 50  # between checkpoints; a resumed run goes on from the last one
SAMPLES = 4  # pairs shown in pictures
Pairs = Callable[[int, int], Dataset]  # of the number of the first pair, and how many

log = logging.getLogger(__name__)


class TrainingData(lightning.LightningDataModule):
    """New views in every epoch, shared out among devices.

    Args:
        config: of the training.
        workers: processes that draw views, on each device.

    Raises:
        DataError: no usable pictures or frames.
    """

    def __init__(self, config: TrainingConfig, workers: int) -> None:
        super().__init__()
        self.config, self.workers = config, workers
        self.pairs = _open_pairs(config)
        first = self.pairs(0, SAMPLES)
        self.samples = [first[i] for i in range(SAMPLES)]
        self.validation: Dataset | None = None
        if config.validation:
            frames = _open_frames(config.validation.path, canonical=False)
            self.validation = ValidationPairs(frames, config.validation.pairs)

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None  # Lightning sets it before it asks for data
        optimisation, first_step = self.config.optimisation, self.trainer.global_step
        of_a_step = optimisation.batch_size * self.trainer.world_size
        steps = min(EPOCH_STEPS, optimisation.steps - first_step)
        pairs = self.pairs(first_step * of_a_step, steps * of_a_step)
        return DataLoader(pairs, optimisation.batch_size, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader:
        assert self.validation  # else the trainer does not validate
        return DataLoader(self.validation, 1)


def _open_pairs(config: TrainingConfig) -> Pairs:
    if config.pictures:
        paths = find_images(config.pictures.path)
        return lambda first, length: AugmentedPairs(paths, config, first, length)
    assert config.twins
    canonical = config.needs_canonical or config.twins.other_instances > 0
    frames = _open_frames(config.twins.path, canonical)
    backgrounds = find_images(config.twins.backgrounds) if config.twins.backgrounds else []
    return lambda first, length: TwinPairs(frames, backgrounds, config, first, length)


def _open_frames(path: str, canonical: bool) -> PosedFrames:
    frames = open_posed_frames(path, canonical)
    left_out = "".join(f"; left out {n}: {reason}" for reason, n in frames.skipped.items() if n)
    log.info("%s: %d frames of %d objects%s", path, len(frames), len(frames.groups), left_out)
    return frames
