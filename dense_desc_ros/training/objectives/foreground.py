"""Cross-entropy of object and background, which the network's last two channels tell apart.

Objectives of correspondences compare whole descriptors, these two channels among them, so that they
too say how far apart object and background are to be. But they only know the two pictures of a
pair, while this knows what objects look like in all of them.
"""

from dataclasses import dataclass

from torch import Tensor

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.sampling import coverage

SMALLEST = 1e-12  # under a logarithm


@dataclass(frozen=True)
class ForegroundConfig:
    """Settings of the objective.

    Attributes:
        weight: of it, beside the objective that it is added to.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "weight")


class ForegroundObjective:
    """Mean over all features; those at an edge are as much object as their pixels are.

    The batch holds `masks` (B, 2, H, W) bool. The network must have `foreground`.

    Args:
        config: settings.
    """

    def __init__(self, config: ForegroundConfig) -> None:
        self.config = config

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; what of the pictures' area is told right is given too."""
        share = coverage(batch["masks"].flatten(0, 1), features.shape[-2:])
        probabilities = features[:, -2:].float().square() / network.config.foreground
        log_object, log_background = probabilities.clamp_min(SMALLEST).log().unbind(dim=1)
        loss = -(share * log_object + (1 - share) * log_background).mean()
        right = (log_object > log_background) == (share > 0.5)
        return {"loss": self.config.weight * loss, "told": right.float().mean()}
