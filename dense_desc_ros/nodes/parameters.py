"""The parameters of the node, with descriptions, ranges and when they can be set."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from typing import Any

from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.grasping.settings import PipelineSettings


class Settable(Enum):
    """When a parameter can be set."""

    AT_START = auto()
    UNCONFIGURED = auto()
    NOT_ACTIVE = auto()
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
        "",
        "File of the model: safetensors, or the .onnx file that `dense-desc export` made of it, "
        "which is faster on processors.",
        settable=Settable.UNCONFIGURED,
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
    precision: str = _parameter(
        "auto",
        "Of the network: float32, bfloat16, float16 (which take less time on a GPU), or auto: "
        "bfloat16 on a processor that computes in it, else float32.",
        settable=Settable.UNCONFIGURED,
    )
    method: str = _parameter(
        PipelineSettings.method,
        "How references are found: registered (by the surface around the point), aligned (by the "
        "network's keypoints), straight (by the point alone), or auto: the first of these for "
        "which enough was registered.",
    )
    min_score: float = _parameter(
        PipelineSettings.min_score,
        "What scores lower gives no grasp. 1: as in the picture of the registration; 0: as "
        "other things.",
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
    color_transport: str = _parameter(
        "raw",
        "How colour images come, as image_transport calls it: raw or compressed.",
        settable=Settable.NOT_ACTIVE,
    )
    depth_transport: str = _parameter(
        "raw",
        "How depth images come, as image_transport calls it: raw or compressedDepth.",
        settable=Settable.NOT_ACTIVE,
    )
    rectified: bool = _parameter(
        False,
        "Images are rectified already, as on image_rect topics; else the lens distortion in "
        "camera_info is undone.",
    )
    aligned_depth: bool = _parameter(
        True,
        "Depth images are registered to colour; else camera/depth/image_rect_raw and "
        "camera/depth/camera_info are used, of any resolution, and registered by the node.",
        settable=Settable.NOT_ACTIVE,
    )
    depth_pose: Sequence[float] = _parameter(
        (),
        "For depth that is not aligned, pose of the depth camera in the colour camera's optical "
        "frame: x, y, z (m), qx, qy, qz, qw; empty: from tf2. Whether there is one can only change "
        "while the node is not active.",
    )
    largest_side: int = _parameter(
        0,
        "Larger pictures are shrunk to so many px a side before they are worked on; 0: none is. "
        "Pixels given and asked for stay those of the picture as it was taken.",
        (0, 4096),
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
        "Frame to give grasps in; empty: the camera's. The camera's pose in it is taken from "
        "camera_pose, else from camera_pose_topic, else from tf2.",
        settable=Settable.UNCONFIGURED,
    )
    camera_pose: Sequence[float] = _parameter(
        (),
        "Pose of the camera optical frame in base_frame: x, y, z (m), qx, qy, qz, qw. "
        "Whether there is one can only change while the node is unconfigured.",
    )
    camera_pose_topic: str = _parameter(
        "",
        "Topic of PoseStamped with the pose of the camera optical frame in base_frame, for cameras "
        "that move on robots without tf2.",
        settable=Settable.UNCONFIGURED,
    )
    warn_latency: float = _parameter(
        2.0,
        "Diagnostics warn when one in twenty grasps comes later after its frame, s; 0: never.",
        (0.0, 3600.0),
    )
    warn_dropped: float = _parameter(
        0.9,
        "Diagnostics warn when a greater share of frames is dropped for newer ones; 1: never.",
        (0.0, 1.0),
    )
    warn_invalid_depth: float = _parameter(
        0.8,
        "Diagnostics warn when a greater share of pixels has no depth; 1: never.",
        (0.0, 1.0),
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
