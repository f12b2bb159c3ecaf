"""The training step and the validation step, as a Lightning module."""

import copy

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
from dense_desc_ros.training.objectives.keypoint import KeypointObjective
from dense_desc_ros.training.objectives.ntxent import NtxentObjective

VALIDATION_METRIC = "validation_auc"


class DescriptorTraining(lightning.LightningModule):
    """Trains a network on batches of pairs of views, as the objective wants them."""

    def __init__(self, network: DescriptorNetwork, config: TrainingConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.objective = make_objective(config)

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
        return DescriptorModel(copy.deepcopy(self.network), device=str(self.device))

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
        decayed = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]  # biases and normalisation
        settings = self.config.optimisation
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            # A tenth of the time; Lightning does not clip gradients for it in mixed precision.
            fused=settings.precision == "32-true",
        )
        schedule = OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def make_objective(config: TrainingConfig) -> Objective:
    """What a configuration asks for: one objective, or the sum of several."""
    parts: dict[str, Objective] = {}
    if config.ntxent:
        parts["ntxent"] = NtxentObjective(config.ntxent)
    if config.keypoint:
        parts["keypoint"] = KeypointObjective(config.keypoint)
    if config.canonical:
        parts["canonical"] = CanonicalObjective(config.canonical, config.network.descriptor_dim)
    return SumOfObjectives(parts) if len(parts) > 1 else parts.popitem()[1]
