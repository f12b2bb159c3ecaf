"""The answers of a replay as a bag, to be looked at in RViz and Foxglove beside the recording.

Topics, frames and stamps are those of the running node. The definitions of all messages are in the
file, so that whoever reads it needs neither this package nor ROS.
"""

from pathlib import Path
from typing import Any

import cv2
from mcap.writer import Writer

from dense_desc_ros.data.bag_messages import BagMessages, interfaces_store
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.grasp_markers import grasp_markers
from dense_desc_ros.grasp_messages import grasp_array_message, pose_array_message
from dense_desc_ros.grasping.gripper import Gripper
from dense_desc_ros.pictures import Picture
from dense_desc_ros.rgbd_frame import RgbdFrame

NODE = "/descriptor_node"
GRASPS, POSES, MARKERS = f"{NODE}/grasps", f"{NODE}/grasp_poses", f"{NODE}/markers"
PICTURES = f"{NODE}/matches/compressed"
TOPICS = {
    GRASPS: "dense_desc_interfaces/msg/GraspArray",
    POSES: "geometry_msgs/msg/PoseArray",
    MARKERS: "visualization_msgs/msg/MarkerArray",
    PICTURES: "sensor_msgs/msg/CompressedImage",
}
JPEG = "rgb8; jpeg compressed bgr8"  # as compressed_image_transport calls it
QUALITY = 80  # of 100, as its default


class ResultBag:
    """An MCAP file, written frame by frame; use it with `with`.

    Args:
        path: of the file, which is replaced.
        gripper: to show at the grasps.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(self, path: Path, gripper: Gripper) -> None:
        self._gripper, self._ros = gripper, BagMessages()
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise DataError(f"cannot write {path}: {error}") from error
        self._writer = Writer(self._file)
        self._channels: dict[str, int] = {}

    def __enter__(self) -> "ResultBag":
        self._writer.start(profile="ros2", library="dense_desc_ros")
        for topic, kind in TOPICS.items():
            definition, _ = interfaces_store().generate_msgdef(kind, ros_version=2)
            schema = self._writer.register_schema(kind, "ros2msg", definition.encode())
            self._channels[topic] = self._writer.register_channel(topic, "cdr", schema)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.finish()
        self._file.close()

    def add(self, answers: Answers, frame: RgbdFrame, recorded_ns: int, picture: Picture) -> None:
        """Add the answers for a frame.

        Args:
            answers: in the frame of the camera.
            frame: that they are for.
            recorded_ns: when its image was recorded, which orders the bag.
            picture: its image (H, W, 3), RGB, with the answers drawn in.
        """
        ros = self._ros
        grasps = grasp_array_message(ros, frame, answers.grasps, answers.refusals)
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)[1]
        messages = {
            GRASPS: grasps,
            POSES: pose_array_message(ros, grasps),
            MARKERS: ros.MarkerArray(markers=grasp_markers(ros, grasps, self._gripper)),
            PICTURES: ros.CompressedImage(header=grasps.header, format=JPEG, data=data.ravel()),
        }
        for topic, message in messages.items():
            self._write(topic, message, recorded_ns)

    def _write(self, topic: str, message: Any, recorded_ns: int) -> None:
        data = bytes(interfaces_store().serialize_cdr(message, TOPICS[topic]))
        self._writer.add_message(self._channels[topic], recorded_ns, data, recorded_ns)
