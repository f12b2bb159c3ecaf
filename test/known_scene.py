"""Ray-cast objects whose descriptors are a known function of the place on their surface.

Random Fourier features of the surface's own coordinates: near places are alike by a Gaussian of
their distance, others like nothing. What is no object has descriptors of noise.
"""

from typing import NamedTuple

import numpy as np
import open3d as o3d
import torch
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.rgbd_frame import RgbdFrame

CAMERA = PinholeCamera(300.0, 302.0, 159.5, 119.5, 320, 240)
STRIDE, DIM = 4, 64
ALIKE = 0.015  # m
TABLE = 0.75  # m from the camera


class View(NamedTuple):
    frame: RgbdFrame
    descriptors: DescriptorMap
    mask: np.ndarray  # (H, W), the number of the object seen, from 0; -1 where there is none


def pose(x=0.0, y=0.0, z=0.0, rotvec=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    T[:3, 3] = x, y, z
    return T


def blob():
    """A lopsided stone, some 10 cm long."""
    mesh = o3d.geometry.TriangleMesh.create_sphere(0.05, resolution=60)
    p = np.asarray(mesh.vertices)
    bumps = 1 + 0.15 * np.sin(40 * p[:, 0]) * np.cos(50 * p[:, 1]) + 0.1 * np.sin(60 * p[:, 2])
    mesh.vertices = o3d.utility.Vector3dVector(p * bumps[:, None] * [1.1, 0.8, 0.7])
    return o3d.t.geometry.TriangleMesh.from_legacy(mesh)


_BLOB = o3d.t.geometry.RaycastingScene()
_BLOB.add_triangles(blob())


def look(poses, scales=None, seed=0, metric="cosine", table=TABLE):
    """What the camera sees of blobs at poses (4, 4) in front of a table, without noise.

    Args:
        poses: T_camera_object of each.
        scales: size of each.
        seed: of the descriptors where there is no object.
        metric: of the descriptors.
        table: metres from the camera.
    """
    scales = scales or [1.0] * len(poses)
    grid = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)
    depth, number, _ = _cast(grid, poses, scales, table)
    _, at_features, places = _cast((grid[:60, :80] + 0.5) * STRIDE - 0.5, poses, scales, table)
    on_object = fourier(places)
    noise = np.random.default_rng(seed).normal(size=on_object.shape)
    noise /= np.linalg.norm(noise, axis=2, keepdims=True)
    features = np.where(at_features[..., None] >= 0, on_object, noise)
    frame = RgbdFrame(np.zeros((240, 320, 3), np.uint8), depth.astype(np.float32), CAMERA)
    descriptors = DescriptorMap(torch.from_numpy(features).float(), STRIDE, 240, 320, metric)
    return View(frame, descriptors, number)


def with_a_likeness(there, other):
    """A stone that is seen not quite as it was, and another, half of which is just the same."""
    view = look([there, other])
    middle = slice(STRIDE // 2, None, STRIDE)
    depth, number = view.frame.depth[middle, middle], view.mask[middle, middle]
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points = CAMERA.back_project(np.stack([u, v], axis=-1) * STRIDE + (STRIDE - 1) / 2, depth)
    unlike = (number == 1) & ((points - other[:3, 3]) @ other[:3, 0] > 0.01)
    features = view.descriptors.features.clone()
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)) / DIM**0.5
    features[unlike] = noise[unlike]
    features[number == 0] += 0.2 * noise[number == 0]
    descriptors = DescriptorMap(features, STRIDE, *view.mask.shape, "cosine")
    return View(view.frame, descriptors, view.mask)


def fourier(places):
    """Unit descriptors (..., DIM) of places (..., 3)."""
    rng = np.random.default_rng(7)
    frequencies = rng.normal(0, 1 / ALIKE, (3, DIM // 2))
    phases = places @ frequencies
    return np.concatenate([np.cos(phases), np.sin(phases)], axis=-1) / np.sqrt(DIM / 2)


def as_measured(frame, seed=0, noise=0.001, holes=0.1, flying=0.01):
    """A frame with noise, holes, flying pixels, and depths that cannot be."""
    rng = np.random.default_rng(seed)
    depth = frame.depth + rng.normal(0, noise, frame.depth.shape).astype(np.float32)
    chance = rng.random(depth.shape)
    depth[chance < holes] = np.nan
    depth[chance > 1 - flying] -= 0.1
    depth[chance > 1 - flying / 4] = -0.5
    depth[chance > 1 - flying / 8] = np.inf
    return RgbdFrame(frame.image, depth, frame.camera)


def difference(T, truth):
    """How far a pose is from another: millimetres, and degrees."""
    turn = Rotation.from_matrix(T[:3, :3].T @ truth[:3, :3]).magnitude()
    return 1e3 * np.linalg.norm(T[:3, 3] - truth[:3, 3]), np.degrees(turn)


def is_rigid(T):
    rotation = T[:3, :3]
    return (
        np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        and np.linalg.det(rotation) > 0
        and np.array_equal(T[3], [0, 0, 0, 1])
    )


def _cast(pixels, poses, scales, table):
    """Depth, number of the object (-1: the table) and place on it, at pixels (..., 2)."""
    rays = CAMERA.rays(pixels)
    depth = np.full(pixels.shape[:-1], table)
    number = np.full(pixels.shape[:-1], -1)
    places = np.zeros((*pixels.shape[:-1], 3))
    for i, (T, scale) in enumerate(zip(poses, scales, strict=True)):
        origin = -T[:3, 3] @ T[:3, :3] / scale
        directions = rays @ T[:3, :3] / scale
        cast = np.concatenate([np.broadcast_to(origin, rays.shape), directions], axis=-1)
        hit = _BLOB.cast_rays(o3d.core.Tensor(cast.astype(np.float32)), nthreads=1)
        t = hit["t_hit"].numpy().astype(float)
        nearer = t < depth
        depth[nearer], number[nearer] = t[nearer], i
        places[nearer] = (origin + directions * t[..., None])[nearer]
    return depth, number, places
