"""What the processes of nodes have in common: their beginning, signals, and surviving messages."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import Executor
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from dense_desc_ros.errors import InvalidInputError

TURN = 0.1  # s between two looks for a signal


def initialise(arguments: list[str] | None) -> None:
    """Begin with ROS, and leave the signals to us.

    Args:
        arguments: ROS arguments as usual (--ros-args ...); those of the process if None.

    Raises:
        InvalidInputError: they cannot be used, such as a parameter file that cannot be read.
    """
    # What rcl itself logs when it cannot read a parameter file says less than its exception.
    set_logger_level("rcl", LoggingSeverity.FATAL)
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise InvalidInputError(error) from error
    finally:
        set_logger_level("rcl", LoggingSeverity.UNSET)


@contextmanager
def told_by_signals(
    has_nothing_to_lose: Callable[[], bool] = lambda: False,
) -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM, however often they come.

    Left to rclpy the first would cut all connections, also one that an arm is to be stopped by, and
    the second, which launch sends when Ctrl-C has sent one already, would interrupt the ending. Nor
    does its executor always wake up: it may go back to sleep before the context is shut down.

    Args:
        has_nothing_to_lose: while this is true a signal ends the process at once, which may be busy
            for seconds. An exception would not do: raised within the import of torch it aborts.
    """
    told = threading.Event()

    def tell(*_: object) -> None:
        if has_nothing_to_lose():
            os._exit(0)
        told.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, tell) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def turn(executor: Executor, survive: Callable[[Exception], None]) -> None:
    """Do what is to be done next, or nothing for TURN; `survive` is told whatever that raises."""
    try:
        executor.spin_once(timeout_sec=TURN)
    except Exception as error:  # such as a message that the middleware cannot deserialise
        survive(error)


def log_refused(node: Node, error: Exception) -> None:
    """Survive a message by logging why it was refused."""
    node.get_logger().error(f"message refused: {error!r}")
