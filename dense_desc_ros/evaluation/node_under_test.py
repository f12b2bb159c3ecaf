"""The node as benchmarks run it: in a process, a ROS graph and a folder of its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.nodes.client import DescriptorClient
from dense_desc_ros.nodes.graph import running_node

CONNECTING = 600.0  # s that a busy machine may take to start the node


@dataclass(frozen=True)
class NodeUnderTest:
    """A running node.

    Attributes:
        client: its camera, user and watcher, connected.
        folder: all that it may use is in here: `references`, and `log`, what it says.
    """

    client: DescriptorClient
    folder: Path

    @property
    def references(self) -> Path:
        return self.folder / "ros" / "references"

    @property
    def log(self) -> Path:
        return self.folder / "log"


@contextmanager
def node_under_test(
    weights: Path | None = None, network: NetworkConfig | None = None, **parameters: object
) -> Iterator[NodeUnderTest]:
    """Run the node for a while.

    Args:
        weights: of the model; None takes random ones.
        network: to take random weights of; None is the default network.
        parameters: of the node, besides its weights and references.

    Raises:
        DenseDescError: unusable weights, or the node does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="node_under_test_") as name:
        folder = Path(name)
        if weights is None:
            weights = random_weights(folder / "weights.safetensors", network)
        DescriptorModel.load(weights, device="cpu")  # here a fault in it is told at once
        own = {"weights": weights.resolve(), "references": folder / "ros" / "references"}
        namespace = f"/benchmark_{os.getpid()}"
        with running_node({**own, **parameters}, folder / "log", namespace) as client:
            client.wait_until_connected(CONNECTING)
            yield NodeUnderTest(client, folder)


def random_weights(path: Path, network: NetworkConfig | None = None) -> Path:
    """Write the weights of an untrained model, and return where."""
    DescriptorModel(DescriptorNetwork(network or NetworkConfig()), device="cpu").save(path)
    return path
