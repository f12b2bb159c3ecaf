"""From the messages of one moment to an RGB-D frame, or the reason why there is none."""

from typing import Any

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.camera_frames import make_frame
from dense_desc_ros.data.camera_info import plain_info
from dense_desc_ros.data.messages import (
    depth_from_message,
    distorted_camera_from_message,
    image_from_message,
    stamp_to_ns,
)
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.conversions import matrix_from_values
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.synchronizer import RgbdMessages
from dense_desc_ros.nodes.transforms import Transforms, UnknownPoseError
from dense_desc_ros.rectification import DistortedCamera
from dense_desc_ros.rgbd_frame import RgbdFrame

LONGEST_FRAME_ID = 256  # characters; it is given back with every grasp


class UnusableFrameError(InvalidInputError):
    """A frame that cannot be used. `kind` is one word to count it under, the text says why."""

    def __init__(self, kind: str, reason: object) -> None:
        super().__init__(str(reason))
        self.kind = kind


def read_frame(
    messages: RgbdMessages, parameters: NodeParameters, transforms: Transforms | None = None
) -> RgbdFrame:
    """The frame of synchronised messages: undistorted, registered and shrunk as is asked for.

    Args:
        messages: colour, depth and camera_info; depth_info, if depth is to be registered.
        parameters: say how they are to be understood.
        transforms: where the depth camera is, if the parameters do not say.

    Raises:
        UnusableFrameError: it is malformed, uncalibrated or without any depth, or it is not known
            where its depth was taken from.
    """
    try:
        kind = "frame_id"
        _check_frame_id(messages.color.header.frame_id)
        kind = "color"
        image = image_from_message(messages.color)
        kind = "depth"
        depth = depth_from_message(messages.depth)
        kind = "camera_info"
        lens = _lens(messages.camera_info, parameters)
        depth_lens, pose = None, None
        if messages.depth_info is not None:
            depth_lens = _lens(messages.depth_info, parameters)
            kind = "depth_pose"
            pose = _depth_pose(messages, parameters, transforms)
        kind = "size"
        header = messages.color.header
        stamp_ns = stamp_to_ns(header.stamp)
        frame = make_frame(image, depth, lens, depth_lens, pose, stamp_ns, header.frame_id)
        if parameters.largest_side:
            frame = frame.shrunk(parameters.largest_side)
    except (InvalidInputError, UnknownPoseError) as error:
        raise UnusableFrameError(kind, error) from error
    if np.isnan(frame.depth).all():
        raise UnusableFrameError(
            "no_depth",
            "no pixel of the depth image has a depth: check the depth camera, its range and its "
            "alignment to colour",
        )
    return frame


def check_age(stamp_ns: int, now_ns: int, max_age: float) -> None:
    """Whether an image is new enough.

    Args:
        stamp_ns: of the image.
        now_ns: what the node's clock says.
        max_age: seconds that the image may be older (or newer) than that; 0: any age will do.

    Raises:
        UnusableFrameError: it is not.
    """
    age = (now_ns - stamp_ns) * 1e-9
    if max_age > 0 and abs(age) > max_age:
        when = f"{age:.3g} s old" if age > 0 else f"{-age:.3g} s in the future"
        raise UnusableFrameError(
            "stale",
            f"the image is stamped {when} but max_frame_age is {max_age:g} s: synchronise the "
            "clocks, set use_sim_time for recordings, or raise max_frame_age",
        )


def _check_frame_id(name: str) -> None:
    if len(name) > LONGEST_FRAME_ID:
        raise InvalidInputError(
            f"the colour image's frame_id has {len(name)} characters, more than {LONGEST_FRAME_ID}"
        )


def _lens(info: Any, parameters: NodeParameters) -> DistortedCamera:
    return distorted_camera_from_message(plain_info(info, parameters.rectified))


def _depth_pose(
    messages: RgbdMessages, parameters: NodeParameters, transforms: Transforms | None
) -> FloatArray:
    """The pose (4, 4) of the depth camera in the colour camera."""
    if parameters.depth_pose:
        return matrix_from_values(parameters.depth_pose)
    if transforms is None:
        raise InvalidInputError("it is not known where the depth camera is: set depth_pose")
    color, depth = messages.color.header, messages.depth.header
    return transforms.pose(color.frame_id, depth.frame_id, stamp_to_ns(color.stamp))
