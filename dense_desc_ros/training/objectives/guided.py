"""NT-Xent guided by canonical coordinates: contrast that need not find its way from nothing.

Contrast between views is what ends up most precise, but from scratch it has to agree on a name for
every point before it can agree upon anything. Classification of canonical coordinates hands out the
names: it learns fast, and then stands in the way of precision. So both are minimised together, and
the weight of the classification falls to zero on the way. The temperature of NT-Xent is learnt, as
in Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dense_desc_ros.configuration import require_positive
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.objectives.canonical import CanonicalConfig, CanonicalObjective
from dense_desc_ros.training.objectives.ntxent import NtxentConfig, NtxentObjective

COLDEST, HOTTEST = 0.02, 0.5  # temperatures that can be learnt


@dataclass(frozen=True)
class GuidedConfig:
    """Settings of the objective.

    Attributes:
        points: correspondences in a pair.
        temperature: of NT-Xent, at first.
        exclusion: what lies nearer to a point than this is no other point, pixels.
        guidance: weight of the classification at first.
        fade: share of the training after which that is zero.
        canonical: settings of the classification.
    """

    points: int = 512
    temperature: float = 0.07
    exclusion: float = 12.0
    guidance: float = 1.0
    fade: float = 0.7
    canonical: CanonicalConfig = CanonicalConfig()

    def __post_init__(self) -> None:
        require_positive(self, "points", "guidance", "fade")
        if not COLDEST <= self.temperature <= HOTTEST:
            raise InvalidInputError(
                f"temperature {self.temperature} is not in [{COLDEST}, {HOTTEST}]"
            )


class GuidedObjective(nn.Module):
    """The sum of NT-Xent and of the classification, whose weight falls linearly.

    The batch holds `pixels` (B, 2, N, 2), where [b, 0, n] and [b, 1, n] show the same point, and
    `canonical` (B, 2, H, W, 3), NaN off the object.

    Args:
        config: settings.
        descriptor_dim: D.
        steps: of the training.
    """

    def __init__(self, config: GuidedConfig, descriptor_dim: int, steps: int) -> None:
        super().__init__()
        self.config, self.fading_steps = config, max(config.fade * steps, 1)
        self.canonical = CanonicalObjective(config.canonical, descriptor_dim)
        self.log_temperature = nn.Parameter(torch.tensor(config.temperature).log())
        self.step: Tensor
        self.register_buffer("step", torch.tensor(0))  # a resumed training goes on from it

    def forward(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`; the two terms, the temperature and the weight are given too."""
        with torch.no_grad():
            self.log_temperature.clamp_(math.log(COLDEST), math.log(HOTTEST))
        temperature = self.log_temperature.exp()
        settings = NtxentConfig(self.config.points, exclusion=self.config.exclusion)
        contrast = NtxentObjective(settings, temperature)(network, features, batch)
        guidance = self.canonical(network, features, batch)
        weight = self.config.guidance * (1 - self.step / self.fading_steps).clamp_min(0)
        if self.training:
            self.step += 1
        return {
            "loss": contrast["loss"] + weight * guidance["loss"],
            "contrast": contrast["loss"],
            "guidance": guidance["loss"],
            "temperature": temperature,
            "weight": weight,
        }
