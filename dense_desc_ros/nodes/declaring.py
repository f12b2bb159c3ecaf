"""The fields of a dataclass declared as the parameters of a node."""

import array
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar("T")


def declare(node: Node, kind: type[T], is_fixed: Callable[[Any], bool] = lambda item: True) -> T:
    """Declare a parameter for each field and return their values.

    Args:
        node: declares.
        kind: dataclass; the metadata of its fields has a "description", and "limits" or None.
        is_fixed: whether the parameter of a field can be set at the start only.

    Raises:
        rclpy.exceptions.ParameterException: a value of the wrong type or out of its range.
    """
    return kind(
        **{
            item.name: plain(node.declare_parameter(item.name, *_declaration(item, is_fixed)).value)
            for item in fields(kind)  # type: ignore[arg-type]  # mypy knows no type of dataclasses
        }
    )


def plain(value: Any) -> Any:
    """The value of a parameter, with an array as a tuple, empty when not set."""
    return tuple(value or ()) if value is None or isinstance(value, array.array | list) else value


def _declaration(
    item: Field[Any], is_fixed: Callable[[Any], bool]
) -> tuple[Any, ParameterDescriptor]:
    descriptor = ParameterDescriptor(
        description=item.metadata["description"], read_only=is_fixed(item)
    )
    limits = item.metadata["limits"]
    if limits and isinstance(item.default, int):
        descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1], step=1)]
    elif limits:
        low, high = (float(limit) for limit in limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    # rclpy cannot tell of what an empty list is one; without a value it takes the type.
    default = Parameter.Type.DOUBLE_ARRAY if item.default == () else item.default
    return default, descriptor
