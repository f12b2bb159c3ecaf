"""Folders of plain pictures."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def find_images(folder: str | Path) -> list[Path]:
    """The 8-bit colour pictures of a folder, in order of name, without depth images and the like.

    Raises:
        DataError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    candidates = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    images = [path for path in candidates if _is_colour(path)]
    if not images:
        raise DataError(f"no colour picture ({', '.join(SUFFIXES)}) in {folder}")
    return images


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 RGB.

    Raises:
        DataError: it is missing or not a picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"cannot read picture {path}: it is missing or not an image")
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def write_image(path: str | Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an RGB picture (H, W, 3) uint8, in the format that the file's ending names.

    Raises:
        DataError: it could not be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        written = cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except (OSError, cv2.error) as error:
        raise DataError(f"cannot write {path}: {error}") from error
    if not written:
        raise DataError(f"cannot write {path}")


def _is_colour(path: Path) -> bool:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_REDUCED_GRAYSCALE_8)
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if image is not None else None
    return raw is not None and raw.dtype == np.uint8 and raw.ndim == 3
