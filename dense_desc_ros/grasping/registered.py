"""The pose of a reference by the surface around its point: descriptors matched, points aligned."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.feature_matching import find_everywhere, find_near
from dense_desc_ros.grasping.alignment import Flags
from dense_desc_ros.grasping.batches import batches
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.poses import Correspondences, find_poses
from dense_desc_ros.grasping.surface import measure_depths, measure_points
from dense_desc_ros.matching import Matches
from dense_desc_ros.references import Reference

MORE_PEAKS = 2  # than instances: some of the best places are on what is no instance
NEARBY = 2  # features around where a pose puts a point, in which it is looked for again
HIDDEN = 0.015  # m that something must be nearer to the camera than a point to hide it
LEAST_EXPECTED = 0.4  # share of a view's points that counts even if more are hidden
SHARPNESS = 4  # power of similarities: a cap's places are all much alike, even wrong ones
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
    found as well.

    Args:
        frame, descriptors: what is seen.
        references: what is looked for.
        count: so many instances of each at most.
        scales: least and greatest size of an object over that of the registered one.
    """
    return [
        found
        for some in batches(references, lambda each: len(each.support), MOST_POINTS)
        for found in _find(frame, descriptors, some, count, scales)
    ]


def _find(
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    references: Sequence[Reference],
    count: int,
    scales: tuple[float, float],
) -> list[list[PointPose | NotFound]]:
    matcher = _Matcher(frame, descriptors, references, scales)
    answers = matcher.everywhere(count)
    poses = [
        (number, found)
        for number, some in enumerate(answers)
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
    """Looks for the supports of R references, one after another S points in all, in a frame."""

    def __init__(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        references: Sequence[Reference],
        scales: tuple[float, float],
    ) -> None:
        self._frame, self._references, self._scales = frame, references, scales
        self._stride = descriptors.stride
        wanted = torch.cat([reference.support.descriptors for reference in references])
        self._similarity = descriptors.feature_similarity(wanted.to(descriptors.features.device))
        self._points = np.concatenate([each.support.points_array for each in references])
        self._sizes = np.array([len(reference.support) for reference in references])
        self._rows = np.split(np.arange(len(wanted)), np.cumsum(self._sizes)[:-1])

    def everywhere(self, count: int) -> list[list[PointPose | NotFound]]:
        """Up to `count` poses of each reference."""
        peaks = 1 if count == 1 else count + MORE_PEAKS
        matches = find_everywhere(self._similarity, peaks, self._stride)
        return self._poses(range(len(self._references)), self._points, matches, count)

    def near(self, poses: Sequence[tuple[int, PointPose]]) -> list[PointPose | NotFound]:
        """Poses, with the numbers of their references, by what is seen where they put supports."""
        numbers = [number for number, _ in poses]
        sizes = self._sizes[numbers]
        start = np.stack([found.T_camera_point for _, found in poses])
        start[:, :3, :3] *= np.array([found.scale for _, found in poses])[:, None, None]
        of_pose = np.repeat(start, sizes, axis=0)
        firsts = np.cumsum(self._sizes) - self._sizes
        rows = np.concatenate(
            [firsts[number] + np.arange(self._sizes[number]) for number in numbers]
        )
        points = self._points[rows]
        moved = np.einsum("nij,nj->ni", of_pose[:, :3, :3], points) + of_pose[:, :3, 3]
        pixels = np.nan_to_num(self._frame.camera.project(moved), nan=-1e6)
        expected = np.split(self._expected(moved, pixels), np.cumsum(sizes)[:-1])
        device = self._similarity.device
        of_map, at = torch.from_numpy(rows).to(device), torch.from_numpy(pixels).float().to(device)
        near, scores = find_near(self._similarity, of_map, at, NEARBY, self._stride)
        matches = Matches(near[:, None], scores[:, None])
        again = self._poses(numbers, points, matches, 1, start, expected)
        return [answer for (answer,) in again]

    def _expected(self, points: FloatArray, pixels: FloatArray) -> Flags:
        """Which points (n, 3), whose pixels are (n, 2), nothing excuses for not being seen.

        They are hidden where something is before them, or perhaps where nothing is measured. Being
        out of the picture is no excuse: most wrong poses would put half of an object there.
        """
        camera = self._frame.camera
        corner = np.array([camera.width - 1, camera.height - 1])
        inside = ((pixels >= 0) & (pixels <= corner)).all(axis=1)
        depth = measure_depths(self._frame, np.clip(pixels, 0, corner))
        return ~inside | (depth > points[:, 2] - HIDDEN)  # the latter False where not measured

    def _poses(
        self,
        numbers: Sequence[int],
        registered: FloatArray,
        matches: Matches,
        count: int,
        start: FloatArray | None = None,
        expected: Sequence[Flags] | None = None,
    ) -> list[list[PointPose | NotFound]]:
        """Poses by the matches, (n, P, 2) pixels and (n, P) scores, of some supports in a row.

        Args:
            numbers: of the references whose supports they are.
            registered: (n, 3) the points of these.
            matches: where they may be.
            count: poses of each at most.
            start: (R, 4, 4) about the poses, sizes included, if known.
            expected: for each reference, which points of its support should be seen; all if None.
        """
        similarity = matches.scores.double().cpu().numpy()
        corner = [self._frame.camera.width - 1, self._frame.camera.height - 1]
        pixels = np.clip(matches.pixels.double().cpu().numpy(), 0, corner)
        points = measure_points(self._frame, pixels.reshape(-1, 2)).reshape(*similarity.shape, 3)
        known = np.isfinite(points).all(axis=2)
        sizes = self._sizes[list(numbers)]
        correspondences = Correspondences(
            _padded(registered, sizes),
            _padded(np.nan_to_num(points), sizes),
            _padded(pixels, sizes),
            _padded(np.where(known, np.maximum(similarity, 0), 0), sizes),
        )
        if expected is None:
            expected = [np.ones(size, bool) for size in sizes]
        references = [self._references[number] for number in numbers]
        # Padded with -1: no view.
        views = _padded(np.concatenate([_views(each) + 1 for each in references]), sizes) - 1
        should = _padded(np.concatenate(expected), sizes) > 0

        def scores(some: npt.NDArray[np.intp], agreeing: Flags) -> FloatArray:
            each = np.where(agreeing, correspondences.weights[some], 0).max(axis=2) ** SHARPNESS
            evidence = _evidence(views[some], should[some], each).tolist()
            pairs = zip(some, evidence, strict=True)
            return np.array([references[number].score(METHOD, value) for number, value in pairs])

        camera = self._frame.camera
        return find_poses(
            METHOD, correspondences, scores, camera, self._stride, self._scales, count, start
        )


def _padded(values: FloatArray, sizes: npt.NDArray[np.integer]) -> FloatArray:
    """Values of R groups one after another as (R, S, ...), with zeros where there are fewer."""
    rows = np.zeros((len(sizes), sizes.max(), *values.shape[1:]))
    rows[np.arange(sizes.max()) < sizes[:, None]] = values
    return rows


def _views(reference: Reference) -> npt.NDArray[np.integer]:
    return np.asarray(reference.support.views.numpy())


def _evidence(views: FloatArray, expected: Flags, likeness: FloatArray) -> FloatArray:
    """Mean likenesses (n,) of views' points, 0 for those that do not agree; of the best views.

    What is hidden says nothing, unless so much is that little is left to go by.

    Args:
        views: (n, S) that the points of n supports are of, -1 where these have fewer than S.
        expected: (n, S) those that should be seen.
        likeness: (n, S) of their places in the frame, 0 where these do not agree on a pose.
    """
    of_view = (views[..., None] == np.arange(views.max() + 1)).astype(float)  # (n, S, V)
    total = of_view.sum(axis=1)
    counted = np.einsum("nsv,ns->nv", of_view, (expected | (likeness > 0)).astype(float))
    sums = np.einsum("nsv,ns->nv", of_view, likeness)
    means = sums / np.maximum(counted, np.maximum(LEAST_EXPECTED * total, 1))
    return np.asarray(np.where(total > 0, means, -np.inf).max(axis=1))
