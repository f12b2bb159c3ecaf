"""Places on surfaces: the nearest ones to given points, also in canonical coordinates."""

import numpy as np
import numpy.typing as npt
import open3d as o3d

from dense_desc_ros.camera import FloatArray


def closest(
    vertices: FloatArray, faces: npt.NDArray[np.int32], points: FloatArray
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Corners (N, 3) of the triangles nearest to points (N, 3), and the shares (N, 3) of each."""
    surface = o3d.t.geometry.RaycastingScene()
    surface.add_triangles(
        o3d.core.Tensor.from_numpy(vertices.astype(np.float32)),
        o3d.core.Tensor.from_numpy(faces.astype(np.uint32)),
    )
    wanted = o3d.core.Tensor.from_numpy(points.astype(np.float32))
    answer = surface.compute_closest_points(wanted)
    uv = answer["primitive_uvs"].numpy().astype(float)
    shares = np.column_stack([1 - uv.sum(axis=1), uv])
    return faces[answer["primitive_ids"].numpy()], shares


def blend(corners: FloatArray, shares: FloatArray) -> FloatArray:
    """Values (N, C) of the triangles' corners (N, 3, C), weighted by shares (N, 3)."""
    return np.einsum("nkc,nk->nc", corners.astype(float), shares)
