"""The pose of a reference by the surface around its point: descriptors matched, points aligned."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.feature_matching import find_everywhere, find_near
from dense_desc_ros.grasping.alignment import Flags
from dense_desc_ros.grasping.batches import batches
from dense_desc_ros.grasping.evidence import evidence
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.instances import best_poses
from dense_desc_ros.grasping.joined_supports import joined_supports
from dense_desc_ros.grasping.poses import Correspondences, find_poses, nearness
from dense_desc_ros.grasping.surface import measure_depths, measure_points
from dense_desc_ros.matching import Matches
from dense_desc_ros.references import Reference
from dense_desc_ros.rgbd_frame import RgbdFrame

QUICK = 1, 1  # places of each point, and poses proposed of each instance, that are tried first
MORE_PLACES, PROPOSED = 2, 3  # more places than instances, and poses, where these are not enough
HOPELESS, SURE = 0.3, 0.65  # scores between which others are looked for, if one pose is wanted
NEARBY = 2  # features around where a pose puts a point, in which it is looked for again
HIDDEN = 0.015  # m that something must be nearer to the camera than a point to hide it
HIDDEN_COUNTS = 0.25  # of a point that should be hidden: wrong poses put many of them there
NEAR = 0.06  # m; what is further from the point says less about the pose
MOST_POINTS = 1024  # of supports at a time; each takes a map of the frame
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
    found as well. Where one of each is wanted and it does not convince, or several are wanted, more
    poses are tried, and the best of each object is kept.

    Args:
        frame, descriptors: what is seen.
        references: what is looked for.
        count: so many instances of each at most.
        scales: least and greatest size of an object over that of the registered one.
    """
    matcher = partial(_Matcher, frame, descriptors, scales)
    return [
        found
        for some in batches(references, lambda each: len(each.support), MOST_POINTS)
        for found in _find(matcher, some, count)
    ]


def _find(
    matcher: Callable[[Sequence[Reference]], "_Matcher"],
    references: Sequence[Reference],
    count: int,
) -> list[list[PointPose | NotFound]]:
    """Poses of some references: quickly, if one of each is enough, and then of those in doubt."""
    thoroughly = count + MORE_PLACES, PROPOSED
    if count > 1:
        return matcher(references).find(count, *thoroughly)
    answers = matcher(references).find(count, *QUICK)
    unsure = [k for k, (answer,) in enumerate(answers) if HOPELESS <= answer.score < SURE]
    if unsure:
        others = matcher([references[k] for k in unsure]).find(count, *thoroughly)
        for k, other in zip(unsure, others, strict=True):
            answers[k] = best_poses(references[k], answers[k] + other, count)
    return answers


class _Matcher:
    """Looks for the supports of R references, of S points at most, in a frame."""

    def __init__(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        scales: tuple[float, float],
        references: Sequence[Reference],
    ) -> None:
        self._frame, self._references, self._scales = frame, references, scales
        self._stride = descriptors.stride
        self._supports = joined_supports(tuple(references))
        wanted = self._supports.descriptors.to(descriptors.features.device)
        self._similarity = descriptors.feature_similarity(wanted)

    def find(self, count: int, places: int, proposed: int) -> list[list[PointPose | NotFound]]:
        """Up to `count` poses of each reference, or why there is none.

        Args:
            count: of instances.
            places: where each point may be, at most.
            proposed: poses of each instance by these places, of which the best is taken.
        """
        answers = self._everywhere(count, places, proposed)
        poses = [
            (number, found)
            for number, some in enumerate(answers)
            for found in some
            if isinstance(found, PointPose)
        ]
        better = iter(self._near(poses) if poses else [])
        return [
            best_poses(
                reference,
                [next(better) if isinstance(found, PointPose) else found for found in some],
                count,
            )
            for reference, some in zip(self._references, answers, strict=True)
        ]

    def _everywhere(
        self, count: int, places: int, proposed: int
    ) -> list[list[PointPose | NotFound]]:
        """By what is most alike anywhere."""
        found = find_everywhere(self._similarity, places, self._stride)
        matches = Matches(*(values[self._supports.index] for values in found))
        numbers = np.arange(len(self._references))
        return self._poses(numbers, matches, count, hypotheses=proposed)

    def _near(self, poses: Sequence[tuple[int, PointPose]]) -> list[PointPose | NotFound]:
        """Poses, with the numbers of their references, by what is seen where they put supports."""
        numbers = np.array([number for number, _ in poses])
        start = np.stack([found.T_camera_point for _, found in poses])
        start[:, :3, :3] *= np.array([found.scale for _, found in poses])[:, None, None]
        moved = self._supports.points[numbers] @ np.swapaxes(start[:, :3, :3], 1, 2)
        moved = (moved + start[:, None, :3, 3]).reshape(-1, 3)
        pixels = np.nan_to_num(self._frame.camera.project(moved), nan=-1e6)
        rows = self._supports.index[numbers]
        device = self._similarity.device
        found = find_near(
            self._similarity,
            torch.from_numpy(rows.ravel()).to(device),
            torch.from_numpy(pixels).float().to(device),
            NEARBY,
            self._stride,
        )
        matches = Matches(*(values.unflatten(0, rows.shape)[:, :, None] for values in found))
        expected = self._expected(moved, pixels).reshape(rows.shape)
        again = self._poses(numbers, matches, 1, start, expected)
        return [answer for (answer,) in again]

    def _expected(self, points: FloatArray, pixels: FloatArray) -> FloatArray:
        """How much each of points (n, 3), whose pixels are (n, 2), is expected to be seen.

        Not at all where nothing is measured, and a little where something is before it: as wrong
        poses like to have it. Being out of the picture is no excuse: most wrong poses would put
        half of an object there.
        """
        camera = self._frame.camera
        corner = np.array([camera.width - 1, camera.height - 1])
        inside = ((pixels >= 0) & (pixels <= corner)).all(axis=1)
        depth = measure_depths(self._frame, np.clip(pixels, 0, corner))
        seen = ~inside | (depth > points[:, 2] - HIDDEN)  # the latter False where not measured
        return np.where(seen, 1.0, np.where(np.isfinite(depth), HIDDEN_COUNTS, 0.0))

    def _poses(
        self,
        numbers: npt.NDArray[np.intp],
        matches: Matches,
        count: int,
        start: FloatArray | None = None,
        expected: FloatArray | None = None,
        hypotheses: int = 1,
    ) -> list[list[PointPose | NotFound]]:
        """Poses by the matches, (n, S, P, 2) pixels and (n, S, P) scores, of some supports.

        Args:
            numbers: (n,) of the references whose supports they are.
            matches: where their points may be; anything where there are none.
            count: poses of each at most.
            start: (n, 4, 4) about the poses, sizes included, if known.
            expected: (n, S) how much is expected to be seen of the points; all if None.
            hypotheses: poses of each instance at most.
        """
        similarity = matches.scores.double().cpu().numpy()
        corner = [self._frame.camera.width - 1, self._frame.camera.height - 1]
        pixels = np.clip(matches.pixels.double().cpu().numpy(), 0, corner)
        points = measure_points(self._frame, pixels.reshape(-1, 2)).reshape(*similarity.shape, 3)
        there = self._supports.there[numbers]
        known = there[:, :, None] & np.isfinite(points).all(axis=3)
        correspondences = Correspondences(
            self._supports.points[numbers],
            np.nan_to_num(points),
            pixels,
            np.where(known, np.maximum(similarity, 0), 0),
        )
        importance = nearness(self._supports.points[numbers], NEAR)
        of_view = self._supports.of_view[numbers] * importance[..., None]
        should = there * (1.0 if expected is None else expected)

        def scores(some: npt.NDArray[np.intp], agreeing: Flags) -> FloatArray:
            each = np.where(agreeing, correspondences.weights[some], 0).max(axis=2)
            found = evidence(of_view[some], should[some], each).tolist()
            pairs = zip(numbers[some], found, strict=True)
            return np.array([self._references[k].score(METHOD, value) for k, value in pairs])

        camera = self._frame.camera
        return find_poses(
            METHOD,
            correspondences,
            scores,
            camera,
            self._stride,
            self._scales,
            count,
            start,
            hypotheses,
        )
