"""The parameters of the node: declared with descriptions and ranges, checked when they change."""

import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.pipeline import PipelineSettings


def _parameter(
    default: Any,
    description: str,
    limits: tuple[float, float] | None = None,
    read_only: bool = False,
) -> Any:
    return field(
        default=default,
        metadata={"description": description, "limits": limits, "read_only": read_only},
    )


@dataclass(frozen=True)
class NodeParameters:
    """The values of all parameters, SI units; what each means is in its description."""

    weights: str = _parameter("", "File of the model (safetensors).", read_only=True)
    references: str = _parameter(
        "~/.ros/dense_desc_ros/references",
        "Folder of the registered references, created if missing.",
        read_only=True,
    )
    device: str = _parameter(
        "auto",
        "Where the network runs: cpu, cuda, or auto (a GPU if there is one).",
        read_only=True,
    )
    threads: int = _parameter(
        0, "Processor cores that the network may use; 0: as many as there are.", (0, 256), True
    )
    min_score: float = _parameter(
        PipelineSettings.min_score, "Matches with a lower similarity give no grasp.", (-1.0, 1.0)
    )
    max_instances: int = _parameter(
        PipelineSettings.max_instances, "Grasps given for one reference at most.", (1, 100)
    )
    instance_radius: int = _parameter(
        PipelineSettings.instance_radius,
        "Two instances of a reference are at least this far apart in the image, px.",
        (1, 1000),
    )
    sync_slop: float = _parameter(
        0.01,
        "Colour and depth belong together if their stamps differ by no more, s. "
        "Keep it below half the time between two images.",
        (0.0, 10.0),
    )
    max_frame_age: float = _parameter(
        0.0,
        "Images whose stamp is further than this from the clock are refused, s; 0: none is.",
        (0.0, 3600.0),
    )
    base_frame: str = _parameter(
        "",
        "Frame to give grasps in; empty: the camera's. Its pose is taken from camera_pose, else "
        "from tf2.",
        read_only=True,
    )
    camera_pose: Sequence[float] = _parameter(
        (), "Pose of the camera optical frame in base_frame: x, y, z (m), qx, qy, qz, qw."
    )

    @property
    def settings(self) -> PipelineSettings:
        """What of it concerns the pipeline."""
        return PipelineSettings(self.min_score, self.max_instances, self.instance_radius)


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


def _declaration(item: Any) -> tuple[Any, ParameterDescriptor]:
    descriptor = ParameterDescriptor(
        description=item.metadata["description"], read_only=item.metadata["read_only"]
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
