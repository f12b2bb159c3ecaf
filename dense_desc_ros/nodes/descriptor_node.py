"""The process of the node: starts it, keeps it going, and ends it well.

Exit codes: 0 when told to stop by SIGINT or SIGTERM, 2 when it cannot start, with one line on
standard error that says why.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import install_signal_handlers, uninstall_signal_handlers

from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.process import initialise
from dense_desc_ros.nodes.shared_memory import make_room_for_images
from dense_desc_ros.waiting_threads import sleep_while_waiting

if TYPE_CHECKING:
    from dense_desc_ros.nodes.node import DescriptorNode


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    sleep_while_waiting()
    with _obeying_signals() as started:
        try:
            make_room_for_images()
            initialise(arguments)
            node = _load()
            if node.autostart and not node.start():
                return 2  # the node has logged why
            started(node)
            _spin(node)
        except (DenseDescError, ParameterException) as error:
            print(f"descriptor_node: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0


@contextmanager
def _obeying_signals() -> Iterator[Callable[["DescriptorNode"], None]]:
    """End the process at once on SIGINT and SIGTERM while it loads, and has nothing to lose.

    Yields what is to be called with the node once it is started: from then on a signal ends the
    executor, unless the node is being configured.

    An exception would not do: raised within the import of torch it aborts the process.
    """
    node: DescriptorNode | None = None

    def handle(*_: object) -> None:
        if node is None or node.is_configuring:
            os._exit(0)

    def started(running: "DescriptorNode") -> None:
        nonlocal node
        install_signal_handlers()  # of rclpy, which wake the executor up and call the one above
        node = running

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield started
    finally:
        uninstall_signal_handlers()
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _load() -> "DescriptorNode":
    from dense_desc_ros.nodes.node import DescriptorNode  # slow, so only where signals are obeyed

    try:
        return DescriptorNode()
    except RuntimeError as error:  # of rcl: among others, what is wrong with its security
        raise InvalidInputError(f"cannot join the ROS graph: {error}") from error


def _spin(node: "DescriptorNode") -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            try:
                executor.spin()
            except ExternalShutdownException:
                break
            except Exception as error:
                if rclpy.ok():  # else it is no wonder
                    node.survive(error)
    finally:
        node.release()


if __name__ == "__main__":
    sys.exit(main())
