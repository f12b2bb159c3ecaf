"""The process of the node: starts it, keeps it going, and ends it well.

Exit codes: 0 when told to stop by SIGINT or SIGTERM, 2 when it cannot start, with one line on
standard error that says why.
"""

import sys
import threading
from typing import TYPE_CHECKING

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor

from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.process import initialise, told_by_signals, turn
from dense_desc_ros.nodes.shared_memory import make_room_for_images
from dense_desc_ros.waiting_threads import sleep_while_waiting

if TYPE_CHECKING:
    from dense_desc_ros.nodes.node import DescriptorNode


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    sleep_while_waiting()
    node: DescriptorNode | None = None
    with told_by_signals(lambda: node is None or node.is_configuring) as told:
        try:
            make_room_for_images()
            initialise(arguments)
            node = _load()
            if node.autostart and not node.start():
                return 2  # the node has logged why
            _spin(node, told)
        except (DenseDescError, ParameterException) as error:
            print(f"descriptor_node: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0


def _load() -> "DescriptorNode":
    from dense_desc_ros.nodes.node import DescriptorNode  # slow, so only where signals are obeyed

    try:
        return DescriptorNode()
    except RuntimeError as error:  # of rcl: among others, what is wrong with its security
        raise InvalidInputError(f"cannot join the ROS graph: {error}") from error


def _spin(node: "DescriptorNode", told: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not told.is_set():
            turn(executor, node.survive)
    finally:
        node.release()


if __name__ == "__main__":
    sys.exit(main())
