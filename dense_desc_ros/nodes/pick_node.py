"""The process of the node that picks: starts it, and stops the arm before it ends.

Exit codes: 0 when told to stop by SIGINT or SIGTERM, 2 when it cannot start, with one line on
standard error that says why.
"""

import sys
import threading
import time
from functools import partial

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.nodes.pick_server import NODE_NAME, PickNode
from dense_desc_ros.nodes.process import initialise, log_refused, told_by_signals, turn

LAST_WORDS = 0.5  # s that the result of a pick has to leave the process
STOPPING = 10.0  # s that the arm has to stop


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    with told_by_signals() as told:
        try:
            initialise(arguments)
            _spin(PickNode(), told)
        except (DenseDescError, ParameterException) as error:
            print(f"{NODE_NAME}: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0


def _spin(node: PickNode, told: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    survive = partial(log_refused, node)
    try:
        while not told.is_set():
            turn(executor, survive)
        node.halt()
        end = time.monotonic() + STOPPING
        while node.is_picking and time.monotonic() < end:
            turn(executor, survive)
        end = time.monotonic() + LAST_WORDS
        while time.monotonic() < end:
            turn(executor, survive)
    finally:
        executor.shutdown()
        node.release()


if __name__ == "__main__":
    sys.exit(main())
