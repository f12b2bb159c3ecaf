"""A small RGB-D recording with known truth: textured objects on a table, moved between frames."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.frames import FrameFolder, write_camera, write_frame, write_points
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.sim.depth_sensor import measure
from dense_desc_ros.sim.layout import camera_pose, place_objects, points_in_camera
from dense_desc_ros.sim.objects import TableObject, make_objects
from dense_desc_ros.sim.scene import CAMERA, Place, TableScene

TOLERANCE = 0.004  # metres between a visible point's depth and the depth at its pixel
MARGIN = 8  # pixels that a visible point keeps from the image's border
ATTEMPTS = 500


@dataclass(frozen=True)
class Arrangement:
    """One frame before it is rendered in colour.

    Attributes:
        places: of the objects that are on the table.
        T_table_camera: (4, 4) pose of the camera.
        depth: (H, W) exact depth, metres.
        pixels: name -> (u, v) of the points that can be seen, None of the others.
        positions: name -> (3,) of the points that can be seen, camera frame, metres; else None.
    """

    places: dict[str, Place]
    T_table_camera: FloatArray
    depth: npt.NDArray[np.float32]
    pixels: dict[str, FloatArray | None]
    positions: dict[str, FloatArray | None]


def render_table(out: Path, frames: int = 6, seed: int = 0, noise: bool = True) -> FrameFolder:
    """Render frames of a table whose objects and camera move from one to the next.

    On the first frame every reference point can be seen. Of each three that follow, one lacks an
    object, one has points hidden behind other objects, one only turns and moves things.

    Args:
        out: the folder to write, as `FrameFolder` reads it, with the truth in points.json.
        frames: how many, 1 to 1000.
        seed: fixes everything, on one machine.
        noise: give depth the noise and the holes of a depth camera; else it is exact to 1 mm.

    Raises:
        InvalidInputError: a number of frames or a seed out of range.
        DataError: the folder exists already and is not empty, it cannot be written, or this machine
            cannot render.
    """
    if not 1 <= frames <= 1000:
        raise InvalidInputError(f"the number of frames must be in 1..1000, got {frames}")
    if seed < 0:
        raise InvalidInputError(f"the seed must not be negative, got {seed}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already: remove it or choose another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            unfinished = Path(temporary) / out.name
            _write(unfinished, frames, seed, noise)
            if out.exists():
                out.rmdir()
            shutil.move(unfinished, out)
    except OSError as error:
        raise DataError(f"cannot write frames to {out}: {error}") from error
    return FrameFolder(out)


def _write(out: Path, frames: int, seed: int, noise: bool) -> None:
    objects = make_objects(seed)
    arrangements = []
    with TableScene(objects, seed) as scene:
        for index in range(frames):
            rng = np.random.default_rng([seed, index])
            found = arrange(scene, objects, rng, index)
            scene.arrange(found.places, found.T_table_camera)
            depth = measure(found.depth, CAMERA, rng) if noise else found.depth
            write_frame(out, index, scene.color(), depth)
            arrangements.append(found)
    write_camera(out, CAMERA)
    names = [name for each in objects for name in each.points]
    write_points(
        out,
        {name: [_listed(each.pixels[name]) for each in arrangements] for name in names},
        {name: [_listed(each.positions[name]) for each in arrangements] for name in names},
    )


def arrange(
    scene: TableScene, objects: Sequence[TableObject], rng: np.random.Generator, index: int
) -> Arrangement:
    """Try random arrangements until one suits its frame, see `render_table`."""
    total = sum(len(each.points) for each in objects)
    for _ in range(ATTEMPTS):
        first, without_one, with_hidden = index == 0, index % 3 == 2, index > 0 and index % 3 == 0
        present = list(objects)
        if without_one:
            present.pop(rng.integers(len(present)))
        possible = sum(len(each.points) for each in present)
        places = place_objects(rng, present, turn=0.25) if first else place_objects(rng, present)
        found = _look(scene, objects, places, camera_pose(rng, spread=0.3 if first else 1.0))
        hidden = possible - sum(pixel is not None for pixel in found.pixels.values())
        if first and hidden == 0:
            return found
        if not first and (1 if with_hidden else 0) <= hidden <= total // 5:
            return found
    raise DataError(f"no arrangement of the objects was found that suits frame {index}")


def _look(
    scene: TableScene,
    objects: Sequence[TableObject],
    places: dict[str, Place],
    T_table_camera: FloatArray,
) -> Arrangement:
    scene.arrange(places, T_table_camera)
    depth = scene.depth()
    positions = {
        name: point if point is not None and is_visible(point, depth) else None
        for name, point in points_in_camera(objects, places, T_table_camera).items()
    }
    pixels = {
        name: None if point is None else CAMERA.project(point) for name, point in positions.items()
    }
    return Arrangement(places, T_table_camera, depth, pixels, positions)


def is_visible(point: FloatArray, depth: npt.NDArray[np.float32]) -> bool:
    """Whether a point (3,) of the camera frame is what the exact depth image shows at its pixel."""
    u, v = CAMERA.project(point)
    inside = MARGIN <= u < CAMERA.width - MARGIN and MARGIN <= v < CAMERA.height - MARGIN
    return bool(inside and abs(depth[round(v), round(u)] - point[2]) <= TOLERANCE)


def _listed(vector: FloatArray | None) -> list[float] | None:
    return None if vector is None else [float(x) for x in vector]
