"""A ROS graph of our own with the node in it, for a while: for demonstration and benchmark."""

import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import rclpy

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.nodes.client import DescriptorClient, start_node
from dense_desc_ros.nodes.shared_memory import PROFILES_FILE, make_room_for_images

LOG_END = 500  # characters of the node's log that an error shows


@contextmanager
def running_node(
    parameters: Mapping[str, object],
    log: Path,
    namespace: str = "",
    remappings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[DescriptorClient]:
    """The node, as another process, and its client, in a graph that no robot takes part in.

    Args:
        parameters: of the node.
        log: file for what the node says.
        namespace: of the node and of the camera that it listens to.
        remappings: name -> other name, of topics of the node.

    Raises:
        DenseDescError: something of the node was waited for in vain.
    """
    rules = {**({"__ns": namespace} if namespace else {}), **remappings}
    arguments = tuple(word for rule in rules.items() for word in ("-r", ":=".join(rule)))
    with private_graph(), log.open("w") as output:
        process = start_node(parameters, arguments, stdout=output, stderr=subprocess.STDOUT)
        with ended(process):
            client = DescriptorClient(f"{namespace}/descriptor_node", f"{namespace}/camera")
            try:
                yield client
            except TimeoutError as error:
                said = log.read_text()[-LOG_END:]
                raise DenseDescError(f"{error}; {log} ends with: {said}") from error
            finally:
                client.close()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process when it is no longer needed."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def private_graph() -> Iterator[None]:
    """A ROS domain by chance, on this machine only; the environment is put back afterwards."""
    graph = {
        "ROS_DOMAIN_ID": str(random.SystemRandom().randrange(1, 101)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    before = {name: os.environ.get(name) for name in (*graph, PROFILES_FILE)}
    os.environ.update(graph)
    make_room_for_images()
    rclpy.init()
    try:
        yield
    finally:
        rclpy.try_shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
