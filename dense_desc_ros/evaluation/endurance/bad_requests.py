"""Requests that nobody should make: each must be answered, and refused."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, PointStamped, Pose, Quaternion
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.evaluation.endurance.bad_frames import HUGE, LONG

Request = tuple[str, dict[str, Any]]  # a service and the fields of its request
MEGABYTES_10 = 10_000_000  # characters

BAD_NAMES = ("", "../../x", "/etc/x", "a/b", "a.b", "..", "größe", "a\nb", "n" * 65, "~")


def _image(width: int, height: int, encoding: str, value: int = 1) -> Image:
    channels = 3 if encoding == "rgb8" else 1
    message = Image(width=width, height=height, encoding=encoding, step=width * channels)
    message.data.frombytes(np.full(width * height * channels, value, np.uint8).tobytes())
    return message


def _claimed(width: int, height: int, encoding: str) -> Image:
    """An image that says it is large, and has no data."""
    return Image(width=width, height=height, encoding=encoding, step=min(width * 3, HUGE))


def _registration(**fields: Any) -> Callable[[], Request]:
    return lambda: (
        "register_reference",
        {"name": "bad", "pixel": Pixel(u=64.0, v=48.0), **fields},
    )


def _grasp(**fields: Any) -> Callable[[], Request]:
    return _registration(has_grasp=True, grasp=Pose(**fields))


BAD_REQUESTS: Mapping[str, Callable[[], Request]] = {
    **{f"register {name[:9]!r}": _registration(name=name) for name in BAD_NAMES},
    "register 10 MB": lambda: _registration(name="n" * MEGABYTES_10)(),
    "pixel outside": _registration(pixel=Pixel(u=1e9, v=-1e9)),
    "pixel that is no number": _registration(pixel=Pixel(u=math.nan, v=math.inf)),
    "mask that misses": _registration(mask=_image(128, 96, "mono8", 0)),
    "mask of another size": _registration(mask=_image(4, 4, "mono8")),
    "mask of another encoding": _registration(mask=_image(128, 96, "rgb8")),
    "mask of a huge size": _registration(mask=_claimed(HUGE, HUGE, "mono8")),
    "grasp that is no number": _grasp(position=Point(x=math.nan)),
    "grasp without rotation": _grasp(orientation=Quaternion(w=0.0)),
    "grasp with a huge rotation": _grasp(orientation=Quaternion(x=1e300, w=1e300)),
    "grasp far away": _grasp(position=Point(z=1e9)),
    "negative opening": _registration(opening_width=-1.0),
    "infinite opening": _registration(opening_width=math.inf),
    "image of a huge size": _registration(
        image=_claimed(HUGE, HUGE, "rgb8"),
        depth=_claimed(HUGE, HUGE, "16UC1"),
        camera_info=CameraInfo(width=HUGE, height=HUGE, k=np.eye(3).ravel()),
    ),
    "image without depth": _registration(image=_image(128, 96, "rgb8")),
    "images of different sizes": _registration(
        image=_image(128, 96, "rgb8"),
        depth=_image(64, 48, "16UC1"),
        camera_info=CameraInfo(width=9, height=9, k=np.eye(3).ravel()),
    ),
    "compute unknown": lambda: ("compute_grasp", {"names": ["nothing"]}),
    "compute 10000": lambda: ("compute_grasp", {"names": [f"n{i}" for i in range(10_000)]}),
    "compute 10 MB": lambda: ("compute_grasp", {"names": ["n" * MEGABYTES_10]}),
    "remove unknown": lambda: ("remove_reference", {"name": "nothing"}),
    "remove ../weights": lambda: ("remove_reference", {"name": "../weights"}),
    "remove 10 MB": lambda: ("remove_reference", {"name": "n" * MEGABYTES_10}),
}

KINDS = {  # service -> how /diagnostics call its refusals
    "register_reference": "register",
    "remove_reference": "remove",
    "compute_grasp": "compute",
}


def _value(name: str, value: Any) -> Callable[[], ParameterMessage]:
    return lambda: Parameter(name, value=value).to_parameter_msg()


BAD_PARAMETERS: Mapping[str, Callable[[], ParameterMessage]] = {
    "wrong type": _value("min_score", "high"),
    "wrong type of a list": _value("camera_pose", "here"),
    "out of range": _value("min_score", 2.0),
    "not a number": _value("min_score", math.nan),
    "unknown choice": _value("method", "guess"),
    "endless choice": _value("method", LONG),
    "list of the wrong length": _value("workspace", [1.0, 2.0]),
    "endless list": _value("depth_pose", [0.5] * 50_000),
    "pose without rotation": _value("depth_pose", [0.0] * 7),
    "too late": _value("weights", "../../other.safetensors"),
    "path as name": _value("clicked_name", "../../x"),
    "unknown parameter": _value("no_such_parameter", 1),
    "unknown, of an endless name": _value(LONG, 1),
    "no value": lambda: ParameterMessage(name="min_score"),
    "no value, read-only": lambda: ParameterMessage(name="autostart"),
}
# At this rclpy itself raises, and gives no answer.
UNKNOWN_VALUE = ParameterMessage(name="min_score", value=ParameterValue(type=99))

BAD_TRANSITIONS = ("activate", "configure", "cleanup", "create", "explode", "", LONG)  # when active


def _click(frame_id: str, x: float, y: float, z: float) -> PointStamped:
    return PointStamped(header=Header(frame_id=frame_id), point=Point(x=x, y=y, z=z))


def bad_clicks(frame_id: str) -> Mapping[str, PointStamped]:
    """Clicks that no point of the picture is meant by; frame_id is the camera's."""
    return {
        "unknown frame": _click("no_such_frame", 0.0, 0.0, 0.8),
        "no frame": _click("", 0.0, 0.0, 0.3),  # for the camera's frame may have no name either
        "endless frame": _click(LONG, 0.0, 0.0, 0.8),
        "not a number": _click(frame_id, math.nan, 0.0, 0.8),
        "behind the camera": _click(frame_id, 0.0, 0.0, -0.8),
        "beside the picture": _click(frame_id, 9.0, 0.0, 0.8),
        "nowhere": _click(frame_id, 0.0, 0.0, 1e300),
        "in the air": _click(frame_id, 0.0, 0.0, 0.3),
    }
