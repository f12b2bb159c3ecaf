"""The process of the node that picks: starts it, and stops the arm before it ends.

Exit codes: 0 when told to stop by SIGINT or SIGTERM, 2 when it cannot start, with one line on
standard error that says why.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.signals import SignalHandlerOptions

from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.pick_server import NODE_NAME, PickNode

TURN = 0.1  # s between two looks for a signal
LAST_WORDS = 0.5  # s that the result of a pick has to leave the process
STOPPING = 10.0  # s that the arm has to stop


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    with _told_by_signals() as told:
        try:
            _initialise(arguments)
            _spin(PickNode(), told)
        except (DenseDescError, ParameterException) as error:
            print(f"{NODE_NAME}: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0


@contextmanager
def _told_by_signals() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM. Left to rclpy they would cut the connection that stops the arm."""
    told = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: told.set()) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _initialise(arguments: list[str] | None) -> None:
    # What rcl itself logs when it cannot read a parameter file says less than its exception.
    set_logger_level("rcl", LoggingSeverity.FATAL)
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise InvalidInputError(error) from error
    finally:
        set_logger_level("rcl", LoggingSeverity.UNSET)


def _spin(node: PickNode, told: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not told.is_set():
            _turn(executor, node)
        node.halt()
        end = time.monotonic() + STOPPING
        while node.is_picking and time.monotonic() < end:
            _turn(executor, node)
        end = time.monotonic() + LAST_WORDS
        while time.monotonic() < end:
            _turn(executor, node)
    finally:
        executor.shutdown()
        node.release()


def _turn(executor: SingleThreadedExecutor, node: PickNode) -> None:
    try:
        executor.spin_once(timeout_sec=TURN)
    except Exception as error:  # such as a message that the middleware cannot deserialise
        node.get_logger().error(f"message refused: {error!r}")


if __name__ == "__main__":
    sys.exit(main())
