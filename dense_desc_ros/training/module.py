"""The training step and the validation step, as a Lightning module."""

import copy
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.evaluation.pck import auc, pck, pixel_errors
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.objectives import Batch, Objective, SumOfObjectives
from dense_desc_ros.training.objectives.canonical import CanonicalObjective
from dense_desc_ros.training.objectives.class_aware import ClassAwareObjective
from dense_desc_ros.training.objectives.contrastive import ContrastiveObjective
from dense_desc_ros.training.objectives.distribution import DistributionObjective
from dense_desc_ros.training.objectives.guided import GuidedObjective
from dense_desc_ros.training.objectives.keypoint import KeypointObjective
from dense_desc_ros.training.objectives.ntxent import NtxentObjective
from dense_desc_ros.training.objectives.optimal import (
    OptimalConfig,
    OptimalObjective,
    surface_points,
)

VALIDATION_METRIC = "validation_auc"
# Share of the steps. Of 10 steps a tenth exactly would take no time, by which OneCycleLR divides.
WARM_UP = 0.1 + 1e-9


class DescriptorTraining(lightning.LightningModule):
    """Trains a network on batches of pairs of views, as the objective wants them."""

    def __init__(self, network: DescriptorNetwork, config: TrainingConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.objective = make_objective(config)
        if config.frozen:
            for part in network.backbone_parts():
                part.requires_grad_(False)

    def on_train_start(self) -> None:
        if self.config.frozen:  # its batch statistics stay as they are, too
            for part in self.network.backbone_parts():
                part.eval()
        if self.config.fixed_statistics:
            for part in self.network.inner_normalisations():
                part.eval()

    def on_fit_start(self) -> None:
        # On the CPU, gradients in full precision take a tenth longer that way.
        if self.device.type == "cuda" or self.config.optimisation.precision != "32-true":
            self.network.to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        images = batch["images"].flatten(0, 1).float().div_(255)
        features = self.network(images)
        values = self.objective(self.network, features, batch)
        loss = values.pop("loss")
        self.log("loss", loss, prog_bar=True)
        self.log_dict({name: value.detach() for name, value in values.items()}, prog_bar=True)
        return loss

    def snapshot(self) -> DescriptorModel:
        """A model with the weights as they are now, which leaves those in training alone."""
        network = copy.deepcopy(self.network)
        return DescriptorModel(network, self.config.metric, str(self.device))

    def on_validation_epoch_start(self) -> None:
        self._validated = self.snapshot()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """AUC of PCK of matching whole frames, without augmentation."""
        model = self._validated
        for images, pixels in zip(batch["images"], batch["pixels"], strict=True):
            a, b = images.permute(0, 2, 3, 1).cpu().numpy()
            truth_a, truth_b = pixels.cpu().numpy()
            found = model.describe(b).match(model.describe(a).sample(truth_a)).pixels
            errors = pixel_errors(found.cpu().numpy().astype(np.float64), truth_b, *b.shape[:2])
            self.log(VALIDATION_METRIC, auc(pck(errors)), prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        del self._validated  # a whole network

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        trained = [p for p in self.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]  # biases and normalisation
        settings = self.config.optimisation
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            # A tenth of the time; Lightning does not clip gradients for it in mixed precision.
            fused=settings.precision == "32-true",
        )
        schedule = OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=WARM_UP
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def make_objective(config: TrainingConfig) -> Objective:
    """What a configuration asks for: one objective, or the sum of several.

    Raises:
        DataError: optimal descriptors are asked for, of data that do not show what they need.
    """
    parts = {name: MAKERS[name](getattr(config, name), config) for name in config.objectives}
    return SumOfObjectives(parts) if len(parts) > 1 else parts.popitem()[1]


def _make_optimal(settings: OptimalConfig, config: TrainingConfig) -> Objective:
    assert config.twins
    points = surface_points(config.twins.path)
    return OptimalObjective(settings, points, config.network.descriptor_dim)


MAKERS: dict[str, Callable[[Any, TrainingConfig], Objective]] = {
    "ntxent": lambda settings, _: NtxentObjective(settings),
    "guided": lambda settings, config: GuidedObjective(
        settings, config.network.descriptor_dim, config.optimisation.steps
    ),
    "keypoint": lambda settings, _: KeypointObjective(settings),
    "canonical": lambda settings, config: CanonicalObjective(
        settings, config.network.descriptor_dim
    ),
    "contrastive": lambda settings, _: ContrastiveObjective(settings),
    "class_aware": lambda settings, _: ClassAwareObjective(settings),
    "distribution": lambda settings, _: DistributionObjective(settings),
    "optimal": _make_optimal,
}
