"""What was found as markers for RViz: the gripper at each grasp, and the network's keypoints."""

from visualization_msgs.msg import Marker, MarkerArray

from dense_desc_interfaces.msg import GraspArray, KeypointArray
from dense_desc_ros.grasp_markers import color_message, grasp_markers, marker, vector_message
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.nodes.conversions import LIVE

BELIEVED_ALPHA = 0.3
KEYPOINT = 0.008  # m: diameter


def marker_array(grasps: GraspArray, gripper: Gripper, keypoints: KeypointArray) -> MarkerArray:
    """Markers in the place of all that were shown before, in the frame of the grasps.

    Beside those of `grasp_markers`, in the namespace "keypoints", spheres in a colour that is
    always the same for an index, faint where depth was not measured.

    Args:
        grasps: to show.
        gripper: its sizes.
        keypoints: to show, in the same frame.
    """
    markers = grasp_markers(LIVE, grasps, gripper)
    if keypoints.keypoints:
        markers.append(_keypoints(keypoints))
    return MarkerArray(markers=markers)


def _keypoints(array: KeypointArray) -> Marker:
    spheres = marker(LIVE, array.header, "keypoints", 0, Marker.SPHERE_LIST)
    spheres.points = [keypoint.point for keypoint in array.keypoints]
    spheres.colors = [
        color_message(
            LIVE,
            f"keypoint {keypoint.index}",
            1.0 if keypoint.is_measured else BELIEVED_ALPHA,
        )
        for keypoint in array.keypoints
    ]
    spheres.scale = vector_message(LIVE, [KEYPOINT] * 3)
    return spheres
