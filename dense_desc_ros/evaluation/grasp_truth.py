"""Where a point registered on one object is on others, with its pose, and if it can be seen."""

import numpy as np
import torch

from dense_desc_ros import se3
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.canonical import blend, closest
from dense_desc_ros.data.correspondences import CANONICAL_TOLERANCE
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.grasp_scenes import GraspScene, Instance

PATCH, PATCH_SIGMA = 0.04, 0.02  # m around a point, that decide how its grasp turns
SAMPLES, LEAST_SAMPLES = 20_000, 30  # on a mesh, and of them in a patch
EXPECTED_SHARE = 0.5  # of a silhouette to be seen, for its grasp to be expected
DEPTH_AGREES = 0.01  # m
LEAST_FACING = np.cos(np.radians(75))


def true_pose(
    reference: Instance, instance: Instance, T_camera_point: FloatArray
) -> FloatArray | None:
    """Where a pose (4, 4) given on one object is on another, each in its own camera's frame.

    On the same mesh it moves with the object, on another by `transfer_pose`.
    """
    T_object_point = np.linalg.inv(reference.T_camera_object) @ T_camera_point
    if instance.mesh is reference.mesh:
        return instance.T_camera_object @ T_object_point
    moved = transfer_pose(reference.mesh, instance.mesh, T_object_point)
    return None if moved is None else instance.T_camera_object @ moved


def transfer_pose(source: Mesh, target: Mesh, T_source_point: FloatArray) -> FloatArray | None:
    """The pose on `target` of what a pose (4, 4) is on `source`, by canonical coordinates.

    Of the source's surface that faces the pose (against its z axis) samples within 40 mm are taken.
    Their counterparts are the target's surface points with the nearest canonical coordinates. The
    rigid motion that fits them best, with weights that fall with the distance from the pose, turns
    it; its origin becomes the counterpart of the surface point nearest to it.

    Returns:
        The pose (4, 4) in the target's frame; None where the target lacks that place.

    Raises:
        InvalidInputError: a mesh without canonical coordinates.
    """
    if source.canonical is None or target.canonical is None:
        raise InvalidInputError("objects without canonical coordinates have no common places")
    origin, inward = T_source_point[:3, 3], T_source_point[:3, 2]
    corners = source.vertices[source.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = source.faces[normals @ inward < 0]
    areas = np.linalg.norm(normals[normals @ inward < 0], axis=1)
    if not areas.sum() > 0:
        return None
    rng = np.random.default_rng(0)
    faces = facing[rng.choice(len(facing), SAMPLES, p=areas / areas.sum())]
    shares = rng.dirichlet(np.ones(3), SAMPLES)  # evenly over a triangle
    points = blend(source.vertices[faces], shares)
    distances = np.linalg.norm(points - origin, axis=1)
    near = distances < PATCH
    nearest, nearest_shares = closest(source.vertices, facing, origin[None])
    here = blend(source.canonical[nearest], nearest_shares)
    wanted = np.vstack([here, blend(source.canonical[faces[near]], shares[near])])
    matches, match_shares = closest(target.canonical, target.faces, wanted)
    gaps = np.linalg.norm(blend(target.canonical[matches], match_shares) - wanted, axis=1)
    counterparts = blend(target.vertices[matches], match_shares)
    good = gaps[1:] <= CANONICAL_TOLERANCE
    if gaps[0] > CANONICAL_TOLERANCE or good.sum() < LEAST_SAMPLES:
        return None
    weights = np.exp(-((distances[near][good] / PATCH_SIGMA) ** 2) / 2)
    fit = se3.kabsch(*map(torch.from_numpy, (points[near][good], counterparts[1:][good], weights)))
    pose = fit.numpy() @ T_source_point
    pose[:3, 3] = counterparts[0]
    return pose


def is_expected(scene: GraspScene, instance: Instance, T_camera_point: FloatArray) -> bool:
    """Whether a robot should find a point (pose (4, 4), z into the surface) of an instance.

    At least half of the instance is visible, and so is the point: the exact depth there is its own
    to 10 mm, and the surface faces the camera by 75 degrees or less.
    """
    point, inward = T_camera_point[:3, 3], T_camera_point[:3, 2]
    pixel = scene.frame.camera.project(point)
    if instance.share < EXPECTED_SHARE or not scene.frame.camera.contains(pixel):
        return False
    u, v = np.rint(pixel).astype(int)
    return bool(
        instance.mask[v, u]
        and abs(scene.depth[v, u] - point[2]) <= DEPTH_AGREES
        and inward @ point >= LEAST_FACING * np.linalg.norm(point)
    )
