"""The process of the node: starts it, keeps it going, and ends it well.

Exit codes: 0 when told to stop by SIGINT or SIGTERM, 2 when it cannot start, with one line on
standard error that says why.
"""

import sys

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level

from dense_desc_ros.errors import DenseDescError, InvalidInputError


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; ROS arguments as usual (--ros-args ...)."""
    try:
        _initialise(arguments)
        return _run()
    except (DenseDescError, ParameterException) as error:
        return _cannot_start(error)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        rclpy.try_shutdown()


def _initialise(arguments: list[str] | None) -> None:
    # What rcl itself logs when it cannot read a parameter file says less than its exception.
    set_logger_level("rcl", LoggingSeverity.FATAL)
    try:
        rclpy.init(args=arguments)
    except RuntimeError as error:
        raise InvalidInputError(error) from error
    finally:
        set_logger_level("rcl", LoggingSeverity.UNSET)


def _run() -> int:
    # Here, since it takes seconds and a signal in the meantime should be obeyed too.
    from dense_desc_ros.nodes.node import DescriptorNode

    node = DescriptorNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            try:
                executor.spin()
            except ExternalShutdownException:
                break
            except Exception as error:
                # A message that cannot even be deserialised ends up here; it must not end the node.
                node.refuse("malformed", f"{type(error).__name__}: {error}")
    finally:
        node.close()
    return 0


def _cannot_start(error: Exception) -> int:
    print(f"descriptor_node: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
