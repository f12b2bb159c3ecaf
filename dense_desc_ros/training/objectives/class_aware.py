"""Class-aware contrastive loss: other classes are to be further away than an object's other parts.

Source: Hadjivelichkov, Kanoulas, "Fully Self-Supervised Class Awareness in Dense Object
Descriptors" (CoRL 2021): beside the pixelwise contrastive loss, descriptors on different objects
are pushed apart, either by discrete labels (here: `hard` margins, all or nothing) or by the
confidence that two objects are alike (`soft` margins, which shrink with it).

What labels and confidence are is our choice. Labels are those of the data: the object's number, or
the same for all where a data set's instances are matched with each other. The confidence is the
cosine similarity of the mean descriptors of two objects, as they are at the moment.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.contrastive import match, non_match
from dense_desc_ros.training.objectives.sampling import sample_pairs, squared_distances

MARGINS = ("hard", "soft")


@dataclass(frozen=True)
class ClassAwareConfig:
    """Settings of the objective.

    Attributes:
        points: correspondences in a pair.
        margin: that non-matches on the same object should be apart, in the distance of descriptors.
        class_margin: the same of an object and the background, or one of another class.
        margins: "hard" or "soft", how the class margin depends on how alike two objects are.
        exclusion: what lies nearer to a point than this is no non-match, pixels.
    """

    points: int = 512
    margin: float = 0.5
    class_margin: float = 1.0
    margins: str = "hard"
    exclusion: float = 12.0

    def __post_init__(self) -> None:
        require_positive(self, "points", "margin", "class_margin")
        if self.margins not in MARGINS:
            raise InvalidInputError(f"unknown margins {self.margins!r}: use one of {MARGINS}")


class ClassAwareObjective:
    """Matches, and non-matches on the object, on the background and on the batch's other objects.

    The batch holds `pixels` (B, 2, N, 2), where [b, 0, n] and [b, 1, n] show the same point,
    `masks` (B, 2, H, W) bool, and `labels` (B, 2), the classes of the objects.
    """

    def __init__(self, config: ClassAwareConfig) -> None:
        self.config = config

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; the four terms are given too."""
        config, pairs = self.config, len(batch["pixels"])
        with torch.autocast(features.device.type, enabled=False):
            sampled = sample_pairs(features.float(), batch, network.config.output_stride)
            squared = squared_distances(sampled.a, sampled.others)
            far = sampled.distances >= config.exclusion
            own = sampled.on_object[:, None]
            # Points of each pair with features of every pair: (B, N, B, M).
            everything = sampled.others.flatten(0, 1).expand(pairs, -1, -1)
            across = squared_distances(sampled.a, everything).unflatten(2, (pairs, -1))
            other_pair = ~torch.eye(pairs, dtype=torch.bool, device=features.device)
            elsewhere = other_pair[:, None, :, None] & sampled.on_object[None, None]
            margins = config.class_margin * (1 - self.alike(sampled.a, sampled.b, batch["labels"]))
            losses = {
                "match": match(sampled.a, sampled.b),
                "masked": non_match(squared, far & own, config.margin),
                "background": non_match(squared, far & ~own, config.class_margin),
                "classes": non_match(across, elsewhere, margins[:, None, :, None]),
            }
            return {"loss": torch.stack(list(losses.values())).sum()} | losses

    def alike(self, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        """How alike (B, B), 0 to 1, the objects in first views and in second views are."""
        if self.config.margins == "hard":
            return (labels[:, None, 0] == labels[None, :, 1]).float()
        means = (functional.normalize(x.detach().mean(dim=1), dim=1) for x in (a, b))
        first, second = means
        return (first @ second.T).clamp_min(0)
