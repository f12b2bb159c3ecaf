"""From points that should correspond to the poses of references, or why there are none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.grasping.alignment import Alignments, Flags, align
from dense_desc_ros.grasping.grasp import NotFound, PointPose

TOLERANCE, TOLERANCE_FEATURES = 0.008, 0.5  # m, and shares of a feature, that matches may be off
NEAR = 0.04  # m; what is further from the point counts less: other objects have other shapes
FAR_WEIGHT = 0.1  # of what is far away
FEWEST_INLIERS = 6
SAME_OBJECT = 0.03  # m; the points of a support are some 2 cm apart, and lie all over its object
SCALE_MARGIN = 1.1  # single distances differ by more than the object's size does
Scores = Callable[[npt.NDArray[np.intp], Flags], FloatArray]


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Points around those of R references, and the places where each may be in a frame.

    Attributes:
        registered: (R, S, 3) in the frame of each reference's point, metres; where a reference has
            fewer than S points, anything.
        seen: (R, S, P, 3) in the camera frame, metres, finite; at most one of P places is right.
        pixels: (R, S, P, 2).
        weights: (R, S, P), 0 where there is no place.
    """

    registered: FloatArray
    seen: FloatArray
    pixels: FloatArray
    weights: FloatArray


class Fitted(NamedTuple):
    """`pixels` (R, 2) of the origins, and how far what agrees is from where R fits put it: root
    mean squares, in pixels and in metres."""

    pixels: FloatArray
    spreads_px: list[float]
    spreads: list[float]


def find_poses(
    method: str,
    correspondences: Correspondences,
    scores: Scores,
    camera: PinholeCamera,
    stride: int,
    scales: tuple[float, float],
    count: int = 1,
    start: FloatArray | None = None,
    hypotheses: int = 1,
) -> list[list[PointPose | NotFound]]:
    """Poses of each reference, those that most agree on first; or a reason why there is none.

    Args:
        method: one of grasp.METHODS, by which correspondences were found.
        correspondences: of R references.
        scores: of some of them, (n,), given their numbers (n,) and which of their places (n, S, P)
            agree on a pose.
        camera, stride: of the frame, and pixels per feature.
        scales: least and greatest size of an object over that of the registered one.
        count: instances looked for.
        start: (R, 4, 4) about the poses, sizes included; None if nothing is known.
        hypotheses: poses of each instance at most, unlike each other; most of them are wrong then.
    """
    registered, seen = correspondences.registered, correspondences.seen
    tolerance = TOLERANCE + TOLERANCE_FEATURES * stride * seen[..., 2] / camera.fx
    importance = nearness(registered, NEAR)
    weights = correspondences.weights.copy()
    limits = scales[0] / SCALE_MARGIN, scales[1] * SCALE_MARGIN
    found: list[list[PointPose | NotFound]] = [[] for _ in registered]
    looking = list(range(len(registered)))
    for instance in range(1, count + 1):
        some = np.array(looking)
        fits = align(
            registered[some],
            seen[some],
            weights[some],
            importance[some],
            tolerance[some],
            limits,
            None if start is None else start[some],
            hypotheses,
        )
        of_fits = np.repeat(some, hypotheses)
        moved = fits.apply(registered[of_fits])
        fitted = _fitted(fits, moved, seen[of_fits], correspondences.pixels[of_fits], camera)
        reached = scores(of_fits, fits.inliers).tolist()
        for k, number in enumerate(looking[:]):
            candidates = int((weights[number] > 0).any(axis=1).sum())
            of_number = range(k * hypotheses, (k + 1) * hypotheses)
            problems = [_problem(fits, i, candidates, scales) for i in of_number]
            good = [i for i, problem in zip(of_number, problems, strict=True) if not problem]
            if good:
                found[number] += [_pose(method, fits, i, reached[i], fitted) for i in good]
                if instance < count:
                    points = correspondences.weights[number].any(axis=1)
                    weights[number][_near(seen[number], moved[good[0]][points])] = 0
            else:
                found[number] = found[number] or [NotFound(reached[of_number[0]], problems[0])]
                looking.remove(number)
        if not looking:
            break
    return found


def nearness(registered: FloatArray, near: float) -> FloatArray:
    """How much points (..., 3) around a reference's own, in metres, count beside others.

    By a Gaussian of the standard deviation `near`, metres, on top of FAR_WEIGHT.
    """
    return np.asarray(FAR_WEIGHT + np.exp(-np.square(registered).sum(axis=-1) / (2 * near**2)))


def _pose(method: str, fits: Alignments, i: int, score: float, fitted: Fitted) -> PointPose:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = fits.rotation[i], fits.translation[i]
    return PointPose(
        pose,
        fitted.pixels[i],
        method,
        score,
        int(fits.inliers[i].sum()),
        fitted.spreads_px[i],
        fitted.spreads[i],
        float(fits.scale[i]),
    )


def _problem(fits: Alignments, i: int, candidates: int, scales: tuple[float, float]) -> str:
    """Why a fit is no pose; empty if it is one."""
    if not fits.found[i]:
        return f"the {candidates} points that were matched do not agree on any pose"
    agreeing = int(fits.inliers[i].sum())
    if agreeing < FEWEST_INLIERS:
        return f"few inliers: {agreeing} points agree on a pose, {FEWEST_INLIERS} must"
    if not scales[0] <= fits.scale[i] <= scales[1]:
        return f"scale {fits.scale[i]:.2f} is out of the range {scales[0]:g} to {scales[1]:g}"
    if fits.translation[i, 2] <= 0:
        return "the pose that points agree on is behind the camera"
    return ""


def _fitted(
    fits: Alignments, moved: FloatArray, seen: FloatArray, pixels: FloatArray, camera: PinholeCamera
) -> Fitted:
    """`moved` (R, S, 3), `seen` (R, S, P, 3) and `pixels` (R, S, P, 2) as in Correspondences."""
    projected = camera.project(np.concatenate([fits.translation[:, None], moved], axis=1))
    offsets = pixels - projected[:, 1:, None], seen - moved[:, :, None]
    counts = np.maximum(fits.inliers.sum(axis=(1, 2)), 1)
    squares = (
        np.where(fits.inliers, np.square(x).sum(axis=3), 0).sum(axis=(1, 2)) for x in offsets
    )
    spread_px, spread = (np.sqrt(x / counts).tolist() for x in squares)
    return Fitted(projected[:, 0], spread_px, spread)


def _near(seen: FloatArray, moved: FloatArray) -> Flags:
    """Which places (S, P) lie on an object of whose surface some points are (n, 3)."""
    return distances(seen, moved) <= SAME_OBJECT


def distances(points: FloatArray, surface: FloatArray) -> FloatArray:
    """Distances (...) of points (..., 3) to the nearest of some points (n, 3) of a surface.

    By a tree: all pairs of a reference of many views would take hundreds of megabytes.
    """
    return np.asarray(cKDTree(surface).query(points)[0])
