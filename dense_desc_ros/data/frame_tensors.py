"""All frames of a data set at once, on the device that trains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.data.twin_augmentation import middle_of
from dense_desc_ros.errors import DataError

READ_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class FrameTensors:
    """What `PosedFrame` holds, of F frames of one size.

    `images` (F, 3, H, W) uint8, `depth` (F, H, W) float32, `masks` (F, H, W) bool, `canonical`
    (F, H, W, 3) float16 or None, and `object_ids` (F,) are on the device; `cameras` and `middles`
    (F, 2), (u, v) of the objects in the pictures, are not.
    """

    images: Tensor
    depth: Tensor
    masks: Tensor
    canonical: Tensor | None
    object_ids: Tensor
    cameras: Sequence[PinholeCamera]
    middles: FloatArray

    @classmethod
    def read(
        cls, frames: PosedFrames, device: torch.device, canonical: bool, workers: int
    ) -> "FrameTensors":
        """Read all frames; where one shows nothing of an object, its middle is the picture's.

        Args:
            frames: the data set.
            device: where they are to be.
            canonical: whether their canonical coordinates are needed.
            workers: processes that read.

        Raises:
            DataError: frames differ in size, lack canonical coordinates, or need more memory than
                the device has.
        """
        first = frames[0]
        count, (height, width) = len(frames), first.mask.shape
        try:
            images = torch.empty(count, 3, height, width, dtype=torch.uint8, device=device)
            depth = torch.empty(count, height, width, device=device)
            masks = torch.empty(count, height, width, dtype=torch.bool, device=device)
            coordinates = (
                torch.empty(count, height, width, 3, dtype=torch.float16, device=device)
                if canonical
                else None
            )
        except (torch.OutOfMemoryError, RuntimeError) as error:
            raise DataError(
                f"{count} frames of {width}x{height} do not fit into the memory of {device}: "
                f"use fewer or smaller ones, or set twins.on_device to false ({error})"
            ) from error
        object_ids = torch.full((count,), -1)
        middles, cameras = np.full((count, 2), np.nan), [first.camera] * count
        rows = _Rows(frames, canonical, (height, width))
        # Stacked where they are read: handing over single ones takes longer than reading them.
        loader = DataLoader(rows, READ_AT_ONCE, num_workers=workers, collate_fn=_stack)
        shown = track(loader, "reading frames", console=Console(stderr=True), transient=True)
        index = 0
        for batch in shown:
            if isinstance(batch, DataError):
                raise batch
            some = slice(index, index + len(batch[0]))
            images[some], depth[some], masks[some], found, *rest = batch
            object_ids[some], cameras[some], middles[some] = rest
            if coordinates is not None:
                coordinates[some] = found
            index = some.stop
        return cls(images, depth, masks, coordinates, object_ids.to(device), cameras, middles)


class _Rows(Dataset):
    """What is kept of each frame, or what is wrong with it, to be raised in the main process."""

    def __init__(self, frames: PosedFrames, canonical: bool, size: tuple[int, int]) -> None:
        self.frames, self.canonical, self.size = frames, canonical, size

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple | DataError:
        frame = self.frames[index]
        height, width = frame.mask.shape
        if (height, width) != self.size:
            return DataError(
                f"frame {index} is {width}x{height}, the first one {self.size[1]}x{self.size[0]}: "
                "with twins.on_device all must be of one size"
            )
        empty = not frame.mask.any()
        canonical = np.zeros(0, np.float16)
        if self.canonical and frame.canonical is not None:
            canonical = frame.canonical.astype(np.float16)
        elif self.canonical:
            if not empty:
                return DataError(f"{frame.name} has no canonical coordinates")
            canonical = np.full((height, width, 3), np.nan, np.float16)
        return (
            frame.image.transpose(2, 0, 1),
            frame.depth,
            frame.mask,
            canonical,
            frame.object_id,
            frame.camera,
            np.array([width - 1, height - 1]) / 2 if empty else middle_of(frame.mask),
        )


def _stack(rows: list[tuple | DataError]) -> tuple | DataError:
    """Layers as tensors, ids, cameras and middles as they are; the first error, if there is one."""
    for row in rows:
        if isinstance(row, DataError):
            return row
    *layers, ids, cameras, middles = zip(*rows, strict=True)
    stacked = (torch.from_numpy(np.stack(layer)) for layer in layers)
    return *stacked, torch.tensor(ids), list(cameras), np.stack(middles)
