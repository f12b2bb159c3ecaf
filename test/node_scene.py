"""The node as a process of its own, running on the scene and the model of `local_scene`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import rclpy
from forked_node import forked_node
from local_scene import local_model
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.nodes.client import DescriptorClient
from dense_desc_ros.nodes.parameters import NodeParameters


def pixel(u: float, v: float) -> Pixel:
    return Pixel(u=float(u), v=float(v))


@dataclass
class RunningNode:
    """The node as a process, its folder, and a client of it."""

    process: BaseProcess
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
        # rclpy cannot tell of what an empty list is one.
        kind = Parameter.Type.DOUBLE_ARRAY if value == [] else None
        parameters = [Parameter(name, kind, value).to_parameter_msg()]
        future = service.call_async(SetParameters.Request(parameters=parameters))
        self.client.wait(future.done, f"setting {name}")
        ros.destroy_client(service)
        return future.result().results[0]

    @contextmanager
    def having(self, name: str, value: object) -> Iterator[None]:
        """A parameter that has another value than its default for a while."""
        result = self.set_parameter(name, value)
        assert result.successful, result.reason
        try:
            yield
        finally:
            default = getattr(NodeParameters(), name)
            assert self.set_parameter(name, [] if default == () else default).successful

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
    with forked_node(folder / "log", **{**own, **parameters}) as process:
        client = DescriptorClient()
        try:
            client.wait_until_connected()
            yield RunningNode(process, client, folder)
        finally:
            client.close()
            rclpy.try_shutdown()
