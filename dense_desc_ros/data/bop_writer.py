"""Writing data sets in BOP format (see `bop_format`): a scene at a time, all of it or nothing."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.bop_format import (
    CAMERA_FILE,
    GT_FILE,
    GT_INFO_FILE,
    MILLIMETRE,
    encode_canonical,
)
from dense_desc_ros.errors import DataError
from dense_desc_ros.files import write_atomically

DEPTH_SCALE = 0.1  # millimetres to a count: up to 6.5 m
FASTEST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object in one image.

    Attributes:
        object_id: number of its model.
        T_camera_object: (4, 4) its pose, metres.
        mask: (H, W) bool, where it is, occluded or not.
        mask_visib: (H, W) bool, where it can be seen.
        canonical: (H, W, 3) in [0, 1], NaN where it cannot be seen; or None.
    """

    object_id: int
    T_camera_object: FloatArray
    mask: npt.NDArray[np.bool_]
    mask_visib: npt.NDArray[np.bool_]
    canonical: npt.NDArray[np.float32] | None


class BopWriter:
    """Writes the scenes of one split of a data set.

    Args:
        root: folder of the data set.
        split: name of the split's folder in it.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.folder = root / split

    def is_complete(self, scene: int) -> bool:
        """Whether a scene has been written."""
        return (self.folder / f"{scene:06d}" / GT_FILE).is_file()

    @contextmanager
    def scene(self, scene: int) -> Iterator["SceneWriter"]:
        """Write a scene, which gets its name only when all of it is there.

        Raises:
            DataError: it cannot be written, the disk may be full; nothing of it is left then.
        """
        final, unfinished = self.folder / f"{scene:06d}", self.folder / f".{scene:06d}.unfinished"
        try:
            for leftover in (unfinished, final):
                if leftover.exists():
                    shutil.rmtree(leftover)
            unfinished.mkdir(parents=True)
            writer = SceneWriter(unfinished)
            yield writer
            writer.finish()
            unfinished.rename(final)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise DataError(f"cannot write scene {final}: {error}") from error
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


class SceneWriter:
    """Writes the images of one scene into a folder; `BopWriter.scene` makes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, dict[str, Any]] = {
            name: {} for name in (CAMERA_FILE, GT_FILE, GT_INFO_FILE)
        }

    def add(
        self,
        number: int,
        image: npt.NDArray[np.uint8],
        depth: FloatArray,
        camera: PinholeCamera,
        T_camera_world: FloatArray,
        annotations: Sequence[Annotation],
    ) -> None:
        """Write an image with its layers.

        Args:
            number: of the image, 0 to 999999.
            image: (H, W, 3) uint8, RGB.
            depth: (H, W) metres; NaN and what is beyond 6.5 m is written as "not measured".
            camera: intrinsics.
            T_camera_world: (4, 4) pose of the world in the camera.
            annotations: the objects; none is right too.
        """
        counts = np.rint(np.nan_to_num(depth / (DEPTH_SCALE * MILLIMETRE)))
        counts[(counts < 0) | (counts > np.iinfo(np.uint16).max)] = 0
        self._write("rgb", f"{number:06d}", image[..., ::-1])
        self._write("depth", f"{number:06d}", counts.astype(np.uint16))
        for index, annotation in enumerate(annotations):
            name = f"{number:06d}_{index:06d}"
            self._write("mask", name, annotation.mask.view(np.uint8) * np.uint8(255))
            self._write("mask_visib", name, annotation.mask_visib.view(np.uint8) * np.uint8(255))
            if annotation.canonical is not None:
                self._write("canonical", name, encode_canonical(annotation.canonical)[..., ::-1])
        self._tables[CAMERA_FILE][str(number)] = {
            "cam_K": camera.matrix.ravel().tolist(),
            "depth_scale": DEPTH_SCALE,
            "cam_R_w2c": T_camera_world[:3, :3].ravel().tolist(),
            "cam_t_w2c": (T_camera_world[:3, 3] / MILLIMETRE).tolist(),
        }
        self._tables[GT_FILE][str(number)] = [_truth(each) for each in annotations]
        self._tables[GT_INFO_FILE][str(number)] = [_facts(each, counts > 0) for each in annotations]

    def finish(self) -> None:
        for name, table in self._tables.items():
            rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in table.items()]
            (self._folder / name).write_text("{\n" + ",\n".join(rows) + "\n}\n")

    def _write(self, folder: str, name: str, pixels: npt.NDArray) -> None:
        # Encoded in memory, since OpenCV's own writing does not tell a full disk.
        path = self._folder / folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(".png", pixels, FASTEST)[1].tobytes())


def write_camera(root: Path, camera: PinholeCamera) -> None:
    """Write the data set's camera.json.

    Raises:
        DataError: it cannot be written.
    """
    content = {
        "cx": camera.cx,
        "cy": camera.cy,
        "depth_scale": DEPTH_SCALE,
        "fx": camera.fx,
        "fy": camera.fy,
        "height": camera.height,
        "width": camera.width,
    }
    try:
        write_atomically(root / "camera.json", json.dumps(content).encode() + b"\n")
    except OSError as error:
        raise DataError(f"cannot write {root / 'camera.json'}: {error}") from error


def _truth(annotation: Annotation) -> dict[str, Any]:
    pose = annotation.T_camera_object
    return {
        "obj_id": annotation.object_id,
        "cam_R_m2c": pose[:3, :3].ravel().tolist(),
        "cam_t_m2c": (pose[:3, 3] / MILLIMETRE).tolist(),
    }


def _facts(annotation: Annotation, measured: npt.NDArray[np.bool_]) -> dict[str, Any]:
    whole, visible = int(annotation.mask.sum()), int(annotation.mask_visib.sum())
    return {
        "bbox_obj": _box(annotation.mask),
        "bbox_visib": _box(annotation.mask_visib),
        "px_count_all": whole,
        "px_count_valid": int((annotation.mask & measured).sum()),
        "px_count_visib": visible,
        "visib_fract": visible / whole if whole else 0.0,
    }


def _box(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Left, top, width and height of what is true; the format has -1 for an empty mask."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return [-1, -1, -1, -1]
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
