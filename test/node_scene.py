"""A scene and a model whose right answers are known, and the node running on them."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
import torch
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.camera import PinholeCamera, RgbdFrame
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.nodes.client import DescriptorClient, start_node

WIDTH, HEIGHT, MARGIN = 256, 192, 64
CAMERA = PinholeCamera(240.0, 240.0, 127.5, 95.5, WIDTH, HEIGHT)
DEPTH = 0.8
STAMPS = count(1_000_000_000, 50_000_000)


def local_model(seed: int = 0) -> DescriptorModel:
    """A model with random weights that sees only about 40 px around each feature.

    Far from the image's border its descriptors move exactly with a picture moved by whole features,
    4 px, so that there the best match is the right one.
    """
    torch.manual_seed(seed)
    network = DescriptorNetwork(NetworkConfig("resnet18", 4, 16))
    assert network.pyramid is not None
    with torch.no_grad():
        for lateral in list(network.pyramid.laterals)[1:]:
            lateral.weight.zero_()
            lateral.bias.zero_()
    return DescriptorModel(network, device="cpu")


def scene(dx: int = 0, dy: int = 0, **changes: Any) -> RgbdFrame:
    """A random texture on a wall at DEPTH, moved by (dx, dy) px, up to MARGIN; newer each time."""
    blobs = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    wall = cv2.resize(blobs, (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN))
    values: dict[str, Any] = {
        "image": wall[MARGIN - dy :, MARGIN - dx :][:HEIGHT, :WIDTH].copy(),
        "depth": np.full((HEIGHT, WIDTH), DEPTH, np.float32),
        "camera": CAMERA,
        "stamp_ns": next(STAMPS),
        "frame_id": "camera_optical",
    }
    return RgbdFrame(**values | changes)


def pixel(u: float, v: float) -> Pixel:
    return Pixel(u=float(u), v=float(v))


@dataclass
class RunningNode:
    """The node as a process, its folder, and a client of it."""

    process: subprocess.Popen[str]
    client: DescriptorClient
    folder: Path

    def register(self, name: str, u: float, v: float, **request: Any) -> Any:
        return self.client.call("register_reference", name=name, pixel=pixel(u, v), **request)

    def names(self) -> list[str]:
        return [info.name for info in self.client.call("list_references").references]

    def clear(self) -> None:
        """Remove all references."""
        for name in self.names():
            assert self.client.call("remove_reference", name=name).success

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        ros = self.client.node
        service = ros.create_client(SetParameters, "/descriptor_node/set_parameters")
        parameters = [Parameter(name, value=value).to_parameter_msg()]
        future = service.call_async(SetParameters.Request(parameters=parameters))
        self.client.wait(future.done, f"setting {name}")
        ros.destroy_client(service)
        return future.result().results[0]

    def wait_for_value(self, key: str, value: str) -> None:
        """Wait until a value in the diagnostics is this one."""
        self.client.wait(lambda: self.client.values().get(key) == value, f"{key} = {value}")


@contextmanager
def running_node(folder: Path, **parameters: object) -> Iterator[RunningNode]:
    """Run the node with a folder of its own: weights.safetensors and references/ are in it."""
    weights = folder / "weights.safetensors"
    if not weights.exists():
        local_model().save(weights)
    own = {"weights": weights, "references": folder / "references", "threads": 1}
    rclpy.init()
    process = start_node({**own, **parameters})
    client = DescriptorClient()
    try:
        client.wait_until_connected()
        yield RunningNode(process, client, folder)
    finally:
        client.close()
        rclpy.try_shutdown()
        process.kill()
        process.wait()


def stop(node: RunningNode, number: signal.Signals) -> int:
    """Send a signal to the node, and return its exit code."""
    node.process.send_signal(number)
    return node.process.wait(timeout=30)
