"""The topics that show what the node sees: keypoints, markers for RViz, and heat maps."""

from rclpy.node import Node
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from dense_desc_interfaces.msg import GraspArray, KeypointArray
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.messages import image_to_message
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.heatmaps import draw_heatmaps
from dense_desc_ros.located_keypoints import locate_keypoints
from dense_desc_ros.nodes.conversions import header_of, keypoint_array
from dense_desc_ros.nodes.markers import marker_array
from dense_desc_ros.pipeline import FrameResult, GraspPipeline


class ViewPublishers:
    """Publishes what costs some time and is only for those who ask for it.

    Args:
        node: publishes, under its own name.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._keypoints = node.create_publisher(KeypointArray, "~/keypoints", 10)
        self._markers = node.create_publisher(MarkerArray, "~/markers", 10)
        self._heatmaps = node.create_publisher(Image, "~/heatmaps", 1)

    def close(self) -> None:
        """Take the topics off."""
        for publisher in (self._keypoints, self._markers, self._heatmaps):
            self._node.destroy_publisher(publisher)

    def publish(
        self,
        result: FrameResult,
        grasps: GraspArray,
        T_frame_camera: FloatArray | None,
        pipeline: GraspPipeline,
    ) -> None:
        """Publish what somebody looks at.

        Args:
            result: what was found in a frame.
            grasps: the same as it is published.
            T_frame_camera: (4, 4) pose of the camera in the frame of the grasps; None if it is the
                camera's own.
            pipeline: that found it.
        """
        to_keypoints = self._keypoints.get_subscription_count()
        to_markers = self._markers.get_subscription_count()
        keypoints = KeypointArray(header=grasps.header)
        if (to_keypoints or to_markers) and pipeline.model.config.network.keypoints:
            located = locate_keypoints(pipeline.model.network, result.frame, result.descriptors)
            keypoints = keypoint_array(located, result.frame, grasps.header, T_frame_camera)
        if to_keypoints:
            self._keypoints.publish(keypoints)
        if to_markers:
            gripper = pipeline.settings.gripper or Gripper()
            self._markers.publish(marker_array(grasps, gripper, keypoints))
        if self._heatmaps.get_subscription_count():
            picture = draw_heatmaps(result, list(pipeline.store))
            self._heatmaps.publish(image_to_message(Image, header_of(result.frame), picture))
