"""Where objects really are in the frames of a recording: by a BOP scene, or a topic of the bag."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.any_bag import AnyBag
from dense_desc_ros.data.bag_messages import interfaces_store
from dense_desc_ros.data.bop_format import CAMERA_FILE, GT_FILE, MILLIMETRE, find_scenes
from dense_desc_ros.data.messages import NANOSECONDS, stamp_to_ns
from dense_desc_ros.data.reading import number, numbers, read_json
from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.grasp_messages import pose_matrix

POSE, CELL = "geometry_msgs/msg/PoseStamped", "dense_desc_interfaces/msg/CellTruth"
LATEST_NS = NANOSECONDS // 20  # by which a pose may be older or newer than the image


@dataclass(frozen=True, eq=False)
class TrueObject:
    """An object in a frame.

    Attributes:
        key: tells it from the others, and is the same in every frame.
        T_camera_object: (4, 4) its pose, metres.
        mask: file of the picture of what is visible of it, if there is one.
    """

    key: str
    T_camera_object: FloatArray
    mask: Path | None = None


class ObjectPoses(Protocol):
    """Where objects are: `source` names what tells it."""

    source: str

    def at(self, recorded: RecordedFrame) -> Sequence[TrueObject]:
        """The objects in a frame; empty where nothing is known."""


class BopPoses:
    """The poses of a BOP scene whose images, in order of their numbers, are a recording's frames.

    Args:
        path: the scene, or a data set of one.

    Raises:
        DataError: no scene, several, or one that is malformed.
    """

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        scenes = find_scenes(path)
        if len(scenes) != 1:
            raise DataError(f"{path} has {len(scenes)} scenes: give the folder of one of them")
        self._scene = scenes[0]
        self._file = self._scene / GT_FILE
        self._truth = read_json(self._file)
        images = read_json(self._scene / CAMERA_FILE)
        if wrong := [key for key in (*images, *self._truth) if not key.isdecimal()]:
            raise DataError(f"{self._scene}: {wrong[0]!r} must be the number of an image")
        self._images = sorted(images, key=int)

    def at(self, recorded: RecordedFrame) -> Sequence[TrueObject]:
        if recorded.number >= len(self._images):
            raise DataError(
                f"{self._scene} has {len(self._images)} images, but the recording a frame "
                f"{recorded.number}: it is not of this scene"
            )
        image = self._images[recorded.number]
        found, seen = [], Counter[int]()
        annotations = self._truth.get(image, [])
        if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
            raise DataError(f"{self._file}: {image!r} must hold a list of objects")
        for index, annotation in enumerate(annotations):
            object_id = int(number(annotation, "obj_id", self._file))
            key = f"{object_id}.{seen[object_id]}"  # several of a kind stay in their order
            seen[object_id] += 1
            mask = self._scene / "mask_visib" / f"{int(image):06d}_{index:06d}.png"
            pose = self._pose(annotation)
            found.append(TrueObject(key, pose, mask if mask.is_file() else None))
        return found

    def _pose(self, annotation: Mapping[str, Any]) -> FloatArray:
        pose = np.eye(4)
        pose[:3, :3] = numbers(annotation, "cam_R_m2c", 9, self._file).reshape(3, 3)
        pose[:3, 3] = numbers(annotation, "cam_t_m2c", 3, self._file) * MILLIMETRE
        return pose


class TopicPoses:
    """The poses on a topic of a bag, PoseStamped of one object or CellTruth of many.

    Args:
        bag: the recording.
        topic: its name.
        T_frame_camera: (4, 4) pose of the camera, which stands still, in the frame of these poses;
            None if that is the camera's own.

    Raises:
        DataError: no such topic, or a message on it that cannot be used.
    """

    def __init__(self, bag: Path, topic: str, T_frame_camera: FloatArray | None) -> None:
        self.source = topic
        self._is_in_camera = T_frame_camera is None
        T_camera_frame = np.eye(4) if T_frame_camera is None else np.linalg.inv(T_frame_camera)
        stamped: dict[int, list[TrueObject]] = {}
        for message in _messages(bag, topic):
            self._frame_id = message.header.frame_id
            objects = getattr(message, "objects", [message])  # one PoseStamped, or many
            try:
                stamped[stamp_to_ns(message.header.stamp)] = [
                    TrueObject(
                        getattr(each, "body", topic), T_camera_frame @ pose_matrix(each.pose)
                    )
                    for each in objects
                ]
            except InvalidInputError as error:
                raise DataError(f"{topic} of {bag} has a pose that is none: {error}") from error
        if not stamped:
            raise DataError(f"{bag} has no message on {topic}")
        self._stamps = sorted(stamped)
        self._objects = stamped

    def at(self, recorded: RecordedFrame) -> Sequence[TrueObject]:
        frame = recorded.frame
        if self._is_in_camera and self._frame_id != frame.frame_id:
            raise DataError(
                f"the poses on {self.source} are in the frame {self._frame_id!r}, but the images "
                f"in {frame.frame_id!r}: give the pose of the camera with --camera-pose"
            )
        after = bisect_left(self._stamps, frame.stamp_ns)
        near = self._stamps[max(after - 1, 0) : after + 1]
        stamp = min(near, key=lambda each: abs(each - frame.stamp_ns))
        return self._objects[stamp] if abs(stamp - frame.stamp_ns) <= LATEST_NS else []


def _messages(bag: Path, topic: str) -> Iterator[Any]:
    with AnyBag(bag) as reader:
        kind = reader.topics.get(topic)
        if kind not in (POSE, CELL):
            what = f"{topic} is {kind}" if kind else f"there is no {topic}, but {_list(reader)}"
            raise DataError(f"the truth in {bag} must be a topic of {POSE} or {CELL}: {what}")
        for raw in reader.messages([topic]):
            try:
                if kind == CELL:
                    yield interfaces_store().deserialize_cdr(raw.data, kind)
                else:
                    yield reader.decode(raw)
            except Exception as error:  # damaged bytes make parsers fail in every possible way
                raise DataError(f"a message on {topic} of {bag} is damaged: {error}") from error


def _list(reader: AnyBag) -> str:
    return ", ".join(sorted(reader.topics)) or "nothing"
