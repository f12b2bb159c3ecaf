"""A training run: resumable, watched in terminal and TensorBoard, ending in a weights file."""

import logging
import os
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from dense_desc_ros.backbones import TIMM
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError, WeightsError
from dense_desc_ros.network import DescriptorNetwork, take_over
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.data import TrainingData, epoch_steps, on_device
from dense_desc_ros.training.divergence import EndsDiverged
from dense_desc_ros.training.module import VALIDATION_METRIC, DescriptorTraining
from dense_desc_ros.training.pictures import TensorBoardPictures
from dense_desc_ros.training.waiting import DataClock

WEIGHTS, DESCRIPTION = "weights.safetensors", "config.json"
CHECKPOINT, BEST_CHECKPOINT = "checkpoints/last.ckpt", "checkpoints/best.ckpt"
PUBLISHED = {False: "ImageNet", True: "timm's"}
REFRESH_ON_DEVICE = 10  # steps between what is shown: every look at a GPU's figures waits for it
ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}

log = logging.getLogger(__name__)


def train(
    config: TrainingConfig,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    workers: int = 1,
    device: str = "auto",
    devices: int | None = None,
    nodes: int = 1,
) -> Path:
    """Train a model and return its weights file, `out`/weights.safetensors.

    The folder also gets config.json, checkpoints and TensorBoard's logs. The weights are those of
    the best validation if there is any, else the last ones; the configuration is in their file too.

    Args:
        config: what to train.
        out: folder of the run.
        resume: go on from the last checkpoint of `out`.
        max_minutes: stop after that time, wherever it is; the weights are usable all the same.
        workers: processes that draw views, on each device.
        device: "auto", "cpu" or "cuda".
        devices: how many GPUs (or processes, on the CPU) of a machine; all GPUs or one process if
            not given.
        nodes: how many machines; each runs this with the environment that Lightning asks for.

    Raises:
        DataError: no usable data, nothing to resume, or `out` is in use by another run.
        InvalidInputError: an unknown device, or `config` differs from the run to be resumed.
        TrainingError: it diverges; the last checkpoint is of before.
    """
    if device not in ACCELERATORS:
        raise InvalidInputError(f"unknown device {device!r}: use one of {tuple(ACCELERATORS)}")
    data = TrainingData(config, workers)
    checkpoint = _prepare(config, out, resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(config.seed, verbose=False)
    network = _make_network(config, checkpoint)
    refresh = REFRESH_ON_DEVICE if on_device(config) else 1
    bar = RichProgressBar(refresh, console_kwargs={"stderr": True})
    pictures = TensorBoardPictures(data.samples)
    trainer = Trainer(
        accelerator=ACCELERATORS[device],
        devices=devices or (1 if device == "cpu" else "auto"),
        num_nodes=nodes,
        precision=config.optimisation.precision,  # type: ignore[arg-type]  # one of PRECISIONS
        max_steps=config.optimisation.steps,
        max_time=timedelta(minutes=max_minutes) if max_minutes else None,
        gradient_clip_val=1.0,
        benchmark=True,  # every step has pictures of one size
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        callbacks=[EndsDiverged(), pictures, *_checkpoints(config, out), DataClock(), bar],
        reload_dataloaders_every_n_epochs=1,
        limit_val_batches=1.0 if config.validation else 0,
        check_val_every_n_epoch=_epochs_between_validations(config),
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_model_summary=False,
        plugins=[AtomicCheckpoints()],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*resuming from a checkpoint that ended.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        module = DescriptorTraining(network, config)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    weights = out / WEIGHTS
    if trainer.is_global_zero:
        _take_best(network, out / BEST_CHECKPOINT)
        notes = {"training": config.to_json(), "steps": str(trainer.global_step)}
        DescriptorModel(network, config.metric, device="cpu").save(weights, notes)
    return weights


class AtomicCheckpoints(TorchCheckpointIO):
    """A run that is killed while it writes a checkpoint still has the one before."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        unfinished = f"{path}.part"
        super().save_checkpoint(checkpoint, unfinished, storage_options)
        os.replace(unfinished, path)


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


def _make_network(config: TrainingConfig, checkpoint: Path | None) -> DescriptorNetwork:
    """A network, and a line in the log that says what its weights are."""
    timm = config.network.backbone.startswith(TIMM)
    if checkpoint:
        log.info("going on from %s", checkpoint)
    elif config.pretrained:
        try:
            network = DescriptorNetwork(config.network, pretrained=True)
        except (OSError, RuntimeError, WeightsError) as error:  # no connection; damaged
            log.warning("%s weights cannot be had (%s)", PUBLISHED[timm], error)
        else:
            log.info("the backbone starts from %s weights", PUBLISHED[timm])
            return network
    elif config.backbone_weights:
        log.info("the backbone starts from %s", config.backbone_weights)
        return DescriptorNetwork(config.network, backbone_weights=Path(config.backbone_weights))
    network = DescriptorNetwork(config.network)
    if config.initial_weights and not checkpoint:
        _start_from(network, Path(config.initial_weights))
    elif not checkpoint:
        log.info("all weights start from scratch")
    return network


def _start_from(network: DescriptorNetwork, weights: Path) -> None:
    """Take over what an earlier training found, as far as it fits."""
    found = DescriptorModel.load(weights, device="cpu").network.state_dict()
    fitting = take_over(network, found)
    missing = network.state_dict().keys() - fitting
    paths = [key.split(".") for key in missing]
    new = sorted({".".join(path[: 3 if path[0] == "stages" else 1]) for path in paths})
    log.info("starting from %s%s", weights, f"; from scratch: {', '.join(new)}" if new else "")


def _checkpoints(config: TrainingConfig, out: Path) -> list[Callback]:
    # Without a metric, the newest one is the best; `save_last` alone would save at the end only.
    last = _checkpoint(out / CHECKPOINT, save_on_train_epoch_end=True)
    if not config.validation:
        return [last]
    best = _checkpoint(
        out / BEST_CHECKPOINT,
        save_on_train_epoch_end=False,
        monitor=VALIDATION_METRIC,
        mode="max",
        save_weights_only=True,
    )
    patience = config.validation.patience
    return [last, best, EarlyStopping(VALIDATION_METRIC, mode="max", patience=patience)]


def _checkpoint(path: Path, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(path.parent, path.stem, enable_version_counter=False, **options)


def _epochs_between_validations(config: TrainingConfig) -> int:
    return max(round(config.validation.every / epoch_steps(config)), 1) if config.validation else 1


def _take_best(network: DescriptorNetwork, checkpoint: Path) -> None:
    if not checkpoint.is_file():
        return
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    prefix = "network."
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in saved["state_dict"].items() if k.startswith(prefix)}
    )
    log.info("weights of the best validation, at step %d", saved["global_step"])
