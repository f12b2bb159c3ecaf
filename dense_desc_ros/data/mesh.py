"""Textured triangle meshes: what objects are made of, and OBJ files of them."""

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.mesh_files import read_mesh_file
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.files import write_atomically

# Cosine between a vertex' own normal and that of its position, below which an edge stays.
CREASE = 0.85
SHAPENET_MODEL = Path("models") / "model_normalized.obj"  # in a model's folder of ShapeNetCore


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh with one texture.

    Attributes:
        vertices: (V, 3) float64 metres, object frame, z up.
        faces: (F, 3) int32 indices, counter-clockwise seen from outside.
        uv: (V, 2) texture coordinates, u right and v down in [0, 1] of the whole picture, or None.
        texture: (h, w, 3) uint8 RGB, or None.
        canonical: (V, 3) float32 in [0, 1], the same for the same anatomical point of every
            instance of a category, or None.
        collision: corners (n, 3) of convex pieces, metres; a physics engine takes their hulls.
        removed_faces: how many coincident or collapsed faces the file had and this mesh lacks.

    Raises:
        InvalidInputError: shapes that do not fit, no face, an index out of range, or a number that
            is not finite.
    """

    vertices: FloatArray
    faces: npt.NDArray[np.int32]
    uv: FloatArray | None = None
    texture: npt.NDArray[np.uint8] | None = None
    canonical: npt.NDArray[np.float32] | None = None
    collision: tuple[FloatArray, ...] = ()
    removed_faces: int = 0

    def __post_init__(self) -> None:
        count = len(self.vertices)
        if self.vertices.shape != (count, 3) or self.faces.shape != (len(self.faces), 3):
            raise InvalidInputError(
                f"vertices and faces must be (V, 3) and (F, 3), got {self.vertices.shape} and "
                f"{self.faces.shape}"
            )
        if len(self.faces) == 0:
            raise InvalidInputError("the mesh has no faces")
        if self.faces.min() < 0 or self.faces.max() >= count:
            raise InvalidInputError(
                f"faces name vertices {self.faces.min()} to {self.faces.max()} of {count}"
            )
        for name, values, width in (
            ("vertices", self.vertices, 3),
            ("uv", self.uv, 2),
            ("canonical", self.canonical, 3),
        ):
            if values is None:
                continue
            if values.shape != (count, width):
                raise InvalidInputError(f"{name} must be {(count, width)}, got {values.shape}")
            if not np.isfinite(values).all():
                raise InvalidInputError(f"{name} has values that are not finite")
        if (self.uv is None) != (self.texture is None):
            raise InvalidInputError("a texture needs texture coordinates, and they need a texture")

    @cached_property
    def normals(self) -> FloatArray:
        """Outward normals (V, 3) of length one for smooth shading, weighted by area.

        Vertices at one position, as a texture's seams make them, share a normal unless an edge is
        as sharp there as CREASE tells.
        """
        corners = self.vertices[self.faces]
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        own = np.zeros_like(self.vertices)
        for corner in self.faces.T:
            np.add.at(own, corner, facing)
        _, position = np.unique(np.round(self.vertices, 7), axis=0, return_inverse=True)
        shared = np.zeros_like(self.vertices)
        np.add.at(shared, position.ravel(), own)
        own, shared = _unit(own), _unit(shared)[position.ravel()]
        smooth = np.sum(own * shared, axis=1, keepdims=True) > CREASE
        return np.where(smooth, shared, own)


def load_mesh(path: str | Path, size: float | None = None) -> Mesh:
    """Read an OBJ, GLB or PLY file, or a model of ShapeNetCore.

    Of coincident faces only the one that faces away from the middle of the mesh's underside is
    kept: a surface that was drawn from both sides has one. Several materials become one texture.
    ShapeNetCore and glTF have y up and their front at -z and z; it becomes x, and z up.

    Args:
        path: the file, or a model's folder of ShapeNetCore, which then stands on z = 0 around the
            z axis.
        size: scale the mesh so that the longest side of its bounding box is this long, metres.

    Raises:
        DataError: the file is missing or broken, its material file or a texture is missing or
            broken, or it holds no surface.
        InvalidInputError: a size that is not positive.
    """
    path = Path(path)
    if size is not None and not size > 0:
        raise InvalidInputError(f"the size of a mesh must be positive, got {size}")
    model = path / SHAPENET_MODEL if path.is_dir() else path
    surface = read_mesh_file(model)
    vertices = surface.vertices
    if path.is_dir():
        vertices = vertices[:, [2, 0, 1]] * [-1, -1, 1]
    elif model.suffix.lower() == ".glb":
        vertices = vertices[:, [2, 0, 1]]
    extent = np.ptp(vertices, axis=0).max()
    if size is not None:
        vertices = vertices * (size / extent)
    if path.is_dir():
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        vertices = vertices - [*(low + high)[:2] / 2, low[2]]
    kept = _distinct_faces(vertices, surface.faces, 1e-6 * np.ptp(vertices, axis=0).max())
    try:
        return Mesh(
            vertices,
            surface.faces[kept],
            surface.uv,
            surface.texture,
            removed_faces=len(surface.faces) - len(kept),
        )
    except InvalidInputError as error:
        raise DataError(f"{model}: {error}") from error


def write_obj(mesh: Mesh, folder: str | Path, name: str) -> Path:
    """Write <name>.obj, and with a texture <name>.mtl and <name>.png; returns the OBJ file.

    Raises:
        DataError: it could not be written.
    """
    folder = Path(folder)
    text = io.StringIO()
    if mesh.texture is not None:
        text.write(f"mtllib {name}.mtl\nusemtl {name}\n")
    np.savetxt(text, mesh.vertices, "v %.9g %.9g %.9g")
    if mesh.uv is not None:
        np.savetxt(text, np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1), "vt %.9g %.9g")
    np.savetxt(text, mesh.normals, "vn %.6f %.6f %.6f")
    corner = "%d//%d" if mesh.uv is None else "%d/%d/%d"
    repeats = corner.count("%")
    np.savetxt(text, np.repeat(mesh.faces + 1, repeats, axis=1), f"f {corner} {corner} {corner}")
    try:
        if mesh.texture is not None:
            png = cv2.imencode(".png", mesh.texture[..., ::-1])[1].tobytes()
            write_atomically(folder / f"{name}.png", png)
            material = f"newmtl {name}\nKd 1 1 1\nKs 0 0 0\nmap_Kd {name}.png\n"
            write_atomically(folder / f"{name}.mtl", material.encode())
        write_atomically(folder / f"{name}.obj", text.getvalue().encode())
    except OSError as error:
        raise DataError(f"cannot write {folder / name}.obj: {error}") from error
    return folder / f"{name}.obj"


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(
        vectors, lengths, out=np.tile([0.0, 0, 1], (len(vectors), 1)), where=lengths > 0
    )


def _distinct_faces(
    vertices: FloatArray, faces: npt.NDArray[np.int32], tolerance: float
) -> npt.NDArray[np.intp]:
    """Indices of the faces that have an area, one of each set that coincides."""
    grid = np.round(vertices / tolerance)
    position = np.unique(grid, axis=0, return_inverse=True)[1].ravel()
    key = np.sort(position[faces], axis=1)
    flat = (key[:, 0] == key[:, 1]) | (key[:, 1] == key[:, 2])
    corners = vertices[faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    inside = low + (high - low) * [0.5, 0.5, 0.01]  # low, so that a hat's brim faces up
    outward = np.sum(facing * (corners.mean(axis=1) - inside), axis=1)
    order = np.lexsort((np.arange(len(faces)), -outward, *key.T))
    order = order[~flat[order]]
    first = np.ones(len(order), bool)
    first[1:] = (key[order[1:]] != key[order[:-1]]).any(axis=1)
    return np.sort(order[first])
