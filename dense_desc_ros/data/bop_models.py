"""The models of a BOP data set: meshes as PLY in millimetres, textures, and models_info.json."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.bop_format import MILLIMETRE
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.reading import read_json
from dense_desc_ros.errors import DataError
from dense_desc_ros.files import write_atomically

INFO_FILE = "models_info.json"


def write_model(folder: Path, object_id: int, mesh: Mesh) -> None:
    """Write obj_NNNNNN.ply, with its texture as PNG beside it.

    The PLY has normals, and where the mesh has them texture_u, texture_v (v up, as MeshLab and BOP
    have it) and the canonical coordinates canonical_x, canonical_y, canonical_z.

    Raises:
        DataError: they cannot be written.
    """
    name = f"obj_{object_id:06d}"
    columns: list[tuple[str, FloatArray]] = [
        *zip("xyz", mesh.vertices.T / MILLIMETRE, strict=True),
        *zip(("nx", "ny", "nz"), mesh.normals.T, strict=True),
    ]
    comment = ""
    if mesh.uv is not None and mesh.texture is not None:
        columns += [("texture_u", mesh.uv[:, 0]), ("texture_v", 1 - mesh.uv[:, 1])]
        comment = f"comment TextureFile {name}.png\n"
    if mesh.canonical is not None:
        columns += [
            (f"canonical_{axis}", c) for axis, c in zip("xyz", mesh.canonical.T, strict=True)
        ]
    properties = "".join(f"property float {column}\n" for column, _ in columns)
    header = (
        f"ply\nformat binary_little_endian 1.0\n{comment}"
        f"element vertex {len(mesh.vertices)}\n{properties}"
        f"element face {len(mesh.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    vertices = np.stack([values for _, values in columns], axis=1).astype("<f4")
    faces = np.empty(len(mesh.faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    faces["count"], faces["corners"] = 3, mesh.faces
    try:
        if mesh.texture is not None:
            png = cv2.imencode(".png", mesh.texture[..., ::-1])[1].tobytes()
            write_atomically(folder / f"{name}.png", png)
        content = header.encode() + vertices.tobytes() + faces.tobytes()
        write_atomically(folder / f"{name}.ply", content)
    except OSError as error:
        raise DataError(f"cannot write model {folder / name}.ply: {error}") from error


def model_info(mesh: Mesh) -> dict[str, float]:
    """What models_info.json says of a model: its diameter and bounding box, millimetres."""
    vertices = mesh.vertices / MILLIMETRE
    corner, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    hull = vertices[ConvexHull(vertices).vertices] if size.min() > 0 else vertices
    info = {"diameter": float(pdist(hull).max())}
    info |= {f"min_{axis}": float(value) for axis, value in zip("xyz", corner, strict=True)}
    info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", size, strict=True)}
    return info


def add_model_info(folder: Path, object_id: int, info: dict[str, float]) -> None:
    """Enter a model into models_info.json; several processes may do so at the same time.

    Raises:
        DataError: the file is malformed or cannot be written.
    """
    path = folder / INFO_FILE
    try:
        with _locked(folder):
            known = read_json(path) if path.exists() else {}
            known[str(object_id)] = info
            ordered = {key: known[key] for key in sorted(known, key=lambda key: (len(key), key))}
            write_atomically(path, json.dumps(ordered, indent=1).encode() + b"\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
