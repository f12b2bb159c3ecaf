"""Surfaces as grids of points, joined to one mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

Rectangle = tuple[float, float, float, float]  # u0, v0, u1, v1 of the texture


@dataclass(frozen=True, eq=False)
class Grid:
    """Points (R, C, 3) whose outside is seen with the columns to the right and the rows upwards.

    `uv` (R, C, 2) are their texture coordinates. Triangles without an area are left out when grids
    are joined, so that a row may be a single point.
    """

    points: FloatArray
    uv: FloatArray


def in_rectangle(u: FloatArray, v: FloatArray, rectangle: Rectangle) -> FloatArray:
    """Texture coordinates (R, C, 2) of (u, v) in [0, 1], v down, within a part of the texture."""
    u0, v0, u1, v1 = rectangle
    u, v = np.broadcast_arrays(u, v)
    return np.stack([u0 + (u1 - u0) * u, v0 + (v1 - v0) * v], axis=-1)


def seen_from_behind(grid: Grid) -> Grid:
    """The same surface with its other side as the outside."""
    return Grid(grid.points[:, ::-1], grid.uv[:, ::-1])


def hem(
    outer: FloatArray, inner: FloatArray, rectangle: Rectangle, *, closed: bool = False
) -> list[Grid]:
    """The narrow surfaces that join two sheets (R, C, 3) at their borders.

    Args:
        outer: the sheet whose outside is seen.
        inner: the sheet behind it, point by point.
        rectangle: of the texture, for each border anew.
        closed: the columns go all the way round and the last row is one point: only the first row
            is a border.
    """
    borders = [(outer[0], inner[0])]
    if not closed:
        borders += [
            (outer[:, -1], inner[:, -1]),
            (outer[-1, ::-1], inner[-1, ::-1]),
            (outer[::-1, 0], inner[::-1, 0]),
        ]
    grids = []
    for front, back in borders:
        u, v = np.meshgrid(np.linspace(0, 1, len(front)), [1.0, 0.0])
        grids.append(Grid(np.stack([back, front]), in_rectangle(u, v, rectangle)))
    return grids


def joined(grids: Sequence[Grid]) -> tuple[FloatArray, npt.NDArray[np.int32], FloatArray]:
    """Vertices (V, 3), faces (F, 3) and texture coordinates (V, 2) of all the grids."""
    start, faces = 0, []
    for grid in grids:
        rows, columns = grid.points.shape[:2]
        index = start + np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        faces += [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]
        start += rows * columns
    vertices = np.concatenate([grid.points.reshape(-1, 3) for grid in grids])
    triangles = np.concatenate(faces)
    corners = vertices[triangles]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    kept = triangles[np.linalg.norm(area, axis=1) > 1e-12]
    return vertices, kept, np.concatenate([grid.uv.reshape(-1, 2) for grid in grids])
