"""Where the objects stand and where the camera is, frame by frame."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DataError
from dense_desc_ros.sim.objects import TableObject
from dense_desc_ros.sim.scene import Place

# The part of the table that the objects' footprints are spread over, and the gap between them, m.
WORKSPACE_X, WORKSPACE_Y = (-0.33, 0.33), (-0.24, 0.26)
GAP = 0.012
LARGEST_TURN = np.radians(50)
TRIES = 1000


def place_objects(
    rng: np.random.Generator, objects: Sequence[TableObject], turn: float = LARGEST_TURN
) -> dict[str, Place]:
    """Random places, no two objects touching, each turned by up to `turn` radians either way.

    Raises:
        DataError: the objects do not fit on the table.
    """
    for _ in range(TRIES):
        places: dict[str, Place] = {}
        taken = np.empty((0, 3))
        for each in sorted(objects, key=lambda o: -np.ptp(o.footprint[:, :2], axis=0).sum()):
            found = _free_place(rng, each, taken, turn)
            if found is None:
                break
            places[each.name], discs = found
            taken = np.vstack([taken, discs])
        else:
            return places
    raise DataError(f"{len(objects)} objects do not fit on the table")


def _free_place(
    rng: np.random.Generator, each: TableObject, taken: FloatArray, turn: float
) -> tuple[Place, FloatArray] | None:
    for _ in range(50):
        place = Place(
            rng.uniform(*WORKSPACE_X), rng.uniform(*WORKSPACE_Y), rng.uniform(-turn, turn)
        )
        discs = footprint(each, place)
        if np.any(_beyond(discs[:, 0], WORKSPACE_X) | _beyond(discs[:, 1], WORKSPACE_Y)):
            continue
        gaps = np.linalg.norm(discs[:, None, :2] - taken[None, :, :2], axis=-1)
        if np.all(gaps > discs[:, None, 2] + taken[None, :, 2] + GAP):
            return place, discs
    return None


def _beyond(values: FloatArray, limits: tuple[float, float]) -> npt.NDArray[np.bool_]:
    return (values < limits[0]) | (values > limits[1])


def footprint(each: TableObject, place: Place) -> FloatArray:
    """The discs (K, 3) of the table (x, y, radius) that an object takes up."""
    flat = np.column_stack([each.footprint[:, :2], np.zeros(len(each.footprint))])
    return np.column_stack([place.to_table(flat)[:, :2], each.footprint[:, 2]])


def camera_pose(rng: np.random.Generator, spread: float = 1.0) -> FloatArray:
    """T_table_camera (4, 4) of a camera that looks at the table at an angle from the front.

    Args:
        rng: source of chance.
        spread: 0 gives the middle of the range, 1 the whole of it: 0.78 to 0.90 m away, 43 to 55
            degrees above the table, up to 15 degrees to either side.
    """
    distance, elevation, azimuth = rng.uniform(-spread, spread, 3) * [0.06, 6, 15] + [0.84, 49, 0]
    target = np.array([0, 0.02, 0.03]) + spread * rng.uniform(-0.015, 0.015, 3)
    up, side = np.radians([elevation, azimuth])
    away = np.array([np.sin(side) * np.cos(up), -np.cos(side) * np.cos(up), np.sin(up)])
    return look_at(target + distance * away, target)


def look_at(eye: FloatArray, target: FloatArray) -> FloatArray:
    """The pose (4, 4) of a camera (optical frame) at `eye` (3,), upright, looking at `target`."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = eye
    return pose


def points_in_camera(
    objects: Sequence[TableObject], places: Mapping[str, Place], T_table_camera: FloatArray
) -> dict[str, FloatArray | None]:
    """The reference points (3,) in the camera frame; None for objects that are not on the table."""
    rotation, eye = T_table_camera[:3, :3], T_table_camera[:3, 3]
    return {
        name: (places[each.name].to_table(point) - eye) @ rotation if each.name in places else None
        for each in objects
        for name, point in each.points.items()
    }
