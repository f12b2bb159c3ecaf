"""Data sets of posed frames, of whatever format."""

from pathlib import Path

from dense_desc_ros.data.bop import BopFrames
from dense_desc_ros.data.nerfstudio import TRANSFORMS_FILE, NerfstudioFrames
from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.errors import DataError


def open_posed_frames(path: str | Path, canonical: bool = True) -> PosedFrames:
    """Open a BOP data set (or one split or scene of it), or a nerfstudio folder with depth.

    Args:
        path: its folder.
        canonical: read canonical coordinates, if there are any, which takes a third of the time.

    Raises:
        DataError: neither of the two, nothing usable in it, or a file that is malformed.
    """
    path = Path(path)
    if path.name == TRANSFORMS_FILE or (path / TRANSFORMS_FILE).is_file():
        return NerfstudioFrames(path)
    if not path.is_dir():
        raise DataError(f"no folder {path}")
    return BopFrames(path, canonical)
