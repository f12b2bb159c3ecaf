"""What TensorBoard shows of a run: the views, their descriptors, the keypoints found in them."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.pictures import DescriptorColors
from dense_desc_ros.training.module import DescriptorTraining

Picture = npt.NDArray[np.uint8]
SHOWN_CORRESPONDENCES = 16


class TensorBoardPictures(Callback):
    """The first pairs of views, once, and what the network makes of them, every epoch.

    Args:
        samples: items of the training's data set.
    """

    def __init__(self, samples: Sequence[dict[str, Tensor]]) -> None:
        self.samples = samples
        self.views = [
            [np.ascontiguousarray(view) for view in item["images"].permute(0, 2, 3, 1).numpy()]
            for item in samples
        ]

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        known = [item["pixels"].numpy() for item in self.samples if "pixels" in item]
        shown = [pixels[:, :SHOWN_CORRESPONDENCES] for pixels in known]
        _add(trainer, "pairs", draw_pairs(self.views, shown))

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, DescriptorTraining)
        model = module.snapshot()
        colors = DescriptorColors()
        described = [[colors(model.describe(view)) for view in pair] for pair in self.views]
        _add(trainer, "descriptors", draw_pairs(described, []))
        if model.config.network.keypoints:
            found = [self._keypoints(model, number) for number in range(len(self.views))]
            _add(trainer, "keypoints", draw_pairs(self.views, found))

    def _keypoints(self, model: DescriptorModel, number: int) -> FloatArray:
        found = []
        for view, matrix in zip(
            self.views[number], self.samples[number]["intrinsics"].numpy(), strict=True
        ):
            camera = PinholeCamera.from_matrix(matrix, view.shape[1], view.shape[0])
            found.append(model.keypoints(view, camera).pixels.cpu().numpy())
        return np.stack(found)


def draw_pairs(views: Sequence[Sequence[Picture]], pixels: Sequence[FloatArray]) -> Picture:
    """A picture (H, W, 3) of pairs of views, one a row, with dots of the same colour in both.

    Args:
        views: of each pair the two views (h, w, 3), of the same size.
        pixels: (2, N, 2) of each pair; or nothing, for views without dots.
    """
    rows = []
    for number, pair in enumerate(views):
        drawn = [view.copy() for view in pair]
        if pixels:
            for view, dots in zip(drawn, pixels[number], strict=True):
                _draw_dots(view, dots)
        rows.append(np.hstack(drawn))
    return np.vstack(rows)


def _draw_dots(view: Picture, pixels: FloatArray) -> None:
    for n, pixel in enumerate(np.rint(pixels).astype(int).tolist()):
        color = [round(255 * c) for c in colorsys.hsv_to_rgb(n / len(pixels), 1, 1)]
        cv2.circle(view, pixel, 4, color, -1, cv2.LINE_AA)


def _add(trainer: Trainer, tag: str, image: Picture) -> None:
    assert isinstance(trainer.logger, TensorBoardLogger)
    board = trainer.logger.experiment
    board.add_image(tag, image, trainer.global_step, dataformats="HWC")
