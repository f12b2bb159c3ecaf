"""A click into the point cloud of RViz registers a reference."""

import itertools
import traceback
from collections.abc import Collection

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.camera_frames import pixels_as_taken
from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.health import shortened
from dense_desc_ros.nodes.services import Backend
from dense_desc_ros.pointing import pixel_of_point
from dense_desc_ros.rgbd_frame import RgbdFrame

TOPIC = "/clicked_point"  # of RViz's tool "Publish Point", which knows no node
NAME_PARAMETER = "clicked_name"


class ClickedPoints:
    """Registers what is clicked, as it is seen in the newest frame, and logs what came of it.

    The name is that of the parameter `clicked_name`, and an existing reference of this name is
    replaced; where that is empty it is the first of clicked_1, clicked_2, ... that is free.

    Args:
        node: listens, and has the parameter.
        backend: does the work.
    """

    def __init__(self, node: Node, backend: Backend) -> None:
        self._node, self._backend = node, backend
        self._log = node.get_logger()
        self._subscription = node.create_subscription(PointStamped, TOPIC, self._clicked, 10)

    def close(self) -> None:
        """Listen no longer."""
        self._node.destroy_subscription(self._subscription)

    def _clicked(self, click: PointStamped) -> None:
        self._backend.health.requested()
        try:
            self._log.info(self._backend.run(lambda: self._register(click)))
        except (DenseDescError, OSError) as error:
            self._refuse("click", error)
        except Exception as error:
            self._refuse("internal", f"internal error: {error!r}", traceback.format_exc())

    def _refuse(self, kind: str, reason: object, details: str = "") -> None:
        text = shortened(reason)
        if self._backend.health.request_refused(kind, text):
            self._log.warning(f"click refused: {text}\n{details}".rstrip())

    def _register(self, click: PointStamped) -> str:
        newest, pipeline = self._backend.newest(), self._backend.pipeline
        pixel = pixel_of_point(newest.frame, self._in_camera(click, newest.frame))
        store = pipeline.store
        name = self._node.get_parameter(NAME_PARAMETER).value or free_name(
            {*store.names(), *store.problems}
        )
        made = pipeline.register(newest.frame, name, pixel, descriptors=newest.descriptors)
        u, v = pixels_as_taken(newest.frame, pixel)
        text = f"{name} is registered by a click at pixel ({u:.1f}, {v:.1f})"
        return f"{text}; {made.remark}" if made.remark else text

    def _in_camera(self, click: PointStamped, frame: RgbdFrame) -> FloatArray:
        """The point (3,) in the camera frame."""
        point = np.array([click.point.x, click.point.y, click.point.z])
        base_frame, T_base_camera = self._backend.camera_pose(frame)
        if click.header.frame_id == frame.frame_id:
            return point
        if click.header.frame_id == base_frame and T_base_camera is not None:
            return T_base_camera[:3, :3].T @ (point - T_base_camera[:3, 3])
        known = " or ".join(repr(name) for name in dict.fromkeys((frame.frame_id, base_frame)))
        raise InvalidInputError(
            f"the click is given in the frame {click.header.frame_id!r}, but only {known} can be "
            "used: make that the fixed frame of RViz"
        )


def free_name(taken: Collection[str]) -> str:
    """The first of clicked_1, clicked_2, ... that is not taken."""
    return next(name for i in itertools.count(1) if (name := f"clicked_{i}") not in taken)
