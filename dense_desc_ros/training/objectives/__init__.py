"""What is optimised: one file per objective."""

from typing import Protocol

import torch
from torch import Tensor, nn

from dense_desc_ros.network import DescriptorNetwork

Batch = dict[str, Tensor]


class Objective(Protocol):
    """A loss of a network on a batch of pairs of views."""

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """Scalars: "loss", and whatever else is worth watching.

        Args:
            network: what is trained; it may have further heads.
            features: (2·B, D, h, w), what the network makes of the views, pair by pair.
            batch: images (B, 2, 3, H, W) uint8, and what else the objective asks the data for.
        """
        ...


class SumOfObjectives(nn.Module):
    """Several objectives at once; the loss of each is also given under its name."""

    def __init__(self, parts: dict[str, Objective]) -> None:
        super().__init__()
        self.parts = parts
        self.learned = nn.ModuleList(p for p in parts.values() if isinstance(p, nn.Module))

    def forward(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """See `Objective`."""
        values: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            found = part(network, features, batch)
            values |= {name: found.pop("loss")} | found
        return {"loss": torch.stack([values[name] for name in self.parts]).sum()} | values
