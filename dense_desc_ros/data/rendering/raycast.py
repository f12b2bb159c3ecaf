"""The exact layers of a view: depth, masks and canonical coordinates, by ray casting."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import open3d as o3d

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.rendering.scene import CEILING, FLOOR, ROOM_SIZE, TABLE_SIZE, Scene, View

NEAR = 0.05  # metres; what reaches closer than this to the camera's plane is cast on every pixel
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Layers:
    """What a view shows, pixel by pixel, through the pixels' centres.

    Attributes:
        depth: (H, W) float32 metres of everything, NaN where there is nothing.
        mask: (H, W) bool, the body that was asked for, occluded or not.
        mask_visib: (H, W) bool, where it is visible.
        canonical: (H, W, 3) float32, its canonical coordinates, NaN where it is not visible; None
            if its mesh has none.
    """

    depth: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    mask_visib: npt.NDArray[np.bool_]
    canonical: npt.NDArray[np.float32] | None


class RayCaster:
    """Casts rays at the bodies of a scene, each in its own frame, so that nothing is rebuilt.

    Args:
        scene: the scene.
        threads: how many to use; 0 is one per core.
    """

    def __init__(self, scene: Scene, threads: int = 0) -> None:
        self._meshes = [body.mesh for body in scene.bodies]
        self._bodies = [_raycasting_scene(mesh) for mesh in self._meshes]
        self._threads = threads

    def layers(self, view: View, body: int = 0) -> Layers:
        """The layers of a view, with masks and coordinates of one of the scene's bodies."""
        camera = view.camera
        depth = room_depth(view)
        # That body comes last, when what may be before it is known.
        for other in range(len(self._bodies)):
            pose = view.poses[other]
            if other == body or pose is None:
                continue
            if box := _box(self._meshes[other], pose, view):
                hit = self._cast(self._bodies[other], view, pose, box)["t_hit"].numpy()
                depth[box] = np.minimum(depth[box], hit)
        mask, visible = np.zeros((2, camera.height, camera.width), bool)
        coordinates = self._meshes[body].canonical
        canonical = None if coordinates is None else np.full((*mask.shape, 3), np.nan, np.float32)
        pose = view.poses[body]
        if pose is not None and (box := _box(self._meshes[body], pose, view)):
            cast = self._cast(self._bodies[body], view, pose, box)
            hit = cast["t_hit"].numpy()
            mask[box] = np.isfinite(hit)
            visible[box] = mask[box] & (hit < depth[box])
            depth[box] = np.minimum(depth[box], hit)
            if canonical is not None and coordinates is not None:
                seen = visible[box]
                corners = self._meshes[body].faces[cast["primitive_ids"].numpy()[seen]]
                canonical[box][seen] = _interpolate(
                    coordinates[corners], cast["primitive_uvs"].numpy()[seen]
                )
        depth[~np.isfinite(depth)] = np.nan
        return Layers(depth, mask, visible, canonical)

    def _cast(
        self, target: o3d.t.geometry.RaycastingScene, view: View, T_world_body: FloatArray, box: Box
    ) -> dict[str, o3d.core.Tensor]:
        T_body_camera = np.linalg.inv(T_world_body) @ view.T_world_camera
        rays = np.empty((*_shape(box), 6), np.float32)
        rays[..., :3] = T_body_camera[:3, 3]
        # Rays reach depth 1 at length 1, so that the length to a hit is its depth.
        rays[..., 3:] = _rays(view.camera, box) @ T_body_camera[:3, :3].T
        return target.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=self._threads)


def room_depth(view: View) -> npt.NDArray[np.float32]:
    """The depth (H, W) of table and room alone, metres, infinite above the walls.

    They are planes, so that 1 / depth is linear in the pixel; the camera is inside of the room.
    """
    u = ((np.arange(view.camera.width) - view.camera.cx) / view.camera.fx).astype(np.float32)
    v = ((np.arange(view.camera.height) - view.camera.cy) / view.camera.fy).astype(np.float32)[
        :, None
    ]
    eye, axes = view.T_world_camera[:3, 3], view.T_world_camera[:3, :3].astype(np.float32)
    rays = [axis[0] * u + axis[1] * v + axis[2] for axis in axes]
    half = ROOM_SIZE / 2
    inverse = rays[2] / np.float32(FLOOR - eye[2])
    for axis in (0, 1):
        for wall in (-half, half):
            np.maximum(inverse, rays[axis] / np.float32(wall - eye[axis]), out=inverse)
    depth = 1 / inverse
    depth[eye[2] + depth * rays[2] > CEILING] = np.inf
    with np.errstate(divide="ignore"):
        table = np.float32(-eye[2]) / rays[2]
    on_table = (table > 0) & (table < depth)
    for axis in (0, 1):
        on_table &= np.abs(eye[axis] + table * rays[axis]) <= TABLE_SIZE / 2
    return np.where(on_table, table, depth)


def _raycasting_scene(mesh: Mesh) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(mesh.vertices.astype(np.float32)),
        o3d.core.Tensor.from_numpy(mesh.faces.astype(np.uint32)),
    )
    return scene


def _rays(camera: PinholeCamera, box: Box) -> FloatArray:
    rows, columns = box
    u, v = np.meshgrid(
        np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop), copy=False
    )
    return camera.rays(np.stack([u, v], axis=-1))


def _shape(box: Box) -> tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def _box(mesh: Mesh, T_world_body: FloatArray, view: View) -> Box | None:
    """The part of the image (rows, columns) in which a body can be, None if it is out of it."""
    T_camera_body = np.linalg.inv(view.T_world_camera) @ T_world_body
    points = mesh.vertices @ T_camera_body[:3, :3].T + T_camera_body[:3, 3]
    size = np.array([view.camera.width, view.camera.height])
    if points[:, 2].max() <= 0:
        return None
    low, high = np.zeros(2), size
    if points[:, 2].min() > NEAR:
        pixels = view.camera.project(points)
        low = np.clip(np.floor(pixels.min(axis=0)), 0, size)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, size)
    if np.any(low >= high):
        return None
    (left, top), (right, bottom) = low.astype(int).tolist(), high.astype(int).tolist()
    return np.s_[top:bottom, left:right]


def _interpolate(corners: FloatArray, uv: FloatArray) -> FloatArray:
    """Values at barycentric coordinates (N, 2) of triangles with values (N, 3, C) at corners."""
    u, v = uv[:, :1], uv[:, 1:]
    return (1 - u - v) * corners[:, 0] + u * corners[:, 1] + v * corners[:, 2]
