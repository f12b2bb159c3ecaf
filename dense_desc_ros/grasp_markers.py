"""Grasps as markers for RViz and Foxglove, live and in bags: the gripper at each, and its name."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dense_desc_ros.grasp_messages import pose_matrix, pose_message
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.gripper_drawing import gripper_boxes
from dense_desc_ros.pictures import color_of

LIFETIME = 5  # s; longer than any frame takes; shows nothing that nobody looks for any more
GRIPPER_ALPHA = 0.6
TAIL, LABEL = 0.06, 0.08  # m behind the palm: where the arrow begins, and the text is
ARROW = (0.006, 0.014, 0.02)  # m: of its shaft and head the diameters, and its head
LETTER = 0.02  # m


def grasp_markers(ros: Any, grasps: Any, gripper: Gripper) -> list[Any]:
    """Markers in the place of all that were shown before, in the frame of the grasps.

    Namespaces, to be switched on and off in RViz: "gripper", a box for each finger and the palm;
    "approach", an arrow that ends between the finger tips; "label", with name, method and score; in
    a colour that is always the same for a reference.

    Args:
        ros: classes of messages, see `grasp_messages`.
        grasps: a GraspArray.
        gripper: its sizes.
    """
    # All go at first, so that nothing of an earlier frame stays, whichever messages were lost.
    nowhere = pose_message(ros, np.eye(4))
    markers = [ros.Marker(header=grasps.header, action=ros.Marker.DELETEALL, pose=nowhere)]
    for index, grasp in enumerate(grasps.grasps):
        markers += _grasp(ros, grasp, index, gripper)
    return markers


def marker(ros: Any, header: Any, namespace: str, number: int, kind: int) -> Any:
    """A marker of that kind that goes by itself after a while."""
    lifetime = ros.Duration(sec=LIFETIME)
    return ros.Marker(header=header, ns=namespace, id=number, type=kind, lifetime=lifetime)


def color_message(ros: Any, name: str, alpha: float = 1.0) -> Any:
    """The colour of a name."""
    red, green, blue = (value / 255 for value in color_of(name))
    return ros.ColorRGBA(r=red, g=green, b=blue, a=alpha)


def vector_message(ros: Any, values: npt.ArrayLike) -> Any:
    """A Vector3 (3,)."""
    x, y, z = (float(value) for value in np.asarray(values))
    return ros.Vector3(x=x, y=y, z=z)


def _grasp(ros: Any, grasp: Any, index: int, gripper: Gripper) -> list[Any]:
    header = grasp.pose.header
    color, clear = (color_message(ros, grasp.name, alpha) for alpha in (1.0, GRIPPER_ALPHA))
    R = pose_matrix(grasp.pose.pose)[:3, :3]
    behind = gripper.finger_length + gripper.palm_height
    boxes = gripper_boxes(gripper, grasp.opening_width)
    markers = []
    for part, box in enumerate(boxes):
        made = marker(ros, header, "gripper", len(boxes) * index + part, ros.Marker.CUBE)
        made.pose = _moved(ros, grasp.pose.pose, R @ box.centre)
        made.scale = vector_message(ros, box.size)
        made.color = clear
        markers.append(made)

    arrow = marker(ros, header, "approach", index, ros.Marker.ARROW)
    arrow.pose = grasp.pose.pose
    arrow.points = [ros.Point(z=-behind - TAIL), ros.Point()]
    arrow.scale, arrow.color = vector_message(ros, ARROW), color

    label = marker(ros, header, "label", index, ros.Marker.TEXT_VIEW_FACING)
    label.pose = _moved(ros, grasp.pose.pose, R @ (0, 0, -behind - LABEL))
    label.text = f"{grasp.name} ({grasp.method}) {grasp.score:.2f}"
    label.scale, label.color = vector_message(ros, (0, 0, LETTER)), color
    return [*markers, arrow, label]


def _moved(ros: Any, pose: Any, by: npt.ArrayLike) -> Any:
    """A pose moved by a vector (3,) of the same frame."""
    x, y, z = (float(value) for value in np.asarray(by))
    at = pose.position
    position = ros.Point(x=at.x + x, y=at.y + y, z=at.z + z)
    return ros.Pose(position=position, orientation=pose.orientation)
