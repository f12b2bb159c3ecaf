"""References held against where their objects really are.

The click that registered a reference tells which object it is on, and where on it; from then on the
object's pose tells where the point is, and how its frame is turned.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.reading import read_mask
from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError, DenseDescError, InvalidInputError
from dense_desc_ros.evaluation.replay.answers import Answers
from dense_desc_ros.evaluation.replay.inputs import Click, TruePixel
from dense_desc_ros.evaluation.replay.object_poses import ObjectPoses, TrueObject
from dense_desc_ros.evaluation.replay.run import ReplayConfig
from dense_desc_ros.grasping.grasp import Grasp
from dense_desc_ros.grasping.straight import point_frame
from dense_desc_ros.grasping.surface import fit_surface
from dense_desc_ros.rgbd_frame import RgbdFrame

HIDING = 0.02  # m by which what is in front of a point hides it


class PoseTruth:
    """Where the clicked references of a replay really are in its first recording.

    Args:
        config: of the replay.
        poses: of the objects.

    Raises:
        InvalidInputError: nothing was clicked on.
        DataError: a click is on none of the objects, or the poses are not of this recording.
    """

    def __init__(self, config: ReplayConfig, poses: ObjectPoses) -> None:
        if not config.clicks:
            raise InvalidInputError(
                f"{poses.source} tells where objects are, but not where on them a reference is: "
                "register points on the recording itself (--register)"
            )
        self._poses = poses
        self._places: dict[str, tuple[str, FloatArray]] = {}  # key of the object, T_object_point
        self._errors: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        wanted = {click.frame for click in config.clicks.values()}
        with config.open(config.bags[0]) as recording:
            for recorded in recording.frames(wanted=wanted.__contains__):
                for name, click in config.clicks.items():
                    if click.frame == recorded.number:
                        self._places[name] = self._place(name, click, recorded)

    def pixels(self, recorded: RecordedFrame) -> dict[str, TruePixel]:
        """Name -> pixel in a frame, None where hidden, of the points whose object is known there.

        Hidden is what is outside of the picture, or behind what is measured there.
        """
        return {name: _pixel(recorded.frame, T) for name, T in self._at(recorded).items()}

    def compare(self, answers: Answers, recorded: RecordedFrame, names: Collection[str]) -> None:
        """Hold the best grasps for a frame against the truth, those of some names."""
        truth = self._at(recorded)
        for name, answer in answers.by_name().items():
            if isinstance(answer, Grasp) and name in truth and name in names:
                found, true = answer.found.T_camera_point, truth[name]
                turn = Rotation.from_matrix(true[:3, :3].T @ found[:3, :3]).magnitude()
                shift = float(np.linalg.norm(found[:3, 3] - true[:3, 3]))
                self._errors[name].append((1e3 * shift, float(np.degrees(turn))))

    def summarize(self, name: str) -> dict[str, Any]:
        """`pose_median_mm` and `pose_median_deg` of the frame of a reference's point."""
        medians = (
            np.median(self._errors[name], axis=0).tolist() if self._errors[name] else [None] * 2
        )
        return dict(zip(("pose_median_mm", "pose_median_deg"), medians, strict=True))

    def _at(self, recorded: RecordedFrame) -> dict[str, FloatArray]:
        """Name -> T_camera_point (4, 4)."""
        objects = {each.key: each.T_camera_object for each in self._poses.at(recorded)}
        return {
            name: objects[key] @ T_object_point
            for name, (key, T_object_point) in self._places.items()
            if key in objects
        }

    def _place(self, name: str, click: Click, recorded: RecordedFrame) -> tuple[str, FloatArray]:
        try:
            patch = fit_surface(recorded.frame, np.array(click.pixel))
        except DenseDescError as error:
            raise DataError(f"cannot register {name} on frame {click.frame}: {error}") from error
        T_camera_point = point_frame(patch.point, -patch.normal)
        clicked = _clicked(self._poses.at(recorded), click, T_camera_point[:3, 3])
        if clicked is None:
            raise DataError(
                f"{self._poses.source} has no object where {name} is registered, at "
                f"{click.pixel} in frame {click.frame}"
            )
        return clicked.key, np.linalg.inv(clicked.T_camera_object) @ T_camera_point


def _pixel(frame: RgbdFrame, T_camera_point: FloatArray) -> TruePixel:
    point = T_camera_point[:3, 3]
    pixel = frame.camera.project(point)
    if not np.isfinite(pixel).all() or not frame.camera.contains(pixel):
        return None
    u, v = np.rint(pixel).astype(int)
    if frame.depth[v, u] < point[2] - HIDING:
        return None
    return float(pixel[0]), float(pixel[1])


def _clicked(objects: Sequence[TrueObject], click: Click, point: FloatArray) -> TrueObject | None:
    """The object whose mask has the pixel; without masks the one that is nearest."""
    u, v = np.rint(click.pixel).astype(int)
    masks = {each.key: read_mask(each.mask) for each in objects if each.mask}
    if masks:
        return next((each for each in objects if each.key in masks and masks[each.key][v, u]), None)
    return min(
        objects, key=lambda each: np.linalg.norm(each.T_camera_object[:3, 3] - point), default=None
    )
