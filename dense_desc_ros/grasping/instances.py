"""Which of many poses of a reference are its instances: the best of those on one object."""

from collections.abc import Sequence

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.poses import SAME_OBJECT, distances
from dense_desc_ros.references import Reference

MOST_OVERLAP = 0.5  # of two instances' supports: with more they are poses of one object


def best_poses(
    reference: Reference, answers: Sequence[PointPose | NotFound], count: int
) -> list[PointPose | NotFound]:
    """Up to `count` poses, best scores first, one of each object; or the best reason for none."""
    answers = sorted(answers, key=lambda answer: -answer.score)
    best: list[PointPose | NotFound] = []
    taken: list[FloatArray] = []
    for pose in answers:
        if isinstance(pose, PointPose) and len(best) < count:
            rotation, shift = pose.T_camera_point[:3, :3], pose.T_camera_point[:3, 3]
            points = pose.scale * reference.support.points_array @ rotation.T + shift
            if not any(_overlap(points, others) for others in taken):
                taken.append(points)
                best.append(pose)
    return best or list(answers[:1])


def _overlap(points: FloatArray, others: FloatArray) -> bool:
    """Whether most of some points (n, 3) of a surface are where others (m, 3) of another are."""
    return bool(np.mean(distances(points, others) <= SAME_OBJECT) > MOST_OVERLAP)
