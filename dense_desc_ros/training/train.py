"""A training run: resumable, watched in terminal and TensorBoard, ending in a weights file."""

import logging
import warnings
from datetime import timedelta
from pathlib import Path

import lightning
import numpy as np
import numpy.typing as npt
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from dense_desc_ros.data.images import find_images, read_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.pictures import DescriptorColors
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.pairs import AugmentedPairs, draw_pairs

WEIGHTS, CHECKPOINT, DESCRIPTION = "weights.safetensors", "checkpoints/last.ckpt", "config.json"
EPOCH_STEPS = 50  # between checkpoints; a resumed run goes on from the last one


def train(
    config: TrainingConfig,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train a model and return its weights file, `out`/weights.safetensors.

    The folder also gets config.json, checkpoints/last.ckpt and TensorBoard's logs.

    Args:
        config: what to train.
        out: folder of the run.
        resume: go on from the last checkpoint of `out`.
        max_minutes: stop after that time, wherever it is; the weights are usable all the same.
        workers: processes that draw views.
        device: "auto", "cpu" or "cuda".

    Raises:
        DataError: no usable pictures, nothing to resume, or `out` is in use by another run.
        InvalidInputError: an unknown device, or `config` differs from the run to be resumed.
    """
    paths = find_images(config.images)
    checkpoint = _prepare(config, out, resume)
    lightning.seed_everything(config.seed, verbose=False)
    network = DescriptorNetwork(config.network, config.pretrained)
    pictures = TensorBoardPictures(network, paths, AugmentedPairs(paths, config, 0, 4))
    trainer = _trainer(config, out, max_minutes, device, pictures)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*resuming from a checkpoint that ended.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        data = AugmentedPairsModule(paths, config, workers)
        module = DescriptorTraining(network, config)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    weights = out / WEIGHTS
    DescriptorModel(network, device="cpu").save(weights)
    return weights


class AugmentedPairsModule(lightning.LightningDataModule):
    """New views in every epoch; those of a resumed run are what they would have been."""

    def __init__(self, paths: list[Path], config: TrainingConfig, workers: int) -> None:
        super().__init__()
        self.paths, self.config, self.workers = paths, config, workers

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None  # Lightning sets it before it asks for data
        size, first_step = self.config.batch_size, self.trainer.global_step
        steps = min(EPOCH_STEPS, self.config.steps - first_step)
        pairs = AugmentedPairs(self.paths, self.config, first_step * size, steps * size)
        return DataLoader(pairs, size, num_workers=self.workers)


class TensorBoardPictures(Callback):
    """What the network is shown, once, and the descriptors of the first picture, every epoch."""

    def __init__(self, network: DescriptorNetwork, paths: list[Path], pairs: AugmentedPairs):
        self.network, self.picture = network, read_image(paths[0])
        self.pairs = draw_pairs([pairs[i] for i in range(4)])

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._add(trainer, "pairs", self.pairs)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        model = DescriptorModel(self.network, device=str(module.device))
        self._add(trainer, "descriptors", DescriptorColors()(model.describe(self.picture)))
        self.network.train()

    @staticmethod
    def _add(trainer: Trainer, tag: str, image: npt.NDArray[np.uint8]) -> None:
        assert isinstance(trainer.logger, TensorBoardLogger)
        board = trainer.logger.experiment
        board.add_image(tag, image, trainer.global_step, dataformats="HWC")


def _prepare(config: TrainingConfig, out: Path, resume: bool) -> Path | None:
    """Check the folder of a run; returns the checkpoint to go on from."""
    checkpoint, description = out / CHECKPOINT, out / DESCRIPTION
    if resume:
        if not checkpoint.is_file():
            raise DataError(f"nothing to resume: there is no {checkpoint}")
        if TrainingConfig.load(description) != config:
            raise InvalidInputError(f"cannot resume {out} with other settings than {description}")
        return checkpoint
    if checkpoint.exists():
        raise DataError(f"{out} holds a run already: go on with --resume, or choose another --out")
    config.save(description)
    return None


def _trainer(
    config: TrainingConfig, out: Path, max_minutes: float | None, device: str, pictures: Callback
) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    checkpoints = ModelCheckpoint(
        (out / CHECKPOINT).parent, save_last=True, save_top_k=0, enable_version_counter=False
    )
    return Trainer(
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[device],
        devices=1 if device == "cpu" else "auto",
        max_steps=config.steps,
        max_time=timedelta(minutes=max_minutes) if max_minutes else None,
        gradient_clip_val=1.0,
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        callbacks=[checkpoints, RichProgressBar(), pictures],
        reload_dataloaders_every_n_epochs=1,
        log_every_n_steps=10,
        enable_model_summary=False,
    )
