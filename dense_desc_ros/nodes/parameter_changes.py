"""The parameters of the node declared, and their changes checked and applied."""

import array
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.conversions import matrix_from_values
from dense_desc_ros.nodes.parameters import NodeParameters, Settable
from dense_desc_ros.references import check_name

TRANSPORTS = {
    "color_transport": ("raw", "compressed"),
    "depth_transport": ("raw", "compressedDepth"),
}


def declare_parameters(node: Node) -> NodeParameters:
    """Declare all parameters and return their values.

    Raises:
        rclpy.exceptions.ParameterException: a value of the wrong type or out of its range.
    """
    return NodeParameters(
        **{
            item.name: _plain(node.declare_parameter(item.name, *_declaration(item)).value)
            for item in fields(NodeParameters)
        }
    )


def check_values(parameters: NodeParameters) -> None:
    """Raise InvalidInputError for values that the node could not work with."""
    _ = parameters.settings
    if parameters.clicked_name:
        check_name(parameters.clicked_name)
    for name, known in TRANSPORTS.items():
        if (value := getattr(parameters, name)) not in known:
            raise InvalidInputError(f"{name} must be {' or '.join(known)}, got {value!r}")
    if parameters.depth_pose:
        matrix_from_values(parameters.depth_pose)


def check_change(now: NodeParameters, changed: NodeParameters, is_active: bool) -> None:
    """Whether a node that is configured, and perhaps active, can take these values.

    Raises:
        InvalidInputError: values that it could not work with, or that are needed before.
    """
    check_values(changed)
    for item in fields(NodeParameters):
        before, after = getattr(now, item.name), getattr(changed, item.name)
        settable = item.metadata["settable"]
        if settable is Settable.NOT_ACTIVE and is_active and after != before:
            raise _too_late(item.name, "activate", "deactivate")
        if settable in (Settable.AT_START, Settable.UNCONFIGURED) and after != before:
            raise _too_late(item.name, "configure", "deactivate and clean up")
    if bool(changed.camera_pose) != bool(now.camera_pose):
        raise _too_late("camera_pose", "configure", "deactivate and clean up")
    if bool(changed.depth_pose) != bool(now.depth_pose) and is_active:
        raise _too_late("depth_pose", "activate", "deactivate")


def watch_parameters(
    node: Node,
    start: NodeParameters,
    check: Callable[[NodeParameters], object],
    apply: Callable[[NodeParameters], object],
) -> None:
    """Have changes at run time checked and applied.

    Args:
        node: whose parameters were declared.
        start: their values now.
        check: raises DenseDescError, with the reason, if new values cannot be used.
        apply: puts new values to use, after they were accepted.
    """
    current = start

    def changed(changes: list[Parameter]) -> NodeParameters:
        names = {item.name for item in fields(NodeParameters)}
        return replace(current, **{p.name: _plain(p.value) for p in changes if p.name in names})

    def validate(changes: list[Parameter]) -> SetParametersResult:
        try:
            check(changed(changes))
        except DenseDescError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def accept(changes: list[Parameter]) -> None:
        nonlocal current
        current = changed(changes)
        apply(current)

    node.add_on_set_parameters_callback(validate)
    node.add_post_set_parameters_callback(accept)


def _too_late(name: str, transition: str, undo: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} was needed to {transition} the node: to change it, {undo} first"
    )


def _declaration(item: Any) -> tuple[Any, ParameterDescriptor]:
    descriptor = ParameterDescriptor(
        description=item.metadata["description"],
        read_only=item.metadata["settable"] is Settable.AT_START,
    )
    limits = item.metadata["limits"]
    if limits and isinstance(item.default, int):
        descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1], step=1)]
    elif limits:
        low, high = limits
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    # rclpy cannot tell of what an empty list is one; without a value it takes the type.
    default = Parameter.Type.DOUBLE_ARRAY if item.default == () else item.default
    return default, descriptor


def _plain(value: Any) -> Any:
    """The value of a parameter, with the array of numbers as a tuple, empty when not set."""
    return tuple(value or ()) if value is None or isinstance(value, array.array | list) else value
