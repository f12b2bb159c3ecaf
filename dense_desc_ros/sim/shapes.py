"""Textured triangle meshes of simple bodies: lathes, boxes, tubes, discs.

Metres, z up. Every body has a front, which is -y: textures are seen upright and unmirrored from
there. Texture coordinates are (u right, v down) in [0, 1] of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

SEGMENTS = 72
# The places of a box's faces in its texture, three to a row: right is +x, left is -x.
BOX_FACES = ("front", "right", "back", "left", "top", "bottom")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with a normal and texture coordinates at every vertex.

    Attributes:
        vertices: (N, 3) metres.
        normals: (N, 3) outward, of length one.
        uv: (N, 2) texture coordinates.
        faces: (M, 3) indices, counter-clockwise seen from outside.
    """

    vertices: FloatArray
    normals: FloatArray
    uv: FloatArray
    faces: npt.NDArray[np.int32]

    def moved(
        self, offset: npt.ArrayLike = (0, 0, 0), rotation: npt.ArrayLike | None = None
    ) -> "Mesh":
        """The mesh rotated (3, 3) about its origin and then shifted (3,)."""
        turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=float)
        return replace(
            self,
            vertices=self.vertices @ turn.T + np.asarray(offset),
            normals=self.normals @ turn.T,
        )

    def point_at(self, u: float, v: float) -> FloatArray:
        """The point (3,) of the surface that carries the texture coordinates (u, v)."""
        a, b, c = (self.uv[self.faces[:, i]] for i in range(3))
        ab, ac, ap = b - a, c - a, np.array([u, v]) - a
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            beta = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
            gamma = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
        inside = np.minimum.reduce([beta, gamma, 1 - beta - gamma])
        best = int(np.nanargmax(np.where(np.isfinite(inside), inside, -np.inf)))
        weights = np.array([1 - beta[best] - gamma[best], beta[best], gamma[best]])
        return weights @ self.vertices[self.faces[best]]


def lathe(profile: npt.ArrayLike) -> Mesh:
    """The surface of revolution about z of a smooth profile (P, 2) of (radius, height).

    Its outside is to the right of the way along the profile, so an outer wall is walked upwards.
    The texture goes once around, its middle at the front, and once along the profile from its last
    point (v = 0) to its first (v = 1).
    """
    curve = np.asarray(profile, dtype=float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    tangent = np.gradient(curve, axis=0)
    outward = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)

    u, v = np.meshgrid(np.linspace(0, 1, SEGMENTS + 1), 1 - along / along[-1])
    angle = np.pi / 2 + 2 * np.pi * u  # the seam, u = 0, is at the back, +y
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    vertices = np.dstack([curve[:, :1, None] * around, np.broadcast_to(curve[:, 1:], u.shape)])
    normals = np.dstack([outward[:, :1, None] * around, np.broadcast_to(outward[:, 1:], u.shape)])
    return _grid(vertices, normals, np.dstack([u, v]))


def ellipsoid(size: npt.ArrayLike) -> Mesh:
    """An ellipsoid of half-axes (3,) around the origin; the texture as on a globe."""
    ball = lathe(arc((0, 0), 1, -90, 90, SEGMENTS // 2))
    axes = np.asarray(size, dtype=float)
    normals = ball.vertices / axes
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return replace(ball, vertices=ball.vertices * axes, normals=normals)


def disc(radius: float, height: float = 0.0) -> Mesh:
    """A disc facing up; the texture lies flat on it, its lower edge at the front."""
    return printed_from_above(lathe([(radius, height), (0, height)]), radius)


def printed_from_above(mesh: Mesh, radius: float) -> Mesh:
    """The mesh with its texture laid on it from above, on the square around a disc of `radius`."""
    return replace(mesh, uv=0.5 + mesh.vertices[:, :2] * [0.5, -0.5] / radius)


def polyline(corners: npt.ArrayLike, steps: int = 8) -> FloatArray:
    """A profile through `corners` (N, 2), cut into short pieces so that its corners stay sharp."""
    points = np.asarray(corners, dtype=float)
    t = np.linspace(0, len(points) - 1, (len(points) - 1) * steps + 1)
    return np.stack([np.interp(t, np.arange(len(points)), axis) for axis in points.T], axis=1)


def arc(
    centre: tuple[float, float], radius: float, start: float, stop: float, steps: int = 8
) -> FloatArray:
    """A circular profile about a centre (radius, height), angles in degrees from outward to up."""
    angle = np.radians(np.linspace(start, stop, steps))
    return np.asarray(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def box(size: npt.ArrayLike) -> Mesh:
    """A box of edge lengths (3,) standing on z = 0; its texture has the six BOX_FACES as tiles."""
    x, y, z = np.asarray(size, dtype=float)
    # Per face: the corner where its picture starts (upper left), and the picture's u and v edges.
    corners = {
        "front": ((-x, -y, z), (2, 0, 0), (0, 0, -1)),
        "right": ((x, -y, z), (0, 2, 0), (0, 0, -1)),
        "back": ((x, y, z), (-2, 0, 0), (0, 0, -1)),
        "left": ((-x, y, z), (0, -2, 0), (0, 0, -1)),
        "top": ((-x, y, z), (2, 0, 0), (0, -2, 0)),
        "bottom": ((-x, -y, 0), (2, 0, 0), (0, 2, 0)),
    }
    half = np.array([x / 2, y / 2, z])
    scale = np.array([0.5, 0.5, 1.0])
    square = np.array([(0, 0), (0, 1), (1, 1), (1, 0)], dtype=float)
    sides = []
    for face in BOX_FACES:
        start, right, down = (np.array(each, dtype=float) for each in corners[face])
        edges = np.stack([right, down]) * half
        vertices = start * scale + square @ edges
        normal = np.cross(edges[1], edges[0])
        normals = np.tile(normal / np.linalg.norm(normal), (4, 1))
        uv = np.array([box_uv(face, u, v) for u, v in square])
        sides.append(Mesh(vertices, normals, uv, np.array([(0, 1, 2), (0, 2, 3)], np.int32)))
    return merged(sides)


def box_uv(face: str, u: float, v: float) -> tuple[float, float]:
    """The texture coordinates in a box's whole texture of (u, v) on one of its faces."""
    row, column = divmod(BOX_FACES.index(face), 3)
    margin = 0.004  # keeps the neighbouring tile from bleeding in where the texture is filtered
    return (
        (column + np.clip(u, margin, 1 - margin)) / 3,
        (row + np.clip(v, margin, 1 - margin)) / 2,
    )


def tube(path: npt.ArrayLike, radius: float, flat: float = 1.0) -> Mesh:
    """A tube around a smooth path (P, 3) in the xz plane, open at both ends.

    A path that is walked clockwise, seen from the front, has its outside at u = 0.5 of the texture,
    which goes along it from v = 1 to v = 0. `flat` scales the thickness across the plane.
    """
    curve = np.asarray(path, dtype=float)
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.array([0.0, 1.0, 0.0])
    inward = np.cross(across, tangent)
    u, v = np.meshgrid(np.linspace(0, 1, SEGMENTS // 2 + 1), np.linspace(1, 0, len(curve)))
    cosine, sine = np.cos(2 * np.pi * u)[..., None], np.sin(2 * np.pi * u)[..., None]
    offset = inward[:, None] * cosine + across * sine * flat
    normals = inward[:, None] * cosine * flat + across * sine
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return _grid(curve[:, None] + radius * offset, normals, np.dstack([u, v]))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one; they share one texture."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]),
    )


def _grid(vertices: FloatArray, normals: FloatArray, uv: FloatArray) -> Mesh:
    """Rows and columns of vertices (R, C, 3) as triangles, turned to agree with the normals."""
    rows, columns = uv.shape[:2]
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    flat = vertices.reshape(-1, 3)
    corners = flat[faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(facing, axis=1)
    faces, facing = faces[area > 1e-12], facing[area > 1e-12]  # poles collapse triangles
    wrong = np.sum(facing * normals.reshape(-1, 3)[faces[:, 0]], axis=1) < 0
    faces[wrong] = faces[wrong][:, ::-1]
    return Mesh(flat, normals.reshape(-1, 3), uv.reshape(-1, 2), faces)
