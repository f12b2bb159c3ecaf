"""The topics on which the node tells what it found."""

from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from dense_desc_interfaces.msg import GraspArray
from dense_desc_ros.data.messages import image_to_message
from dense_desc_ros.nodes.conversions import header_of, pose_array
from dense_desc_ros.pictures import DescriptorColors, draw_matches
from dense_desc_ros.pipeline import FrameResult


class ResultPublishers:
    """Publishes grasps, and pictures for those who look at them.

    Args:
        node: publishes, under its own name.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._colors = DescriptorColors()
        self._grasps = node.create_publisher(GraspArray, "~/grasps", 10)
        self._poses = node.create_publisher(PoseArray, "~/grasp_poses", 10)
        self._descriptors = node.create_publisher(Image, "~/descriptors", 1)
        self._matches = node.create_publisher(Image, "~/matches", 1)

    def close(self) -> None:
        """Take the topics off."""
        for publisher in (self._grasps, self._poses, self._descriptors, self._matches):
            self._node.destroy_publisher(publisher)

    def publish(self, grasps: GraspArray) -> None:
        """Publish what was found in a frame."""
        self._grasps.publish(grasps)
        self._poses.publish(pose_array(grasps))

    def publish_pictures(self, result: FrameResult) -> None:
        """Publish the pictures that somebody looks at."""
        for publisher, draw in (
            (self._descriptors, lambda: self._colors(result.descriptors)),
            (self._matches, lambda: draw_matches(result)),
        ):
            if publisher.get_subscription_count():
                publisher.publish(image_to_message(Image, header_of(result.frame), draw()))
