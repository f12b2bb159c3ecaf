"""Every grasp of a replay as a row of a table, in CSV and in Parquet."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.transform import Rotation

from dense_desc_ros.evaluation.replay.answers import Answers

GRASPS_CSV, GRASPS_PARQUET = "grasps.csv", "grasps.parquet"
NUMBERS = (
    *("score", "u", "v", "x", "y", "z", "qx", "qy", "qz", "qw"),
    *("opening_width", "point_x", "point_y", "point_z"),
)
SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("bag", "frame", "stamp_ns")),
        *((name, pa.string()) for name in ("name", "method")),
        *((name, pa.float64()) for name in NUMBERS),
    ]
)
ROWS = 10_000  # of a row group of Parquet, which is what is kept in memory


class GraspTables:
    """grasps.csv and grasps.parquet in a folder, written frame by frame; use it with `with`.

    Poses are in the camera's optical frame, metres, with quaternions x, y, z, w; both have the same
    columns, SCHEMA.

    Raises:
        OSError: they cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._text = (folder / GRASPS_CSV).open("w", newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(SCHEMA.names)
        self._parquet = pq.ParquetWriter(folder / GRASPS_PARQUET, SCHEMA)
        self._waiting: list[tuple[Any, ...]] = []

    def __enter__(self) -> "GraspTables":
        return self

    def __exit__(self, *_: object) -> None:
        self._write_group()
        self._parquet.close()
        self._text.close()

    def add(self, answers: Answers) -> None:
        """Add the grasps of a frame."""
        rows = _rows(answers)
        self._csv.writerows(rows)
        self._waiting += rows
        if len(self._waiting) >= ROWS:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            columns = map(list, zip(*self._waiting, strict=True))
            arrays = [pa.array(values, f.type) for values, f in zip(columns, SCHEMA, strict=True)]
            self._parquet.write_batch(pa.record_batch(arrays, SCHEMA))
            self._waiting = []


def _rows(answers: Answers) -> list[tuple[Any, ...]]:
    if not answers.grasps:
        return []
    rows = []
    rotations = np.stack([grasp.T_camera_grasp[:3, :3] for grasp in answers.grasps])
    quaternions = Rotation.from_matrix(rotations).as_quat()
    for grasp, quaternion in zip(answers.grasps, quaternions, strict=True):
        numbers = (
            *(grasp.score, *grasp.pixel, *grasp.T_camera_grasp[:3, 3], *quaternion),
            *(grasp.opening_width, *grasp.point),
        )
        rows.append(
            (
                *(answers.bag, answers.frame, answers.stamp_ns, grasp.name, grasp.method),
                *map(float, numbers),
            )
        )
    return rows
