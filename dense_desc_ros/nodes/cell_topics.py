"""What the simulated cell tells: its clock, camera, joints, and the truth."""

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, Transform, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from dense_desc_interfaces.msg import CellTruth, TrueObject
from dense_desc_ros.data.messages import NANOSECONDS, image_to_message
from dense_desc_ros.nodes.client import CAMERA_TOPICS, frame_messages
from dense_desc_ros.nodes.conversions import point_message, pose_message
from dense_desc_ros.rgbd_frame import RgbdFrame
from dense_desc_ros.sim.cell import Cell

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not among the wheels; the camera's pose has a topic of its own
    TFMessage = None


class CellTopics:
    """Publishes what a cell tells, on the thread of the cell.

    The true places of the objects go to `~/truth`, which is for measuring only, and pictures of the
    whole cell to `~/outside` while somebody looks.

    Args:
        node: publishes.
        base_frame: name of the frame at the robot's base.
    """

    def __init__(self, node: Node, base_frame: str) -> None:
        self._node, self._base_frame = node, base_frame
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._camera = {
            key: node.create_publisher(kind, f"camera/{topic}", QoSProfile(depth=1))
            for key, (topic, kind) in CAMERA_TOPICS.items()
        }
        self._pose = node.create_publisher(PoseStamped, "camera/pose", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 10) if TFMessage else None
        self._joints = node.create_publisher(JointState, "joint_states", 10)
        self._clock_topic = node.create_publisher(Clock, "/clock", 10)
        self._truth = node.create_publisher(CellTruth, "~/truth", latched)
        self._outside = node.create_publisher(Image, "~/outside", QoSProfile(depth=1))

    def tell_state(self, cell: Cell) -> None:
        """The time, where the camera is, and the joints."""
        if not self._node.context.ok():
            return
        stamp = _stamp(cell)
        self._clock_topic.publish(Clock(clock=stamp))
        header = Header(stamp=stamp, frame_id=self._base_frame)
        pose = pose_message(cell.T_base_camera)
        self._pose.publish(PoseStamped(header=header, pose=pose))
        if self._tf is not None:
            self._tf.publish(TFMessage(transforms=[_transform(header, pose)]))
        names, positions, velocities = cell.joints()
        self._joints.publish(
            JointState(
                header=Header(stamp=stamp),
                name=list(names),
                position=positions.tolist(),
                velocity=velocities.tolist(),
            )
        )

    def tell_frame(self, cell: Cell) -> None:
        """What the camera sees, the truth, and a picture from outside if somebody looks."""
        if not self._node.context.ok():
            return
        view = cell.view()
        messages = frame_messages(view.frame)
        for key, message in messages.items():
            self._camera[key].publish(message)
        self.tell_truth(cell)
        if self._outside.get_subscription_count():  # rendering takes its time
            header = Header(stamp=_stamp(cell), frame_id=self._base_frame)
            self._outside.publish(image_to_message(Image, header, cell.view_outside()))

    def tell_truth(self, cell: Cell) -> None:
        """Where the objects really are."""
        truth = CellTruth(
            header=Header(stamp=_stamp(cell), frame_id=self._base_frame),
            seed=cell.seed,
        )
        for each in cell.truth():
            truth.objects.append(
                TrueObject(
                    category=each.category,
                    number=each.number,
                    body=each.body,
                    pose=pose_message(each.T_base_object),
                    point_names=list(each.points),
                    points=[point_message(point) for point in each.points.values()],
                )
            )
        self._truth.publish(truth)


def _transform(header: Header, T_base_camera: Pose) -> TransformStamped:
    p = T_base_camera.position
    there = Transform(translation=Vector3(x=p.x, y=p.y, z=p.z), rotation=T_base_camera.orientation)
    return TransformStamped(header=header, child_frame_id=RgbdFrame.frame_id, transform=there)


def _stamp(cell: Cell) -> Time:
    seconds, nanoseconds = divmod(round(cell.time * NANOSECONDS), NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)
