"""The layout of data sets in BOP format, as the benchmark, BlenderProc and we write it.

DIR/[SPLIT/]NNNNNN/     a scene, with images IIIIII and in each the annotated objects GGGGGG
  rgb/IIIIII.png|jpg     8-bit colour
  depth/IIIIII.png       16-bit, times depth_scale millimetres, 0 where there is none
  mask/, mask_visib/IIIIII_GGGGGG.png          the whole object, and what is visible of it
  canonical/IIIIII_GGGGGG.png                  ours, optional: 16-bit RGB, 0 off the object, else
                                               1 + 65534 c for canonical coordinates c in [0, 1]
  scene_camera.json, scene_gt.json, scene_gt_info.json

https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DataError

GT_FILE, GT_INFO_FILE, CAMERA_FILE = "scene_gt.json", "scene_gt_info.json", "scene_camera.json"
COLOR_SUFFIXES = (".png", ".jpg", ".jpeg")
MILLIMETRE = 1e-3
CANONICAL_STEPS = 65534


def find_scenes(path: Path) -> list[Path]:
    """The folders of a data set's scenes, in order.

    Args:
        path: a data set with one split, a split, or a scene.

    Raises:
        DataError: no scenes there, or several splits.
    """
    if not path.is_dir():
        raise DataError(f"no folder {path}")
    if path.name.isdigit() and (path / GT_FILE).is_file():
        return [path]
    if scenes := _numbered(path):
        return scenes
    splits = sorted(each for each in path.iterdir() if each.is_dir() and _numbered(each))
    if not splits:
        raise DataError(f"{path} is not a BOP data set: no scenes like train/000000 in it")
    if len(splits) > 1:
        names = ", ".join(split.name for split in splits)
        raise DataError(f"{path} has several splits ({names}): give the folder of one of them")
    return _numbered(splits[0])


def find_color(scene: Path, image: int) -> Path | None:
    """The colour picture of a scene's image, or None."""
    for suffix in COLOR_SUFFIXES:
        if (path := scene / "rgb" / f"{image:06d}{suffix}").is_file():
            return path
    return None


def decode_canonical(counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Canonical coordinates in [0, 1] of a picture (H, W, 3); NaN where it is 0."""
    canonical = (counts.astype(np.float32) - 1) / np.float32(CANONICAL_STEPS)
    # One channel at a time: numpy is slow to reduce a short last axis.
    canonical[(counts[..., 0] == 0) | (counts[..., 1] == 0) | (counts[..., 2] == 0)] = np.nan
    return canonical


def encode_canonical(canonical: FloatArray) -> npt.NDArray[np.uint16]:
    """The 16-bit picture (H, W, 3) of canonical coordinates in [0, 1], 0 where they are NaN."""
    counts = np.zeros(canonical.shape, np.uint16)
    known = ~np.isnan(canonical[..., 0])
    counts[known] = 1 + np.rint(np.clip(canonical[known], 0, 1) * CANONICAL_STEPS)
    return counts


def _numbered(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.name.isdigit() and each.is_dir())
