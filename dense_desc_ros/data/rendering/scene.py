"""What is rendered, whoever renders it: objects on a table in a room, seen by a camera.

The world's frame has its origin in the middle of the table's top, z up, metres.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.mesh import Mesh

Picture = npt.NDArray[np.uint8]
Color = tuple[float, float, float]

TABLE_SIZE = 1.5
ROOM_SIZE, FLOOR, CEILING = 5.0, -0.75, 2.5
SURFACE_PIXELS = 1024


@dataclass(frozen=True, eq=False)
class Body:
    """A thing that can lie about; `shine` in [0, 1] is how much it mirrors the lights."""

    mesh: Mesh
    shine: float


@dataclass(frozen=True)
class Lamp:
    """A light at a `position` in metres; its `radius` softens the shadows, 0 casts none."""

    position: tuple[float, float, float]
    color: Color
    radius: float


@dataclass(frozen=True)
class Surface:
    """How one of the scene's pictures lies on the table or the room.

    Attributes:
        picture: which of the pictures.
        angle: it is turned by, radians.
        zoom: it is enlarged by.
        tint: factors on red, green and blue.
    """

    picture: int
    angle: float
    zoom: float
    tint: Color


@dataclass(frozen=True, eq=False)
class Scene:
    """What stays the same in all views.

    Attributes:
        bodies: objects that the data are about, then distractors.
        surfaces: pictures (SURFACE_PIXELS, SURFACE_PIXELS, 3) for table and room.
        objects: how many of the bodies are objects.
    """

    bodies: tuple[Body, ...]
    surfaces: tuple[Picture, ...]
    objects: int = 1


@dataclass(frozen=True, eq=False)
class View:
    """What changes from view to view.

    Attributes:
        camera: intrinsics.
        T_world_camera: (4, 4) pose of the camera.
        poses: T_world_body (4, 4) of each body of the scene, None for those that are not there.
        lamps: the lights.
        ambient: light from everywhere.
        table: what the table looks like.
        room: what floor and walls look like.
    """

    camera: PinholeCamera
    T_world_camera: FloatArray
    poses: tuple[FloatArray | None, ...]
    lamps: tuple[Lamp, ...]
    ambient: Color
    table: Surface
    room: Surface


def surface_picture(scene: Scene, surface: Surface, size: int = SURFACE_PIXELS) -> Picture:
    """The picture of a surface as it is laid, (size, size, 3)."""
    middle, zoom = (SURFACE_PIXELS - 1) / 2, surface.zoom * size / SURFACE_PIXELS
    shift = (size - 1) / 2 - middle
    turn = cv2.getRotationMatrix2D((middle, middle), np.degrees(surface.angle), zoom)
    turn = np.asarray(turn, np.float64) + [[0, 0, shift], [0, 0, shift]]
    laid = cv2.warpAffine(
        scene.surfaces[surface.picture], turn, (size, size), borderMode=cv2.BORDER_REFLECT_101
    )
    table = np.clip(np.arange(256)[:, None] * np.array(surface.tint), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(laid, table[None]), np.uint8)


def table_mesh() -> Mesh:
    """The top of the table; its texture is upright for who stands at -y."""
    half = TABLE_SIZE / 2
    return _sheets([[(-half, half, 0), (half, half, 0), (half, -half, 0), (-half, -half, 0)]])


def room_mesh() -> Mesh:
    """Floor and four walls, seen from inside; each carries the whole texture."""
    h, low, high = ROOM_SIZE / 2, FLOOR, CEILING
    corners = [(-h, h), (h, h), (h, -h), (-h, -h)]
    walls = [
        [(*a, high), (*b, high), (*b, low), (*a, low)]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return _sheets([[(*corner, low) for corner in corners], *walls])


def _sheets(rectangles: list[list[tuple[float, float, float]]]) -> Mesh:
    """Rectangles given by their corners: upper left, upper right, lower right, lower left."""
    count = len(rectangles)
    quad = np.array([(0, 2, 1), (0, 3, 2)], np.int32)
    return Mesh(
        np.array(rectangles, dtype=float).reshape(-1, 3),
        np.concatenate([quad + np.int32(4 * i) for i in range(count)]),
        np.tile([(0.0, 0.0), (1, 0), (1, 1), (0, 1)], (count, 1)),
        np.full((1, 1, 3), 128, np.uint8),
    )
