"""What is optimised: one file per objective."""

from typing import Protocol

from torch import Tensor

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
