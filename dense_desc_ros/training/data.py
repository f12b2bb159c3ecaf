"""The data of a run, by step: a resumed run gets what it would have got."""

import logging
from collections.abc import Callable
from functools import cached_property

import lightning
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from dense_desc_ros.data.frame_tensors import FrameTensors
from dense_desc_ros.data.images import find_images
from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.pair_plans import PairPlans
from dense_desc_ros.training.pairs import AugmentedPairs
from dense_desc_ros.training.planned_views import SPARE, PlannedViews
from dense_desc_ros.training.twins import TwinPairs, ValidationPairs
from dense_desc_ros.training.views_ahead import ViewsAhead

EPOCH_STEPS = 50  # between checkpoints; a resumed run goes on from the last one
EPOCH_STEPS_ON_DEVICE = 2000  # which take no longer there
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
        self.frames = _frames_to_train_on(config)
        self.pairs = _pairs(config, self.frames)
        first = self.pairs(0, SAMPLES)
        self.samples = [first[i] for i in range(SAMPLES)]
        self.validation: Dataset | None = None
        if config.validation:
            frames = _open_frames(config.validation.path, canonical=False)
            self.validation = ValidationPairs(frames, config.validation.pairs)

    def train_dataloader(self) -> DataLoader | ViewsAhead:
        assert self.trainer is not None  # Lightning sets it before it asks for data
        optimisation, first_step = self.config.optimisation, self.trainer.global_step
        of_a_step = optimisation.batch_size * self.trainer.world_size
        steps = min(epoch_steps(self.config), optimisation.steps - first_step)
        first, length = first_step * of_a_step, steps * of_a_step
        if not on_device(self.config):
            pairs = self.pairs(first, length)
            return DataLoader(pairs, optimisation.batch_size, num_workers=self.workers)
        assert self.frames
        frames = self.views.frames
        planned = round(optimisation.batch_size * SPARE)
        spare = planned / optimisation.batch_size
        plans = PairPlans(
            self.frames, frames.cameras, frames.middles, self.config, first, length, spare
        )
        # What Lightning does for loaders that it knows.
        trainer = self.trainer
        sampler: DistributedSampler[dict[str, Tensor]] = DistributedSampler(
            plans, trainer.world_size, trainer.global_rank, shuffle=False
        )
        loader = DataLoader(plans, planned, sampler=sampler, num_workers=self.workers)
        return ViewsAhead(loader, self.views, frames.images.device)

    @cached_property
    def views(self) -> PlannedViews:
        """What makes views of plans; all frames are read for it."""
        assert self.trainer and self.frames
        device = self.trainer.strategy.root_device
        tensors = FrameTensors.read(
            self.frames, device, _needs_canonical(self.config), self.workers
        )
        return PlannedViews(tensors, self.config)

    def val_dataloader(self) -> DataLoader:
        assert self.validation  # else the trainer does not validate
        return DataLoader(self.validation, 1)


def epoch_steps(config: TrainingConfig) -> int:
    """Steps from one checkpoint to the next."""
    return EPOCH_STEPS_ON_DEVICE if on_device(config) else EPOCH_STEPS


def on_device(config: TrainingConfig) -> bool:
    """Whether views are made on the device that trains."""
    return config.twins is not None and config.twins.on_device


def _needs_canonical(config: TrainingConfig) -> bool:
    assert config.twins
    return config.needs_canonical or config.twins.other_instances > 0


def _frames_to_train_on(config: TrainingConfig) -> PosedFrames | None:
    if not config.twins:
        return None
    return _open_frames(config.twins.path, _needs_canonical(config))


def _pairs(config: TrainingConfig, frames: PosedFrames | None) -> Pairs:
    if config.pictures:
        paths = find_images(config.pictures.path)
        return lambda first, length: AugmentedPairs(paths, config, first, length)
    assert config.twins and frames
    backgrounds = find_images(config.twins.backgrounds) if config.twins.backgrounds else []
    return lambda first, length: TwinPairs(frames, backgrounds, config, first, length)


def _open_frames(path: str, canonical: bool) -> PosedFrames:
    frames = open_posed_frames(path, canonical)
    left_out = "".join(f"; left out {n}: {reason}" for reason, n in frames.skipped.items() if n)
    log.info("%s: %d frames of %d objects%s", path, len(frames), len(frames.groups), left_out)
    return frames
