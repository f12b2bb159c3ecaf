"""From the pose of a reference's point to the grasp there, if it is possible."""

import math
from collections.abc import Sequence

import numpy as np

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.grasping.grasp import Grasp, NotFound, PointPose, Refusal
from dense_desc_ros.grasping.gripper import Unfit, fit_gripper
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.grasping.visible import VisibleSurface
from dense_desc_ros.references import Reference

MOST = 96  # points of a surface that are told: what two views have
HIDDEN = 0.03  # m; what is less before a point may be that point, on an object of another shape
POSE_ERROR = 0.01  # m that poses may be off sideways: what is so near may be seen all the same
BESIDE = POSE_ERROR * np.array(
    [
        [share * math.cos(angle), share * math.sin(angle), 0.0]
        for share in (0.5, 1.0)
        for angle in np.linspace(0, 2 * math.pi, 8, endpoint=False)
    ]
)


def choose_grasps(
    surface: VisibleSurface,
    answers: Sequence[tuple[Reference, PointPose | NotFound]],
    settings: PipelineSettings,
    T_base_camera: FloatArray | None,
) -> list[Grasp | Refusal]:
    """The grasps that were taught, at the poses found, or why they cannot be done.

    Args:
        surface: what is seen.
        answers: references, and where each was found, or why not.
        settings: what is good enough and possible.
        T_base_camera: (4, 4) pose of the camera in the base frame, if known.
    """
    points = np.array(
        [found.point if isinstance(found, PointPose) else [np.nan] * 3 for _, found in answers]
    )
    unseen = _not_seen(surface, points.reshape(-1, 3))
    return [
        _choose(surface, reference, found, reason, settings, T_base_camera)
        for (reference, found), reason in zip(answers, unseen, strict=True)
    ]


def _choose(
    surface: VisibleSurface,
    reference: Reference,
    found: PointPose | NotFound,
    unseen: str,
    settings: PipelineSettings,
    T_base_camera: FloatArray | None,
) -> Grasp | Refusal:
    if isinstance(found, NotFound):
        return Refusal(reference.name, found.score, found.reason)
    if found.score < settings.min_score:
        reason = f"score {found.score:.2f} is below min_score {settings.min_score:.2f}"
        return Refusal(reference.name, found.score, reason)
    if unseen:
        return Refusal(reference.name, found.score, unseen)
    pose: FloatArray = found.T_camera_point @ reference.T_point_grasp
    width = reference.opening_width
    if settings.gripper is not None:
        points = surface.points(pose[:3, 3], settings.gripper.reach)
        fit = fit_gripper(points, pose, settings.gripper, width)
        if isinstance(fit, Unfit):
            return Refusal(reference.name, found.score, fit.reason)
        pose, width = fit.T_camera_grasp, fit.opening_width
    if settings.workspace is not None:
        reason = _outside(settings.workspace, pose, T_base_camera)
        if reason:
            return Refusal(reference.name, found.score, reason)
    return Grasp(reference.name, found, pose, width, _around(reference, found))


def _around(reference: Reference, found: PointPose) -> FloatArray:
    """Points (n, 3) of the surface that was registered, where they are now; of MOST at most."""
    points = reference.support.points_array
    points = points[:: math.ceil(len(points) / MOST) or 1]
    T = found.T_camera_point
    return np.asarray(found.scale * points @ T[:3, :3].T + T[:3, 3])


def _not_seen(surface: VisibleSurface, points: FloatArray) -> list[str]:
    """Why the points (n, 3) of grasps cannot be seen, whatever of their objects can; empty if they
    can."""
    pixels = surface.camera.project(points)
    reasons = []
    gaps = points[:, 2] - surface.depths(pixels)
    for point, pixel, nearer in zip(points, pixels, gaps, strict=True):
        if not _in_picture(surface.camera, pixel, point):
            reasons.append("the point is out of the picture")
        elif nearer > HIDDEN and not _seen_beside(surface, point):  # False for NaN, not measured
            reasons.append(f"hidden: something is {1e3 * nearer:.0f} mm before the point")
        else:
            reasons.append("")
    return reasons


def _in_picture(camera: PinholeCamera, pixel: FloatArray, point: FloatArray) -> bool:
    """Whether a point (3,), seen at a pixel (2,), or what is within POSE_ERROR of it, is in it.

    NaN, behind the camera, is not.
    """
    return camera.contains(pixel) or any(map(camera.contains, camera.project(point + BESIDE)))


def _seen_beside(surface: VisibleSurface, point: FloatArray) -> bool:
    """Whether a surface about as far away as a point (3,) is seen within POSE_ERROR of it."""
    depths = surface.depths(surface.camera.project(point + BESIDE))
    return bool((np.abs(depths - point[2]) <= HIDDEN).any())


def _outside(workspace: Sequence[float], pose: FloatArray, T_base_camera: FloatArray | None) -> str:
    """Why a grasp (4, 4) is not in the workspace; empty if it is."""
    if T_base_camera is None:
        return "whether it is in the workspace cannot be told: the camera's pose is not known"
    place = (T_base_camera @ pose)[:3, 3]
    if np.all(place >= workspace[:3]) and np.all(place <= workspace[3:]):
        return ""
    at = ", ".join(f"{x:.3f}" for x in place)
    return f"out of the workspace: ({at}) m in the base frame"
