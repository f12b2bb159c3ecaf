"""From points that should correspond to the poses of references, or why there are none."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.grasping.alignment import Alignments, Flags, align
from dense_desc_ros.grasping.grasp import NotFound, PointPose

TOLERANCE, TOLERANCE_FEATURES = 0.008, 0.5  # m, and shares of a feature, that matches may be off
NEAR = 0.06  # m; what is further from the point counts less for its pose
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


def find_poses(
    method: str,
    correspondences: Correspondences,
    scores: Scores,
    camera: PinholeCamera,
    stride: int,
    scales: tuple[float, float],
    count: int = 1,
    start: FloatArray | None = None,
) -> list[list[PointPose | NotFound]]:
    """Up to `count` poses of each reference, those that most agree on first; or a reason.

    Args:
        method: one of grasp.METHODS, by which correspondences were found.
        correspondences: of R references.
        scores: of some of them, (n,), given their numbers (n,) and which of their places (n, S, P)
            agree on a pose.
        camera, stride: of the frame, and pixels per feature.
        scales: least and greatest size of an object over that of the registered one.
        count: instances looked for.
        start: (R, 4, 4) about the poses, sizes included; None if nothing is known.
    """
    registered, seen = correspondences.registered, correspondences.seen
    tolerance = TOLERANCE + TOLERANCE_FEATURES * stride * seen[..., 2] / camera.fx
    nearness = FAR_WEIGHT + np.exp(-np.square(registered).sum(axis=2) / (2 * NEAR**2))
    weights = correspondences.weights.copy()
    limits = scales[0] / SCALE_MARGIN, scales[1] * SCALE_MARGIN
    found: list[list[PointPose | NotFound]] = [[] for _ in registered]
    looking = list(range(len(registered)))
    for _ in range(count):
        some = np.array(looking)
        begin = None if start is None else start[some]
        fits = align(
            registered[some],
            seen[some],
            weights[some],
            nearness[some],
            tolerance[some],
            limits,
            begin,
        )
        moved = fits.apply(registered[some])
        pixels, spreads_px, spreads = _fitted(
            fits, moved, seen[some], correspondences.pixels[some], camera
        )
        reached = scores(some, fits.inliers).tolist()
        for i, (number, score) in enumerate(zip(looking[:], reached, strict=True)):
            problem = _problem(fits, i, int((weights[number] > 0).any(axis=1).sum()), scales)
            if problem:
                found[number] = found[number] or [NotFound(score, problem)]
                looking.remove(number)
                continue
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = fits.rotation[i], fits.translation[i]
            count_i = int(fits.inliers[i].sum())
            found[number].append(
                PointPose(
                    pose,
                    pixels[i],
                    method,
                    score,
                    count_i,
                    spreads_px[i],
                    spreads[i],
                    float(fits.scale[i]),
                )
            )
            if len(found[number]) < count:
                there = correspondences.weights[number].any(axis=1)
                weights[number][_near(seen[number], moved[i][there])] = 0
        if not looking:
            break
    return found


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
) -> tuple[FloatArray, list[float], list[float]]:
    """Pixels (R, 2) of the origins, and how far what agrees is from where R fits put it.

    Root mean squares, in pixels and in metres; `moved` (R, S, 3), `seen` (R, S, P, 3) and `pixels`
    (R, S, P, 2) as in Correspondences.
    """
    projected = camera.project(np.concatenate([fits.translation[:, None], moved], axis=1))
    offsets = pixels - projected[:, 1:, None], seen - moved[:, :, None]
    counts = np.maximum(fits.inliers.sum(axis=(1, 2)), 1)
    squares = (
        np.where(fits.inliers, np.square(x).sum(axis=3), 0).sum(axis=(1, 2)) for x in offsets
    )
    spread_px, spread = (np.sqrt(x / counts).tolist() for x in squares)
    return projected[:, 0], spread_px, spread


def _near(seen: FloatArray, moved: FloatArray) -> Flags:
    """Which places (S, P) lie on an object of whose surface some points are (n, 3)."""
    gaps = np.linalg.norm(seen[:, :, None] - moved, axis=3).min(axis=2)
    return np.asarray(gaps <= SAME_OBJECT)
