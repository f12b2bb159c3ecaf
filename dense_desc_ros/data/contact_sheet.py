"""A picture of what a data set looks like: colour and canonical coordinates side by side."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.data.bop import BopFrames
from dense_desc_ros.data.images import write_image
from dense_desc_ros.data.posed import PosedFrame

COLUMNS, ROWS, TILE_WIDTH = 4, 6, 240


def write_contact_sheet(data: Path, out: Path) -> None:
    """Draw a sample of a BOP data set's frames, spread evenly over it.

    Without canonical coordinates the mask stands beside the picture.

    Raises:
        DataError: the data set cannot be read or the picture not be written.
    """
    frames = BopFrames(data)
    count = min(COLUMNS * ROWS, len(frames))
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int).tolist()
    tiles = [_tile(frames[index]) for index in chosen]
    size = (2 * TILE_WIDTH, max(tile.shape[0] for tile in tiles))
    sheet = np.full((-(-count // COLUMNS) * size[1], COLUMNS * size[0], 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        top, left = row * size[1], column * size[0]
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    write_image(out, sheet)


def _tile(frame: PosedFrame) -> npt.NDArray[np.uint8]:
    if frame.canonical is None:
        layer = np.repeat(frame.mask[..., None], 3, axis=2).astype(np.float32)
    else:
        layer = np.nan_to_num(frame.canonical)
    both = np.hstack([frame.image, (255 * layer).astype(np.uint8)])
    height = round(TILE_WIDTH * frame.camera.height / frame.camera.width)
    size = (2 * TILE_WIDTH, height)
    return np.asarray(cv2.resize(both, size, interpolation=cv2.INTER_AREA), np.uint8)
