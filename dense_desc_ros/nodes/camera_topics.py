"""The camera's topics: their names, and subscriptions that feed the synchronizer."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from dense_desc_ros.data.messages import stamp_to_ns
from dense_desc_ros.nodes.newest_subscription import NewestSubscription
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.synchronizer import Synchronizer

COLOR = {"color": "camera/color/image_raw", "camera_info": "camera/color/camera_info"}
ALIGNED_DEPTH = {"depth": "camera/aligned_depth_to_color/image_raw"}
DEPTH = {"depth": "camera/depth/image_rect_raw", "depth_info": "camera/depth/camera_info"}
RAW = "raw"


def topic_names(node: Node, parameters: NodeParameters) -> dict[str, str]:
    """The full names of the topics that the parameters ask for, after remapping.

    As users of image_transport expect, it is the base topic that is remapped.
    """
    topics = {**COLOR, **(ALIGNED_DEPTH if parameters.aligned_depth else DEPTH)}
    names = {key: node.resolve_topic_name(topic) for key, topic in topics.items()}
    for key, transport in _transports(parameters).items():
        if transport != RAW:
            names[key] += f"/{transport}"
    return names


class CameraSubscriptions:
    """Receives what the camera sends.

    Args:
        node: subscribes.
        parameters: say to what.
        synchronizer: puts together what belongs together.
        ready: called when that makes a frame ready and none was before.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        synchronizer: Synchronizer,
        ready: Callable[[], object],
    ) -> None:
        add, transports = synchronizer, _transports(parameters)
        receivers: dict[str, Callable[[Any], bool]] = {
            "color": lambda m: add.add_color(stamp_to_ns(m.header.stamp), m),
            "depth": lambda m: add.add_depth(stamp_to_ns(m.header.stamp), m),
            "camera_info": add.add_camera_info,
            "depth_info": add.add_depth_info,
        }

        def receiving(receive: Callable[[Any], bool]) -> Callable[[Any], None]:
            def callback(message: Any) -> None:
                if receive(message):
                    ready()

            return callback

        def kind(key: str) -> Any:
            if key not in transports:
                return CameraInfo
            return Image if transports[key] == RAW else CompressedImage

        self._subscriptions = [
            NewestSubscription(node, kind(key), topic, receiving(receivers[key]))
            for key, topic in topic_names(node, parameters).items()
        ]

    def close(self) -> None:
        """Receive nothing any more."""
        for subscription in self._subscriptions:
            subscription.close()


def _transports(parameters: NodeParameters) -> dict[str, str]:
    return {"color": parameters.color_transport, "depth": parameters.depth_transport}
