"""The training step, as a Lightning module."""

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.ntxent import ntxent


class DescriptorTraining(lightning.LightningModule):
    """Trains a network on batches of corresponding pixels (see `pairs.AugmentedPairs`)."""

    def __init__(self, network: DescriptorNetwork, config: TrainingConfig) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        images = batch["images"].flatten(0, 1).float().div_(255)
        features = self.network(images.contiguous(memory_format=torch.channels_last))
        descriptors = sample_batch(features, batch["pixels"].flatten(0, 1), images.shape[-2:])
        a, b = descriptors.unflatten(0, (-1, 2)).unbind(dim=1)
        negatives = features.flatten(2).transpose(1, 2).unflatten(0, (-1, 2)).flatten(1, 2)
        stride = self.config.network.output_stride
        near = near_features(batch["pixels"], features.shape[-2:], stride, self.config.exclusion)
        loss = ntxent(a, b, negatives, near, self.config.temperature)
        self.log("loss", loss, prog_bar=True)
        self.log("accuracy", retrieval_accuracy(a.detach(), b.detach()), prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]  # biases and normalisation
        rate, steps = self.config.learning_rate, self.config.steps
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=rate,
        )
        schedule = OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def sample_batch(features: Tensor, pixels: Tensor, size: torch.Size) -> Tensor:
    """Descriptors (B, N, D) of features (B, D, h, w) at pixels (B, N, 2); `size` of images (H, W).

    The same interpolation as `matching.sample`, with PyTorch's kernel, whose gradient is fast.
    """
    extent = pixels.new_tensor([size[1], size[0]])
    grid = ((pixels + 0.5) / extent * 2 - 1)[:, :, None]
    sampled = functional.grid_sample(
        features, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[..., 0].transpose(1, 2)


def near_features(pixels: Tensor, grid: torch.Size, stride: int, radius: float) -> Tensor:
    """Which features (B, N, 2·h·w) of two views lie within `radius` px of pixels (B, 2, N, 2).

    Features are numbered view by view and row by row; `grid` is (h, w).
    """
    v, u = ((torch.arange(n, device=pixels.device) + 0.5) * stride - 0.5 for n in grid)
    centres = torch.cartesian_prod(v, u).flip(1)
    near = torch.cdist(pixels, centres.expand(*pixels.shape[:2], -1, -1)) < radius
    return torch.cat(near.unbind(dim=1), dim=2)


def retrieval_accuracy(a: Tensor, b: Tensor) -> Tensor:
    """Share of descriptors a (B, N, D) that are most similar to their counterpart in b."""
    similarity = functional.normalize(a, dim=2) @ functional.normalize(b, dim=2).transpose(1, 2)
    truth = torch.arange(a.shape[1], device=a.device)
    return (similarity.argmax(dim=2) == truth).float().mean()
