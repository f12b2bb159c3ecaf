"""The parameters of the node: declared with descriptions and ranges, checked when they change."""

import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum, auto
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
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.references import check_name


class Settable(Enum):
    """When a parameter can be set."""

    AT_START = auto()
    UNCONFIGURED = auto()
    ALWAYS = auto()


def _parameter(
    default: Any,
    description: str,
    limits: tuple[float, float] | None = None,
    settable: Settable = Settable.ALWAYS,
) -> Any:
    return field(
        default=default,
        metadata={"description": description, "limits": limits, "settable": settable},
    )


def _size(default: float, description: str) -> Any:
    return _parameter(default, f"{description}, m.", (0.001, 1.0))


@dataclass(frozen=True)
class NodeParameters:
    """The values of all parameters, SI units; what each means is in its description."""

    autostart: bool = _parameter(
        True,
        "Configure and activate at the start; else the lifecycle services are waited for.",
        settable=Settable.AT_START,
    )
    weights: str = _parameter(
        "", "File of the model (safetensors).", settable=Settable.UNCONFIGURED
    )
    references: str = _parameter(
        "~/.ros/dense_desc_ros/references",
        "Folder of the registered references, created if missing.",
        settable=Settable.UNCONFIGURED,
    )
    device: str = _parameter(
        "auto",
        "Where the network runs: cpu, cuda, or auto (a GPU if there is one).",
        settable=Settable.UNCONFIGURED,
    )
    threads: int = _parameter(
        0,
        "Processor cores that the network may use; 0: as many as there are.",
        (0, 256),
        Settable.UNCONFIGURED,
    )
    method: str = _parameter(
        PipelineSettings.method,
        "How references are found: registered (by the surface around the point), aligned (by the "
        "network's keypoints), straight (by the point alone), or auto: the first of these for "
        "which enough was registered.",
    )
    min_score: float = _parameter(
        PipelineSettings.min_score,
        "What scores lower gives no grasp. 1: as in the picture of the registration; 0: as the "
        "rest of that picture.",
        (-100.0, 1.0),
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
    min_scale: float = _parameter(
        PipelineSettings.scales[0], "Least size of an object over the registered one's.", (0.1, 1.0)
    )
    max_scale: float = _parameter(
        PipelineSettings.scales[1], "Greatest size of an object over it.", (1.0, 10.0)
    )
    approach: str = _parameter(
        PipelineSettings.approach,
        "Of straight grasps: normal (into the surface), or gravity (down, where the camera's pose "
        "in base_frame is known).",
    )
    steady: bool = _parameter(
        PipelineSettings.steady,
        "Average the poses of still objects over frames, in base_frame; compute_grasp never does.",
    )
    workspace: Sequence[float] = _parameter(
        (),
        "Grasps elsewhere are refused: least x, y, z and greatest x, y, z in base_frame, m; empty: "
        "none is.",
    )
    gripper_max_width: float = _parameter(
        Gripper.max_width,
        "Between open finger tips, m. Grasps for which the points seen leave no room are moved a "
        "little or refused; 0: they are not checked.",
        (0.0, 1.0),
    )
    gripper_finger_length: float = _size(Gripper.finger_length, "From finger tips to palm")
    gripper_finger_width: float = _size(Gripper.finger_width, "Of a finger, across the closing")
    gripper_finger_thickness: float = _size(Gripper.finger_thickness, "Of a finger, along it")
    gripper_palm_width: float = _size(Gripper.palm_width, "Of the palm, along the closing")
    gripper_palm_depth: float = _size(Gripper.palm_depth, "Of the palm, across it")
    gripper_palm_height: float = _size(Gripper.palm_height, "Of the palm, along the approach")
    base_frame: str = _parameter(
        "",
        "Frame to give grasps in; empty: the camera's. Its pose is taken from camera_pose, else "
        "from tf2.",
        settable=Settable.UNCONFIGURED,
    )
    camera_pose: Sequence[float] = _parameter(
        (),
        "Pose of the camera optical frame in base_frame: x, y, z (m), qx, qy, qz, qw. "
        "Whether there is one can only change while the node is unconfigured.",
    )
    clicked_name: str = _parameter(
        "",
        "Name under which clicks on /clicked_point are registered, each in place of the one "
        "before; empty: the first of clicked_1, clicked_2, ... that is free.",
    )

    @property
    def settings(self) -> PipelineSettings:
        """What of it concerns the pipeline."""
        gripper = None
        if self.gripper_max_width:
            names = [item.name for item in fields(Gripper)]
            gripper = Gripper(**{name: getattr(self, f"gripper_{name}") for name in names})
        return PipelineSettings(
            self.method,
            self.min_score,
            self.max_instances,
            self.instance_radius,
            (self.min_scale, self.max_scale),
            self.approach,
            gripper,
            self.workspace or None,
            self.steady,
        )


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


def check_change(now: NodeParameters, changed: NodeParameters) -> None:
    """Whether a node that is configured can take these values.

    Raises:
        InvalidInputError: values that do not fit together, or that are needed before.
    """
    _ = changed.settings
    if changed.clicked_name:
        check_name(changed.clicked_name)
    for item in fields(NodeParameters):
        if item.metadata["settable"] is not Settable.ALWAYS and (
            getattr(changed, item.name) != getattr(now, item.name)
        ):
            raise _too_late(item.name)
    if bool(changed.camera_pose) != bool(now.camera_pose):
        raise _too_late("camera_pose")


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


def _too_late(name: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} was needed to configure the node: to change it, deactivate and clean up first"
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
