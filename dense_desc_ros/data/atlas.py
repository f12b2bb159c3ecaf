"""One texture out of several: pictures of materials, plain colours, colours of vertices."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

BORDER = 4  # texels around each picture, so that filtering does not reach its neighbour
LARGEST = 2048  # texels along a picture's side
CELL = 3  # texels along the sides of a painted triangle


@dataclass(frozen=True, eq=False)
class Patch:
    """Triangles `vertices` (V, 3), `faces` (F, 3) with `uv` (V, 2), v down, in their `picture`."""

    vertices: FloatArray
    faces: npt.NDArray[np.int32]
    uv: FloatArray
    picture: npt.NDArray[np.uint8]


def textured(
    vertices: FloatArray,
    faces: npt.NDArray[np.int32],
    uv: FloatArray,
    picture: npt.NDArray[np.uint8],
) -> Patch:
    """A patch with its picture, repeated as often as texture coordinates outside [0, 1] ask for."""
    slack = 1e-6
    if uv.min() < -slack or uv.max() > 1 + slack:
        vertices = vertices[faces.ravel()]
        corners = uv[faces]
        corners = corners - np.floor(corners.min(axis=1, keepdims=True) + slack)
        repeats = np.maximum(1, np.ceil(corners.max(axis=(0, 1)) - slack)).astype(int)
        repeats = np.minimum(repeats, np.maximum(1, LARGEST // 8))
        picture = np.tile(picture, (repeats[1], repeats[0], 1))
        uv = corners.reshape(-1, 2) / repeats
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    largest = max(picture.shape[:2])
    if largest > LARGEST:
        height, width = (max(1, side * LARGEST // largest) for side in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return Patch(vertices, faces, np.clip(uv, 0, 1), picture)


def solid(vertices: FloatArray, faces: npt.NDArray[np.int32], color: tuple[int, ...]) -> Patch:
    """A patch of one colour."""
    return Patch(
        vertices, faces, np.full((len(vertices), 2), 0.5), np.full((2, 2, 3), color, np.uint8)
    )


def painted_triangles(
    vertices: FloatArray, faces: npt.NDArray[np.int32], colors: npt.NDArray[np.uint8]
) -> Patch:
    """A patch whose colours (F, 3 corners, 3) run linearly over each triangle.

    Each triangle has a cell of texels of its own; between texel centres a texture is interpolated
    linearly, so the colours are those that interpolating at the vertices gives.
    """
    side = int(np.ceil(np.sqrt(len(faces))))
    a, b, c = (colors[:, i, None, None].astype(float) for i in range(3))
    along, down = np.meshgrid(*[np.arange(CELL) / (CELL - 1)] * 2)
    cells = a + (b - a) * along[..., None] + (c - a) * down[..., None]
    picture = np.zeros((side * side, CELL, CELL, 3), np.uint8)
    picture[: len(faces)] = np.clip(np.round(cells), 0, 255)
    picture = picture.reshape(side, side, CELL, CELL, 3).swapaxes(1, 2)
    row, column = np.divmod(np.arange(len(faces)), side)
    first = np.stack([column, row], axis=1) * CELL + 0.5
    corners = first[:, None] + np.array([(0, 0), (CELL - 1, 0), (0, CELL - 1)])
    return Patch(
        vertices[faces.ravel()],
        np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3),
        corners.reshape(-1, 2) / (side * CELL),
        picture.reshape(side * CELL, side * CELL, 3),
    )


def stacked(patches: Sequence[Patch]) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Texture coordinates (V, 2) of all patches, one after the other, in their common texture."""
    if len(patches) == 1:
        return patches[0].uv, patches[0].picture
    framed = [
        cv2.copyMakeBorder(each.picture, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
        for each in patches
    ]
    width, height = max(p.shape[1] for p in framed), sum(p.shape[0] for p in framed)
    texture = np.zeros((height, width, 3), np.uint8)
    coordinates, top = [], 0
    for patch, picture in zip(patches, framed, strict=True):
        texture[top : top + picture.shape[0], : picture.shape[1]] = picture
        size = np.array(patch.picture.shape[1::-1])
        coordinates.append((patch.uv * size + BORDER + [0, top]) / [width, height])
        top += picture.shape[0]
    return np.concatenate(coordinates), texture
