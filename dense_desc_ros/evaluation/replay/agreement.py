"""Whether the running node answered as the replay did, frame by frame."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.evaluation.replay.figures import kind_of
from dense_desc_ros.grasp_messages import pose_matrix
from dense_desc_ros.grasping.grasp import Grasp

POSITION_MM, ANGLE_DEG = 0.1, 0.1  # by which grasps that are the same may differ
TOLD = 20  # differences told in words


@dataclass
class Agreement:
    """What the node answered, held against a replay of the same recordings.

    Attributes:
        frames: of the replay.
        processed: of these, how many the node answered; the others it dropped for newer ones.
        same: of these, in how many it gave the same grasps and the same refusals.
        largest_mm, largest_deg: by which two grasps that belong together differ at most.
        differences: the first TOLD of them, in words.
    """

    frames: int = 0
    processed: int = 0
    same: int = 0
    largest_mm: float = 0.0
    largest_deg: float = 0.0
    differences: list[str] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        return self.frames - self.processed

    def add(self, answers: Iterable[Answers], online: Mapping[int, Sequence[Any]]) -> None:
        """Add a recording.

        Args:
            answers: of the replay.
            online: stamp, nanoseconds -> the GraspArray messages of the node, in the frame of the
                camera. Where frames share a stamp, nobody can tell which one a message is for.
        """
        for each in answers:
            self.frames += 1
            if each.stamp_ns not in online:
                continue
            self.processed += 1
            found = min((self._compare(each, array) for array in online[each.stamp_ns]), key=len)
            self.same += not found
            self.differences += found[: TOLD - len(self.differences)]

    def as_figures(self) -> dict[str, Any]:
        """The attributes."""
        return {"dropped": self.dropped, **vars(self)}

    def _compare(self, answers: Answers, array: Any) -> list[str]:
        """What differs in a frame, in words."""
        where = f"recording {answers.bag}, frame {answers.frame}"
        ours, theirs = _by_name(answers.grasps), _by_name(array.grasps)
        refused = {each.name: kind_of(each.reason) for each in answers.refusals}
        refused_online = {each.name: kind_of(each.reason) for each in array.refusals}
        found = []
        for name in sorted({*ours, *theirs, *refused, *refused_online}):
            if len(ours[name]) != len(theirs[name]):
                told = f"{len(ours[name])} grasps in the replay, {len(theirs[name])} of the node"
                found.append(f"{where}, {name}: {told}")
            elif refused.get(name) != refused_online.get(name):
                told = f"refused because {refused.get(name)!r}, {refused_online.get(name)!r}"
                found.append(f"{where}, {name}: {told}")
            found += [
                f"{where}, {name}: {told}"
                for pair in zip(ours[name], theirs[name], strict=False)
                if (told := self._compare_grasps(*pair))
            ]
        return found

    def _compare_grasps(self, grasp: Grasp, message: Any) -> str:
        T_camera_grasp = pose_matrix(message.pose.pose)
        shift = T_camera_grasp[:3, 3] - grasp.T_camera_grasp[:3, 3]
        millimetres = 1e3 * float(np.linalg.norm(shift))
        turn = grasp.T_camera_grasp[:3, :3].T @ T_camera_grasp[:3, :3]
        degrees = float(np.degrees(Rotation.from_matrix(turn).magnitude()))
        self.largest_mm = max(self.largest_mm, millimetres)
        self.largest_deg = max(self.largest_deg, degrees)
        if grasp.method != message.method:
            return f"found {grasp.method} in the replay, {message.method} by the node"
        if millimetres > POSITION_MM or degrees > ANGLE_DEG:
            return f"{millimetres:.2f} mm and {degrees:.2f} deg apart"
        return ""


def _by_name(grasps: Iterable[Any]) -> defaultdict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for grasp in grasps:
        found[grasp.name].append(grasp)
    return found
