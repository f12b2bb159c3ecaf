"""From the messages of one moment to an RGB-D frame, or the reason why there is none."""

import numpy as np

from dense_desc_ros.camera import RgbdFrame
from dense_desc_ros.data.messages import (
    camera_from_message,
    depth_from_message,
    image_from_message,
    stamp_to_ns,
)
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.synchronizer import RgbdMessages


class UnusableFrameError(Exception):
    """A frame that cannot be used. `kind` is one word to count it under, the text says why."""

    def __init__(self, kind: str, reason: object) -> None:
        super().__init__(str(reason))
        self.kind = kind


def read_frame(messages: RgbdMessages, now_ns: int, max_age: float) -> RgbdFrame:
    """The frame of synchronised messages.

    Args:
        messages: colour, depth and camera_info.
        now_ns: what the node's clock says.
        max_age: seconds that the frame may be older (or newer) than that; 0: any age will do.

    Raises:
        UnusableFrameError: it is stale, malformed, uncalibrated or without any depth.
    """
    stamp_ns = stamp_to_ns(messages.color.header.stamp)
    _check_age((now_ns - stamp_ns) * 1e-9, max_age)
    try:
        kind = "color"
        image = image_from_message(messages.color)
        kind = "depth"
        depth = depth_from_message(messages.depth)
        kind = "camera_info"
        camera = camera_from_message(messages.camera_info)
        kind = "size"
        frame = RgbdFrame(image, depth, camera, stamp_ns, messages.color.header.frame_id)
    except InvalidInputError as error:
        raise UnusableFrameError(kind, error) from error
    if np.isnan(frame.depth).all():
        raise UnusableFrameError(
            "no_depth",
            "no pixel of the depth image has a depth: check the depth camera, its range and its "
            "alignment to colour",
        )
    return frame


def _check_age(age: float, max_age: float) -> None:
    if max_age > 0 and abs(age) > max_age:
        when = f"{age:.3g} s old" if age > 0 else f"{-age:.3g} s in the future"
        raise UnusableFrameError(
            "stale",
            f"the image is stamped {when} but max_frame_age is {max_age:g} s: synchronise the "
            "clocks, set use_sim_time for recordings, or raise max_frame_age",
        )
