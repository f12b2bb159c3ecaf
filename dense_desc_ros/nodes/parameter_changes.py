"""The parameters of the node declared, and their changes checked and applied."""

from collections.abc import Callable
from dataclasses import fields, replace

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.conversions import matrix_from_values
from dense_desc_ros.nodes.declaring import declare, plain
from dense_desc_ros.nodes.health import shortened
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
    return declare(
        node, NodeParameters, lambda item: item.metadata["settable"] is Settable.AT_START
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
        return replace(current, **{p.name: plain(p.value) for p in changes if p.name in names})

    def validate(changes: list[Parameter]) -> SetParametersResult:
        try:
            check(changed(changes))
        except DenseDescError as error:
            return SetParametersResult(successful=False, reason=shortened(error))
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
