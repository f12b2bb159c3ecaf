"""Pixelwise NT-Xent: normalised temperature-scaled cross-entropy of corresponding descriptors.

Source: Adrian et al., "Efficient and Robust Training of Dense Object Nets for Multi-Object Robot
Manipulation" (ICRA 2022), after Chen et al., "A Simple Framework for Contrastive Learning of Visual
Representations" (2020).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.keypoints import feature_centres
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.sampling import sample_batch, squared_distances

# Logits at once, by whether it is a CPU: few stay in its cache, many keep a GPU busy.
MOST_LOGITS = {True: 2**20, False: 2**28}


@dataclass(frozen=True)
class NtxentConfig:
    """Settings of the objective.

    Attributes:
        points: correspondences in a pair.
        temperature: τ; the smaller, the more the nearest wrong places count.
        exclusion: what lies nearer to a point than this is no other point, pixels.
        background: features away from the objects, drawn from all views of a batch, that are
            negatives of every point beside those of its own two views; for twins.
    """

    points: int = 512
    temperature: float = 0.07
    exclusion: float = 12.0
    background: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "points", "temperature")
        if self.background < 0:
            raise InvalidInputError(f"background must not be negative, got {self.background}")


class NtxentObjective:
    """NT-Xent of corresponding pixels with all features of both views as negatives.

    The batch holds `pixels` (B, 2, N, 2), where [b, 0, n] and [b, 1, n] show the same point, and,
    if features of the background are wanted, `masks` (B, 2, H, W) bool of the objects.

    Args:
        config: settings.
        temperature: takes the place of the settings' one, where that is learnt.
    """

    def __init__(self, config: NtxentConfig, temperature: Tensor | None = None) -> None:
        self.config = config
        self.temperature = config.temperature if temperature is None else temperature

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        size, pixels = batch["images"].shape[-2:], batch["pixels"]
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            descriptors = sample_batch(features, pixels.flatten(0, 1), size)
            a, b = descriptors.unflatten(0, (-1, 2)).unbind(dim=1)
            negatives = features.flatten(2).transpose(1, 2).unflatten(0, (-1, 2)).flatten(1, 2)
            stride = network.config.output_stride
            near = near_features(pixels, features.shape[-2:], stride, self.config.exclusion)
            if not network.config.learned_scale:
                a, b, negatives = (functional.normalize(x, dim=2) for x in (a, b, negatives))
            if self.config.background:
                masks = batch["masks"].flatten(0, 1)
                rows = background_rows(masks, features.shape[-2:], self.config.background)
                others = negatives.flatten(0, 1)[rows].expand(len(a), -1, -1)
                negatives = torch.cat([negatives, others], dim=1)
                near = functional.pad(near, (0, others.shape[1]))
            loss = ntxent(a, b, negatives, near, self.temperature)
        return {"loss": loss, "accuracy": retrieval_accuracy(a.detach(), b.detach())}


def ntxent(
    a: Tensor, b: Tensor, negatives: Tensor, excluded: Tensor, temperature: float | Tensor
) -> Tensor:
    """NT-Xent of corresponding descriptors, averaged over all of them as anchors.

    For an anchor z_i with its counterpart z_j and negatives z_k,
    l_ij = -log( exp(s_ij / τ) / (exp(s_ij / τ) + Σ_k exp(s_ik / τ)) ), s_ij = -‖z_i - z_j‖² / 2.
    Of descriptors of length one that is the published z_i·z_j, but for a constant.

    Args:
        a, b: (B, N, D) descriptors; a[i, n] and b[i, n] are of the same surface point.
        negatives: (B, M, D) descriptors of other points of the same two views. Those of other
            pairs are not used: another picture may well show the same object.
        excluded: (B, N, M) bool, where a negative is too near to the point to count as another.
        temperature: τ > 0.

    Returns:
        A scalar, zero when every anchor is infinitely closer to its counterpart than to the rest.
    """
    temperature = torch.as_tensor(temperature, dtype=a.dtype, device=a.device)
    rest = negatives, excluded, temperature
    return (_CrossEntropy.apply(a, b, *rest) + _CrossEntropy.apply(b, a, *rest)) / 2


class _CrossEntropy(torch.autograd.Function):
    """Mean of l_ij over the anchors, with its gradients, by one pass over a part of the pairs.

    PyTorch's functions would write and read a (B, N, M) array at every step, forward and backward,
    which on a processor took nearly as long as the network. Logits are greater by ‖z_i‖² / 2τ than
    those of the formula: what all of an anchor have in common cancels.
    """

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, negatives: Tensor, excluded: Tensor, temperature: Tensor
    ) -> Tensor:
        pairs = max(MOST_LOGITS[a.device.type == "cpu"] // excluded[0].numel(), 1)
        parts = [
            _loss_and_gradients(a[p], b[p], negatives[p], excluded[p], temperature)
            for p in (slice(first, first + pairs) for first in range(0, len(a), pairs))
        ]
        losses, *gradients = (torch.cat(results) for results in zip(*parts, strict=True))
        ctx.save_for_backward(*gradients)
        ctx.anchors = losses.numel()
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        a, b, negatives, temperature = (g * (outer[0] / ctx.anchors) for g in ctx.saved_tensors)
        return a, b, negatives, None, temperature.sum()


def _loss_and_gradients(
    a: Tensor, b: Tensor, negatives: Tensor, excluded: Tensor, temperature: Tensor
) -> tuple[Tensor, ...]:
    """l_ij (B, N) of anchors a, and the gradients of their sum: by a, b, negatives, and by the
    temperature, (B, N) to be summed."""
    lengths = negatives.square().sum(dim=2, keepdim=True) / 2
    logits = torch.baddbmm(-lengths.transpose(1, 2), a, negatives.transpose(1, 2)).div_(temperature)
    logits.masked_fill_(excluded, -torch.inf)
    positive = (a * b - b.square() / 2).sum(dim=2, keepdim=True) / temperature
    greatest = torch.maximum(logits.amax(dim=2, keepdim=True), positive)
    shares = logits.sub_(greatest).exp_()
    own = (positive - greatest).exp()
    total = shares.sum(dim=2, keepdim=True) + own
    shares.div_(total)  # the gradient by the logits of negatives
    slope = own / total - 1  # by the positive ones
    mean = shares @ negatives
    mean_logit = ((a * mean).sum(dim=2, keepdim=True) - shares @ lengths) / temperature
    weights = shares.sum(dim=1)[..., None]
    losses = total.log() + greatest - positive
    return (
        losses[..., 0],
        (mean + slope * b) / temperature,
        slope * (a - b) / temperature,
        (shares.transpose(1, 2) @ a - weights * negatives) / temperature,
        -(mean_logit + slope * positive)[..., 0] / temperature,
    )


def near_features(pixels: Tensor, grid: torch.Size, stride: int, radius: float) -> Tensor:
    """Which features (B, N, 2·h·w) of two views lie within `radius` px of pixels (B, 2, N, 2).

    Features are numbered view by view and row by row; `grid` is (h, w).
    """
    centres = feature_centres(grid, stride, pixels.device)
    near = torch.cdist(pixels, centres.expand(*pixels.shape[:2], -1, -1)) < radius
    return torch.cat(near.unbind(dim=1), dim=2)


def background_rows(masks: Tensor, grid: torch.Size, count: int) -> Tensor:
    """Numbers (count,) of features that are away from the objects, drawn at random.

    Features (B, h, w) are numbered view by view and row by row. Those that touch a mask (B, H, W)
    and their neighbours, who see something of the object, are left out; if then fewer than `count`
    are left, they are all of these.
    """
    touched = functional.adaptive_max_pool2d(masks[:, None].float(), (grid[0], grid[1]))
    away = functional.max_pool2d(touched, kernel_size=3, stride=1, padding=1) == 0
    rows = torch.nonzero(away.flatten())[:, 0]
    return rows[torch.randperm(len(rows), device=rows.device)[:count]]


def retrieval_accuracy(a: Tensor, b: Tensor) -> Tensor:
    """Share of descriptors a (B, N, D) whose nearest one in b is their counterpart."""
    truth = torch.arange(a.shape[1], device=a.device)
    return (squared_distances(a, b).argmin(dim=2) == truth).float().mean()
