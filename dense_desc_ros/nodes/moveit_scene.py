"""What MoveIt is told of the world around the arm: the table, and the object that is picked."""

from collections.abc import Sequence

import geometry_msgs.msg
import numpy as np
from geometry_msgs.msg import Pose
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from moveit_msgs.srv import ApplyPlanningScene
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Header

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.grasp_messages import point_message
from dense_desc_ros.nodes.moveit_settings import MoveItSettings

TABLE, OBJECT = "table", "object"
ABOVE_TABLE = 0.005  # m that boxes are above the table at least
NOTHING = np.empty((0, 3))
GONE = CollisionObject(id=OBJECT, operation=CollisionObject.REMOVE)


class MoveItScene:
    """Keeps in mind where the object is, and says all of it anew each time it is asked.

    For move_group may have been restarted since. The object is boxes at points of its surface: in
    the way until the hand goes to it, and a part of the hand while it is held.

    Args:
        settings: of the arm; whether there are a table and boxes.
        base_frame: that poses are given in.
    """

    def __init__(self, settings: MoveItSettings, base_frame: str) -> None:
        self._settings, self._base_frame = settings, base_frame
        self._seen: FloatArray = NOTHING
        self._touched: FloatArray = NOTHING  # the same in the frame of the tip link
        self._in_hand: FloatArray = NOTHING  # and these
        self._to_forget: list[CollisionObject] = []
        self._to_detach: list[AttachedCollisionObject] = []

    def see(self, points: FloatArray) -> None:
        """There is an object, with points (n, 3) on its surface in the base frame.

        Boxes that would touch the table are left out: with them in the hand nothing could be lifted
        from it, as MoveIt moves nowhere from where something collides.
        """
        settings = self._settings
        if not settings.object_box:
            return
        if settings.table:
            top = settings.table[2] + settings.table[5] / 2
            points = points[points[:, 2] - settings.object_box / 2 > top + ABOVE_TABLE]
        self._seen = points

    def touch(self, T_base_tip: FloatArray | None = None) -> None:
        """The hand goes to the object, which is not in its way any more.

        Args:
            T_base_tip: (4, 4) where the tip link will be then; None: it goes there only in thought.
        """
        if T_base_tip is not None:
            T_tip_base = np.linalg.inv(T_base_tip)
            self._touched = self._seen @ T_tip_base[:3, :3].T + T_tip_base[:3, 3]
        if len(self._seen):
            self._to_forget = [GONE]
        self._seen = NOTHING

    def grip(self, stalled: bool) -> None:
        """The fingers have moved, and press against something or not."""
        if stalled and len(self._touched):
            self._in_hand, self._touched = self._touched, NOTHING
        elif not stalled and len(self._in_hand):
            # Detached, it would be something in the world again.
            self._to_detach, self._to_forget = [self._attached(GONE)], [GONE]
            self._in_hand = NOTHING

    def request(self) -> ApplyPlanningScene.Request | None:
        """What MoveIt is to be told now; None if there is nothing."""
        scene = PlanningScene(is_diff=True)
        scene.robot_state.is_diff = True
        attached, self._to_detach = self._to_detach, []
        world, self._to_forget = self._to_forget, []
        if self._settings.table:
            world = [*world, self._table()]
        if len(self._seen):
            world = [*world, self._object(self._seen, self._base_frame)]
        if len(self._in_hand):
            held = self._object(self._in_hand, self._settings.tip_link)
            attached = [*attached, self._attached(held)]
        scene.world.collision_objects = world
        scene.robot_state.attached_collision_objects = attached
        return ApplyPlanningScene.Request(scene=scene) if world or attached else None

    def _table(self) -> CollisionObject:
        x, y, z, *sizes = self._settings.table
        pose = Pose(position=point_message(geometry_msgs.msg, (x, y, z)))
        return _boxes(TABLE, self._base_frame, pose, np.zeros((1, 3)), sizes)

    def _object(self, points: FloatArray, frame: str) -> CollisionObject:
        return _boxes(OBJECT, frame, Pose(), points, 3 * [self._settings.object_box])

    def _attached(self, what: CollisionObject) -> AttachedCollisionObject:
        links = list(self._settings.touch_links)
        return AttachedCollisionObject(
            link_name=self._settings.tip_link, object=what, touch_links=links
        )


def _boxes(
    name: str, frame: str, pose: Pose, centres: FloatArray, sizes: Sequence[float]
) -> CollisionObject:
    """Boxes of the same sizes along x, y and z, at centres (n, 3) relative to a pose in a frame."""
    box = SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[float(size) for size in sizes])
    poses = [Pose(position=point_message(geometry_msgs.msg, centre)) for centre in centres]
    return CollisionObject(
        header=Header(frame_id=frame),
        id=name,
        pose=pose,
        primitives=[box] * len(poses),
        primitive_poses=poses,
        operation=CollisionObject.ADD,
    )
