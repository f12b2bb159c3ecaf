"""The node as a process forked off one that has imported all of it: that starts in no time."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dense_desc_ros.nodes.descriptor_node import main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["dense_desc_ros.nodes.node"])


@contextmanager
def forked_node(log: Path, *arguments: str, **parameters: object) -> Iterator[BaseProcess]:
    """Run the node with these parameters and further ROS arguments; what it says is in the log."""
    for name, value in parameters.items():
        arguments += ("-p", f"{name}:={value}")
    command = ["descriptor_node", "--ros-args", *arguments]
    process = FORKS.Process(target=_run, args=(log, command))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def end(process: BaseProcess, number: signal.Signals) -> int | None:
    """Send a signal to the process, and return its exit code."""
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(timeout=90)  # on a machine that is busy with other tests
    return process.exitcode


def _run(log: Path, command: list[str]) -> Any:
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.exit(main(command))
