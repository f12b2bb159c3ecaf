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
HIDDEN = 0.015  # m that something must be nearer to the camera than a point to hide it
LEAST_EXPECTED = 0.4  # share of a view's points that counts even if more are hidden
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
        references = [reference for reference, _ in poses]
        wanted = torch.cat([r.support.descriptors for r in references]).to(self._device)
        sizes = [len(r.support) for r in references]
        start = np.stack([found.T_camera_point for _, found in poses])
        start[:, :3, :3] *= np.array([found.scale for _, found in poses])[:, None, None]
        of_pose = np.repeat(start, sizes, axis=0)
        points = np.concatenate([_points(reference) for reference in references])
        moved = np.einsum("nij,nj->ni", of_pose[:, :3, :3], points) + of_pose[:, :3, 3]
        pixels = np.nan_to_num(self._frame.camera.project(moved), nan=-1e6)
        expected = np.split(self._expected(moved, pixels), np.cumsum(sizes)[:-1])
        at = torch.from_numpy(pixels).float().to(self._device)
        near, scores = self._descriptors.match_near(wanted, at, NEARBY)
        matches = Matches(near[:, None], scores[:, None])
        again = self._poses(references, matches, 1, start, expected)
        return [answer for (answer,) in again]

    def _expected(self, points: FloatArray, pixels: FloatArray) -> Flags:
        """Which points (n, 3), whose pixels are (n, 2), nothing excuses for not being seen.

        They are hidden where something is before them, or perhaps where nothing is measured. Being
        out of the picture is no excuse: most wrong poses would put half of an object there.
        """
        camera = self._frame.camera
        corner = np.array([camera.width - 1, camera.height - 1])
        inside = ((pixels >= 0) & (pixels <= corner)).all(axis=1)
        depth = measure_points(self._frame, np.clip(pixels, 0, corner))[:, 2]
        return ~inside | (depth > points[:, 2] - HIDDEN)  # the latter False where not measured

    def _poses(
        self,
        references: Sequence[Reference],
        matches: Matches,
        count: int,
        start: FloatArray | None = None,
        expected: Sequence[Flags] | None = None,
    ) -> list[list[PointPose | NotFound]]:
        """Poses by the matches, (n, P, 2) pixels and (n, P) scores, of all supports in a row.

        Args:
            references, matches: whose supports, and where their points may be.
            count: poses of each at most.
            start: (R, 4, 4) about the poses, sizes included, if known.
            expected: for each reference, which points of its support should be seen; all if None.
        """
        similarity = matches.scores.double().cpu().numpy()
        corner = [self._frame.camera.width - 1, self._frame.camera.height - 1]
        pixels = np.clip(matches.pixels.double().cpu().numpy(), 0, corner)
        points = measure_points(self._frame, pixels.reshape(-1, 2)).reshape(*similarity.shape, 3)
        known = np.isfinite(points).all(axis=2)
        sizes = [len(r.support) for r in references]
        correspondences = Correspondences(
            _padded(np.concatenate([_points(r) for r in references]), sizes),
            _padded(np.nan_to_num(points), sizes),
            _padded(pixels, sizes),
            _padded(np.where(known, np.maximum(similarity, 0), 0), sizes),
        )
        if expected is None:
            expected = [np.ones(size, bool) for size in sizes]
        scores = [
            partial(_score, *each)
            for each in zip(references, expected, correspondences.weights, strict=True)
        ]
        camera, stride = self._frame.camera, self._descriptors.stride
        return find_poses(
            METHOD, correspondences, scores, camera, stride, self._scales, count, start
        )


def _padded(values: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Values of R groups one after another as (R, S, ...), with zeros where there are fewer."""
    rows = np.zeros((len(sizes), max(sizes), *values.shape[1:]))
    rows[np.arange(max(sizes)) < np.array(sizes)[:, None]] = values
    return rows


def _points(reference: Reference) -> FloatArray:
    return np.asarray(reference.support.points.double().numpy())


def _score(reference: Reference, expected: Flags, similarity: FloatArray, agreeing: Flags) -> float:
    """By the mean similarity of a view's points, 0 for those that do not agree; of the best view.

    What is hidden says nothing, unless so much is that little is left to go by.

    Args:
        reference: whose support has n points.
        expected: (n,) those that should be seen.
        similarity: (S, P) of places in the frame, S >= n.
        agreeing: (S, P) those that agree on a pose, one for each point at most.
    """
    views = reference.support.views.numpy()
    each = np.where(agreeing, similarity, 0).max(axis=1)[: len(views)]
    counted = np.bincount(views, expected | (each > 0))
    least = np.maximum(LEAST_EXPECTED * np.bincount(views), 1)
    means = np.bincount(views, each) / np.maximum(counted, least)
    return reference.score(METHOD, float(means.max()))
