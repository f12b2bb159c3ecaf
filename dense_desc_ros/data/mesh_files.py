"""Reading mesh files of any make as one surface with one texture."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh
from PIL import Image
from trimesh.resolvers import FilePathResolver

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.atlas import Patch, painted_triangles, solid, stacked, textured
from dense_desc_ros.data.reading import path_inside
from dense_desc_ros.errors import DataError

SUFFIXES = (".obj", ".glb", ".ply")
GREY = (160, 160, 160)  # of a surface without any colour


@dataclass(frozen=True)
class Surface:
    """What a file holds: `vertices` (V, 3) in its units, `faces` (F, 3), `uv` (V, 2), `texture`."""

    vertices: FloatArray
    faces: npt.NDArray[np.int32]
    uv: FloatArray
    texture: npt.NDArray[np.uint8]


class _Assets(FilePathResolver):
    """Finds what a mesh file refers to, remembering what it cannot: trimesh ignores that."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), allow_anywhere=True)  # ShapeNetCore's are in ../images
        self._folder = path.absolute().parent
        self.problems: list[str] = []

    def get(self, name: str) -> bytes:
        try:
            path_inside(self._folder.parent, str(self._folder / name.strip()))
            content: bytes = super().get(name)
            if Path(name.strip()).suffix.lower() in Image.registered_extensions():
                Image.open(io.BytesIO(content)).load()
        except (OSError, ValueError, SyntaxError, DataError) as error:
            missing = isinstance(error, FileNotFoundError)
            self.problems.append(f"{name.strip()} is missing" if missing else f"{name}: {error}")
            raise
        return content


def read_mesh_file(path: Path) -> Surface:
    """The surface of an OBJ, GLB or PLY file.

    Raises:
        DataError: it is missing, broken, of another kind or without a surface, or something that
            it refers to is missing or broken.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is not a mesh file ({', '.join(SUFFIXES)})")
    if not path.is_file():
        raise DataError(f"no mesh file {path}")
    if path.suffix.lower() == ".obj":
        _check_obj(path)
    assets = _Assets(path)
    try:
        with np.errstate(invalid="ignore"):
            scene = trimesh.load_scene(path, resolver=assets, process=False)
        pieces = [each for each in scene.dump() if isinstance(each, trimesh.Trimesh)]
    except Exception as error:  # trimesh has no exceptions of its own: broken files fail anyhow
        raise DataError(f"cannot read mesh {path}: {type(error).__name__}: {error}") from error
    if assets.problems:
        raise DataError(f"{path} refers to what cannot be read: {', '.join(assets.problems)}")
    pieces = [each for each in pieces if len(each.faces)]
    if not pieces:
        raise DataError(f"{path} holds no faces")
    for each in pieces:
        _check_numbers(path, each)
    return _joined([_patch(each) for each in pieces])


def _check_obj(path: Path) -> None:
    """Raise DataError for faces that trimesh would leave out or misread."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"cannot read mesh {path}: {error}") from error
    count = len(re.findall(r"^v\s", text, re.MULTILINE))
    for line in re.findall(r"^f\s.*$", text, re.MULTILINE):
        try:
            corners = [int(corner.split("/")[0]) for corner in line.split()[1:]]
        except ValueError:
            corners = []
        if len(corners) < 3:
            raise DataError(f"{path} is broken or was cut off at {line!r}")
        if not all(1 <= corner <= count or -count <= corner < 0 for corner in corners):
            raise DataError(f"{path} has {count} vertices, but a face is {line!r}")


def _check_numbers(path: Path, piece: trimesh.Trimesh) -> None:
    if piece.faces.min() < 0 or piece.faces.max() >= len(piece.vertices):
        raise DataError(
            f"{path} has faces of vertices {piece.faces.min()} to {piece.faces.max()}, "
            f"but {len(piece.vertices)} vertices"
        )
    if not np.isfinite(piece.vertices[piece.faces]).all():
        raise DataError(f"{path} has vertices that are not finite")
    uv = getattr(piece.visual, "uv", None)
    if uv is not None and not np.isfinite(uv).all():
        raise DataError(f"{path} has texture coordinates that are not finite")


def _patch(piece: trimesh.Trimesh) -> Patch:
    """One piece of the file with its colours as a picture of its own."""
    used, corners = np.unique(piece.faces, return_inverse=True)
    vertices = np.asarray(piece.vertices, dtype=float)[used]
    faces = corners.reshape(-1, 3).astype(np.int32)
    visual: Any = piece.visual
    if visual.kind in ("vertex", "face"):
        if visual.kind == "vertex":
            colors = visual.vertex_colors[used][faces]
        else:
            colors = np.repeat(visual.face_colors[:, None], 3, axis=1)
        return painted_triangles(vertices, faces, colors[..., :3])
    material = getattr(visual, "material", None)
    picture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if picture is not None and visual.uv is not None:
        uv = np.asarray(visual.uv, dtype=float)[used]
        uv = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)
        return textured(vertices, faces, uv, np.array(picture.convert("RGB")))
    color = GREY if material is None else tuple(int(c) for c in material.main_color[:3])
    return solid(vertices, faces, color)


def _joined(patches: list[Patch]) -> Surface:
    starts = np.cumsum([0] + [len(each.vertices) for each in patches[:-1]])
    uv, texture = stacked(patches)
    return Surface(
        np.concatenate([each.vertices for each in patches]),
        np.concatenate([p.faces + start for p, start in zip(patches, starts, strict=True)]).astype(
            np.int32
        ),
        uv,
        texture,
    )
