"""The node as a process forked off one that has imported all of it: that starts in no time."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from dense_desc_ros.nodes.descriptor_node import main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["dense_desc_ros.nodes.node"])


@contextmanager
def forked_node(log: Path, *arguments: str, **parameters: object) -> Iterator[BaseProcess]:
    """Run the node with these parameters and further ROS arguments; what it says is in the log."""
    for name, value in parameters.items():
        arguments += ("-p", f"{name}:={value}")
    command = ["descriptor_node", "--ros-args", *arguments]
    # The process that all are forked off keeps the environment that it was started in.
    graph = {name: value for name, value in os.environ.items() if name.startswith("ROS_")}
    process = FORKS.Process(target=_run, args=(log, command, graph))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _run(log: Path, command: list[str], graph: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("ROS_")]:
        del os.environ[name]
    os.environ.update(graph)
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.exit(main(command))
