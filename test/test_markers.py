"""Markers for RViz: the gripper that is checked, at the grasps that there are, and no others."""

import math

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point, PoseStamped
from hypothesis import given
from hypothesis import strategies as st
from known_scene import CAMERA, pose
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from dense_desc_interfaces.msg import Grasp, GraspArray, Keypoint, KeypointArray
from dense_desc_ros.grasping.gripper import TOLERANCE, Gripper, _collision
from dense_desc_ros.gripper_drawing import draw_gripper
from dense_desc_ros.nodes.conversions import pose_matrix, pose_message
from dense_desc_ros.nodes.markers import marker_array

NONE = KeypointArray()
CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
SIZES = st.floats(4.1 * TOLERANCE, 0.1)  # of smaller boxes less is tolerated
ROTATIONS = st.tuples(*[st.floats(-2.0, 2.0)] * 3)


def grasps(*found: tuple[str, np.ndarray, float]) -> GraspArray:
    """Grasps of (name, T_frame_grasp, opening width)."""
    header = Header(frame_id="base")
    return GraspArray(
        header=header,
        grasps=[
            Grasp(
                name=name,
                method="registered",
                score=0.875,
                pose=PoseStamped(header=header, pose=pose_message(T_frame_grasp)),
                opening_width=width,
            )
            for name, T_frame_grasp, width in found
        ],
    )


def keypoints(*is_measured: bool) -> KeypointArray:
    return KeypointArray(
        header=Header(frame_id="base"),
        keypoints=[
            Keypoint(index=index, point=Point(x=0.1 * index, z=0.5), is_measured=measured)
            for index, measured in enumerate(is_measured)
        ],
    )


def of(array: MarkerArray, namespace: str) -> list[Marker]:
    return [marker for marker in array.markers if marker.ns == namespace]


def corners_of(box: Marker, shrunk: float = 0.0) -> np.ndarray:
    """The corners (8, 3) of a box in the frame of its header, or of one inside it, metres."""
    size = np.array([box.scale.x, box.scale.y, box.scale.z])
    local = CORNERS * (size / 2 - shrunk)
    matrix = pose_matrix(box.pose)
    return local @ matrix[:3, :3].T + matrix[:3, 3]


class Viewer:
    """Shows markers as RViz does."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, int], Marker] = {}

    def show(self, array: MarkerArray) -> None:
        added = [(m.ns, m.id) for m in array.markers if m.action == Marker.ADD]
        assert len(set(added)) == len(added)
        for marker in array.markers:
            if marker.action == Marker.DELETEALL:
                self.shown.clear()
            else:
                self.shown[marker.ns, marker.id] = marker


@given(
    rotation=ROTATIONS,
    width=st.floats(0.0, 0.1),
    gripper=st.builds(Gripper, st.just(0.1), SIZES, SIZES, SIZES, SIZES, SIZES, SIZES),
)
def test_the_boxes_are_those_that_are_checked_for_collisions(
    rotation: tuple[float, float, float], width: float, gripper: Gripper
) -> None:
    T_frame_grasp = pose(0.3, -0.2, 0.5, rotation)
    boxes = of(marker_array(grasps(("mug", T_frame_grasp, width)), gripper, NONE), "gripper")
    assert len(boxes) == 3

    def hits(points: np.ndarray) -> bool:
        """Whether the gripper runs into points (N, 3); one alone would count as noise."""
        local = (points - T_frame_grasp[:3, 3]) @ T_frame_grasp[:3, :3]
        return bool(_collision(np.repeat(local, 6, axis=0).T, gripper, width))

    for box in boxes:
        assert all(hits(corner[None]) for corner in corners_of(box, 1.01 * TOLERANCE))
        assert not hits(corners_of(box, -1e-4))


@pytest.mark.parametrize("width", [math.nan, 0.03, 0.08])
@pytest.mark.parametrize("rotvec", [(0.0, 0.0, 0.0), (0.6, -0.5, 1.0)])
def test_the_boxes_cover_the_gripper_that_is_drawn_into_the_picture(
    rotvec: tuple[float, float, float], width: float
) -> None:
    T_camera_grasp = pose(0.02, 0.01, 0.6, rotvec)
    drawn = np.zeros((240, 320, 3), np.uint8)
    draw_gripper(drawn, CAMERA, T_camera_grasp, width, (255, 255, 255))
    covered = np.zeros((240, 320), np.uint8)
    array = marker_array(grasps(("mug", T_camera_grasp, width)), Gripper(), NONE)
    for box in of(array, "gripper"):
        hull = cv2.convexHull(CAMERA.project(corners_of(box)).astype(np.float32))
        cv2.fillConvexPoly(covered, hull.round().astype(int), 255)
    covered = cv2.dilate(covered, np.ones((7, 7)))  # lines have a width
    assert drawn.any() and not (drawn.any(axis=2) & (covered == 0)).any()


def test_arrow_and_label_tell_of_the_grasp() -> None:
    T_frame_grasp = pose(0.3, 0.1, 0.2, (3.0, 0.3, 0.1))
    array = marker_array(grasps(("mug", T_frame_grasp, 0.05)), Gripper(), NONE)
    (arrow,), (label,) = of(array, "approach"), of(array, "label")
    ends = np.array([[p.x, p.y, p.z] for p in arrow.points])
    start, end = ends @ pose_matrix(arrow.pose)[:3, :3].T + pose_matrix(arrow.pose)[:3, 3]
    np.testing.assert_allclose(end, T_frame_grasp[:3, 3], atol=1e-9)
    approach = (end - start) / np.linalg.norm(end - start)
    np.testing.assert_allclose(approach, T_frame_grasp[:3, 2], atol=1e-9)
    assert label.text == "mug (registered) 0.88"
    place = pose_matrix(label.pose)[:3, 3]
    assert (end - place) @ approach > np.linalg.norm(end - start)  # behind the arrow's tail


def test_nothing_stays_of_what_is_not_found_any_more() -> None:
    viewer = Viewer()
    both = [("mug", pose(0.1), 0.05), ("cap", pose(0.4), math.nan)]
    viewer.show(marker_array(grasps(*both), Gripper(), keypoints(True, False)))
    assert len(viewer.shown) == 2 * 5 + 1
    viewer.show(marker_array(grasps(both[1]), Gripper(), NONE))
    alone = Viewer()
    alone.show(marker_array(grasps(both[1]), Gripper(), NONE))
    assert viewer.shown == alone.shown and len(alone.shown) == 5
    for marker in alone.shown.values():
        assert marker.lifetime.sec > 0 and marker.header.frame_id == "base"
        assert math.isfinite(marker.pose.position.y)  # of the width that is not known
    viewer.show(marker_array(grasps(), Gripper(), NONE))
    assert not viewer.shown


def test_colours_belong_to_names_and_indices() -> None:
    mug, cap = ("mug", pose(0.1), 0.05), ("cap", pose(0.4), 0.05)
    colours: dict[str, set[tuple[float, ...]]] = {"mug": set(), "cap": set()}
    for found in ([mug, cap], [cap, mug], [cap]):
        array = marker_array(grasps(*found), Gripper(), NONE)
        for label in of(array, "label"):
            colours[label.text.split()[0]].add((label.color.r, label.color.g, label.color.b))
    assert [len(seen) for seen in colours.values()] == [1, 1]
    assert colours["mug"] != colours["cap"]

    (points,) = of(marker_array(grasps(), Gripper(), keypoints(True, True, True)), "keypoints")
    (faint,) = of(marker_array(grasps(), Gripper(), keypoints(True, False)), "keypoints")
    rgb = [(c.r, c.g, c.b) for c in points.colors]
    assert [(c.r, c.g, c.b) for c in faint.colors] == rgb[:2] and len(set(rgb)) == 3
    assert faint.colors[1].a < faint.colors[0].a == 1
    assert points.points == [keypoint.point for keypoint in keypoints(True, True, True).keypoints]
