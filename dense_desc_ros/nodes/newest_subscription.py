"""A subscription to the newest messages of any publisher, reliable where that is possible."""

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

DEPTH = 10  # a third of a second at 30 Hz


class NewestSubscription:
    """Subscribes to camera topics, whose publishers may be reliable or best-effort.

    Only best-effort subscriptions hear both, but images sent that way often do not arrive whole: on
    one loaded machine none of 60 did, and all of them reliably. So this one is reliable until a
    best-effort publisher shows up. The few newest messages wait until Python gets to them, which
    takes no longer than other threads hold its lock: with only one waiting, now and then a colour
    image is lost whose depth arrives. Who receives them keeps the newest, so that no queue is made.

    Args:
        node: subscribes.
        message_type, topic, callback: as for `Node.create_subscription`.
    """

    def __init__(
        self, node: Node, message_type: Any, topic: str, callback: Callable[[Any], None]
    ) -> None:
        self._node = node
        self._arguments = message_type, topic, callback
        self._subscription = node.create_subscription(
            *self._arguments,
            QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._take_what_comes),
        )

    def close(self) -> None:
        """Receive nothing any more."""
        self._node.destroy_subscription(self._subscription)

    def _take_what_comes(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        topic = self._subscription.topic_name
        self._node.get_logger().info(f"{topic} is published best-effort: images may be lost")
        self.close()
        self._subscription = self._node.create_subscription(
            *self._arguments, QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
