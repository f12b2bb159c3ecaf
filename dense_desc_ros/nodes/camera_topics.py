"""The camera's topics: their names, and subscriptions that feed the synchronizer."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_ros.data.messages import stamp_to_ns
from dense_desc_ros.nodes.newest_subscription import NewestSubscription
from dense_desc_ros.nodes.synchronizer import Synchronizer

TOPICS = {
    "color": "camera/color/image_raw",
    "depth": "camera/aligned_depth_to_color/image_raw",
    "camera_info": "camera/color/camera_info",
}


def topic_names(node: Node) -> dict[str, str]:
    """The full names of TOPICS, after remapping."""
    return {key: node.resolve_topic_name(topic) for key, topic in TOPICS.items()}


class CameraSubscriptions:
    """Receives what the camera sends.

    Args:
        node: subscribes.
        synchronizer: puts together what belongs together.
        ready: called when that makes a frame ready and none was before.
    """

    def __init__(self, node: Node, synchronizer: Synchronizer, ready: Callable[[], object]) -> None:
        add = synchronizer
        inputs: dict[str, tuple[Any, Callable[[Any], bool]]] = {
            "color": (Image, lambda m: add.add_color(stamp_to_ns(m.header.stamp), m)),
            "depth": (Image, lambda m: add.add_depth(stamp_to_ns(m.header.stamp), m)),
            "camera_info": (CameraInfo, add.add_camera_info),
        }

        def receiving(receive: Callable[[Any], bool]) -> Callable[[Any], None]:
            def callback(message: Any) -> None:
                if receive(message):
                    ready()

            return callback

        self._subscriptions = [
            NewestSubscription(node, kind, TOPICS[key], receiving(receive))
            for key, (kind, receive) in inputs.items()
        ]

    def close(self) -> None:
        """Receive nothing any more."""
        for subscription in self._subscriptions:
            subscription.close()
