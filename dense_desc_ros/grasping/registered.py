"""The pose of a reference by the surface around its point: descriptors matched, points aligned."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.alignment import Flags
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.poses import Correspondences, find_poses
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.matching import Matches
from dense_desc_ros.references import Reference

MORE_PEAKS = 2  # than instances: some of the best places are on what is no instance
NEARBY = 2  # features around where a pose puts a point, in which it is looked for again
METHOD = "registered"


def find_registered(
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    references: Sequence[Reference],
    count: int,
    scales: tuple[float, float],
) -> list[list[PointPose | NotFound]]:
    """Poses of each reference, whose support must not be empty.

    The points of its support are looked for everywhere; and then once more, but only near where the
    pose that most of them agree on puts them, so that those that were found on something else are
    found as well.

    Args:
        frame, descriptors: what is seen.
        references: what is looked for.
        count: so many instances of each at most.
        scales: least and greatest size of an object over that of the registered one.
    """
    if not references:
        return []
    matcher = _Matcher(frame, descriptors, scales)
    answers = matcher.everywhere(references, count)
    poses = [
        (reference, found)
        for reference, some in zip(references, answers, strict=True)
        for found in some
        if isinstance(found, PointPose)
    ]
    if not poses:
        return answers
    better = iter(matcher.near(poses))
    return [
        [next(better) if isinstance(found, PointPose) else found for found in some]
        for some in answers
    ]


class _Matcher:
    """Looks for supports in a frame."""

    def __init__(
        self, frame: RgbdFrame, descriptors: DescriptorMap, scales: tuple[float, float]
    ) -> None:
        self._frame, self._descriptors, self._scales = frame, descriptors, scales
        self._device = descriptors.features.device

    def everywhere(
        self, references: Sequence[Reference], count: int
    ) -> list[list[PointPose | NotFound]]:
        """Up to `count` poses of each reference."""
        wanted = torch.cat([r.support.descriptors for r in references]).to(self._device)
        peaks = 1 if count == 1 else count + MORE_PEAKS
        return self._poses(references, self._descriptors.match_features(wanted, peaks), count)

    def near(self, poses: Sequence[tuple[Reference, PointPose]]) -> list[PointPose | NotFound]:
        """Each pose of a reference again, by what is seen where it puts the support."""
        expected = [
            self._frame.camera.project(
                found.scale
                * reference.support.points.double().numpy()
                @ found.T_camera_point[:3, :3].T
                + found.T_camera_point[:3, 3]
            )
            for reference, found in poses
        ]
        references = [reference for reference, _ in poses]
        wanted = torch.cat([r.support.descriptors for r in references]).to(self._device)
        pixels = torch.from_numpy(np.nan_to_num(np.concatenate(expected), nan=-1e6)).float()
        pixels, scores = self._descriptors.match_near(wanted, pixels.to(self._device), NEARBY)
        again = self._poses(references, Matches(pixels[:, None], scores[:, None]), count=1)
        return [
            new if isinstance(new, PointPose) else found
            for (_, found), (new,) in zip(poses, again, strict=True)
        ]

    def _poses(
        self, references: Sequence[Reference], matches: Matches, count: int
    ) -> list[list[PointPose | NotFound]]:
        """Poses by the matches, (n, P, 2) pixels and (n, P) scores, of all supports in a row."""
        similarity = matches.scores.double().cpu().numpy()
        corner = [self._frame.camera.width - 1, self._frame.camera.height - 1]
        pixels = np.clip(matches.pixels.double().cpu().numpy(), 0, corner)
        points = measure_points(self._frame, pixels.reshape(-1, 2)).reshape(*similarity.shape, 3)
        known = np.isfinite(points).all(axis=2)
        sizes = [len(r.support) for r in references]
        correspondences = Correspondences(
            _padded(torch.cat([r.support.points for r in references]).double().numpy(), sizes),
            _padded(np.nan_to_num(points), sizes),
            _padded(pixels, sizes),
            _padded(np.where(known, np.maximum(similarity, 0), 0), sizes),
        )
        scores = [
            partial(_score, reference, weights)
            for reference, weights in zip(references, correspondences.weights, strict=True)
        ]
        camera, stride = self._frame.camera, self._descriptors.stride
        return find_poses(METHOD, correspondences, scores, camera, stride, self._scales, count)


def _padded(values: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Values of R groups one after another as (R, S, ...), with zeros where there are fewer."""
    rows = np.zeros((len(sizes), max(sizes), *values.shape[1:]))
    rows[np.arange(max(sizes)) < np.array(sizes)[:, None]] = values
    return rows


def _score(reference: Reference, similarity: FloatArray, agreeing: Flags) -> float:
    """By the mean similarity of a view's points, 0 for those that do not agree; of the best view.

    Args:
        reference: whose support has n points.
        similarity: (S, P) of places in the frame, S >= n.
        agreeing: (S, P) those that agree on a pose, one for each point at most.
    """
    views = reference.support.views.numpy()
    each = np.where(agreeing, similarity, 0).max(axis=1)[: len(views)]
    means = np.bincount(views, each) / np.maximum(np.bincount(views), 1)
    return reference.score(METHOD, float(means.max()))
