"""What was found as markers for RViz: the gripper at each grasp, and the network's keypoints."""

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from dense_desc_interfaces.msg import Grasp, GraspArray, KeypointArray
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.gripper_drawing import gripper_boxes
from dense_desc_ros.nodes.conversions import pose_matrix, pose_message
from dense_desc_ros.pictures import color_of

LIFETIME = Duration(
    sec=5
)  # longer than any frame takes; shows nothing that nobody looks for any more
GRIPPER_ALPHA, BELIEVED_ALPHA = 0.6, 0.3
TAIL, LABEL = 0.06, 0.08  # m behind the palm: where the arrow begins, and the text is
ARROW = Vector3(x=0.006, y=0.014, z=0.02)  # m: of its shaft and head the diameters, and its head
LETTER, KEYPOINT = 0.02, 0.008  # m: height, and diameter


def marker_array(grasps: GraspArray, gripper: Gripper, keypoints: KeypointArray) -> MarkerArray:
    """Markers in the place of all that were shown before, in the frame of the grasps.

    Namespaces, to be switched on and off in RViz: "gripper", a box for each finger and the palm;
    "approach", an arrow that ends between the finger tips; "label", with name, method and score; in
    a colour that is always the same for a reference. "keypoints" are spheres in a colour that is
    always the same for an index, faint where depth was not measured.

    Args:
        grasps: to show.
        gripper: its sizes.
        keypoints: to show, in the same frame.
    """
    # All go at first, so that nothing of an earlier frame stays, whichever messages were lost.
    markers = [Marker(header=grasps.header, action=Marker.DELETEALL)]
    for index, grasp in enumerate(grasps.grasps):
        markers += _grasp(grasp, index, gripper)
    if keypoints.keypoints:
        markers.append(_keypoints(keypoints))
    return MarkerArray(markers=markers)


def _grasp(grasp: Grasp, index: int, gripper: Gripper) -> list[Marker]:
    header, color = grasp.pose.header, _color(grasp.name)
    T_frame_grasp = pose_matrix(grasp.pose.pose)
    behind = gripper.finger_length + gripper.palm_height
    boxes = gripper_boxes(gripper, grasp.opening_width)
    markers = []
    for part, box in enumerate(boxes):
        marker = _marker(header, "gripper", len(boxes) * index + part, Marker.CUBE)
        marker.pose = pose_message(T_frame_grasp @ _translation(box.centre))
        marker.scale = _vector(box.size)
        marker.color = _color(grasp.name, GRIPPER_ALPHA)
        markers.append(marker)

    arrow = _marker(header, "approach", index, Marker.ARROW)
    arrow.pose = grasp.pose.pose
    arrow.points = [Point(z=-behind - TAIL), Point()]
    arrow.scale, arrow.color = ARROW, color

    label = _marker(header, "label", index, Marker.TEXT_VIEW_FACING)
    label.pose = pose_message(T_frame_grasp @ _translation((0, 0, -behind - LABEL)))
    label.text = f"{grasp.name} ({grasp.method}) {grasp.score:.2f}"
    label.scale.z, label.color = LETTER, color
    return [*markers, arrow, label]


def _keypoints(array: KeypointArray) -> Marker:
    marker = _marker(array.header, "keypoints", 0, Marker.SPHERE_LIST)
    marker.points = [keypoint.point for keypoint in array.keypoints]
    marker.colors = [
        _color(f"keypoint {keypoint.index}", 1.0 if keypoint.is_measured else BELIEVED_ALPHA)
        for keypoint in array.keypoints
    ]
    marker.scale = _vector([KEYPOINT] * 3)
    return marker


def _marker(header: Header, namespace: str, number: int, kind: int) -> Marker:
    return Marker(header=header, ns=namespace, id=number, type=kind, lifetime=LIFETIME)


def _color(name: str, alpha: float = 1.0) -> ColorRGBA:
    red, green, blue = (value / 255 for value in color_of(name))
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


def _vector(values: npt.ArrayLike) -> Vector3:
    x, y, z = (float(value) for value in np.asarray(values))
    return Vector3(x=x, y=y, z=z)


def _translation(values: npt.ArrayLike) -> npt.NDArray[np.floating]:
    matrix = np.eye(4)
    matrix[:3, 3] = values
    return matrix
