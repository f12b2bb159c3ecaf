"""Plans of pairs of views: all that is decided about them, before a pixel is touched.

Worker processes draw plans, which is little work; `planned_views` makes views of them in batches,
on the device that trains.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.data.twin_augmentation import (
    BACKGROUNDS,
    TwinAugmentationConfig,
    plan_view,
    view_to_frame,
)
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.frame_choice import FrameChoice
from dense_desc_ros.training.pairs import strength


class PairPlans(Dataset):
    """Plans of augmented twin views, the same ones for the same seed and number.

    An item is a dictionary of tensors, of both views where a 2 stands first: `frames` (2,), their
    numbers; `view_to_frame` (2, 3, 3) maps pixels; `zoom` (2,) pixels of a view to one of its
    frame; `intrinsics` (2, 3, 3); `T_object_camera` (2, 4, 4); `background` (2,), an index of
    BACKGROUNDS; `paint` (2,), see `ViewPlan`; `colours` (2, 3, 4), `blur` (2,) and `noise` (2,),
    see `ColourChange`;
    `other_instance`, a bool; and the `number` of the plan.

    Args:
        frames: the data set.
        cameras: of all its frames.
        middles: (F, 2) of the objects in them.
        config: of the training; with `twins`.
        first: number of the first pair, counted from the start of the training.
        length: how many follow, itself included.
        spare: plans to a pair that is wanted.
    """

    def __init__(
        self,
        frames: PosedFrames,
        cameras: Sequence[PinholeCamera],
        middles: FloatArray,
        config: TrainingConfig,
        first: int,
        length: int,
        spare: float = 1.0,
    ) -> None:
        assert config.twins
        self.choice = FrameChoice(frames, config)
        self.poses, self.cameras, self.middles = frames.T_object_camera, cameras, middles
        self.config, self.twins = config, config.twins
        self.first, self.length, self.spare = first, length, spare

    def __len__(self) -> int:
        return round(self.length * self.spare)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = round(self.first * self.spare) + index
        rng = np.random.default_rng((self.config.seed, number))
        pair = int(number / self.spare)
        *chosen, other_instance = self.choice.draw(pair, rng)
        augmentation = self.twins.augmentation.at_strength(strength(pair, self.config))
        views = [self._plan(index, augmentation, rng) for index in chosen]
        stacked = {
            name: torch.from_numpy(np.stack([view[name] for view in views])) for name in views[0]
        }
        return stacked | {
            "other_instance": torch.tensor(other_instance),
            "number": torch.tensor(number),
        }

    def _plan(
        self, index: int, augmentation: TwinAugmentationConfig, rng: np.random.Generator
    ) -> dict[str, FloatArray]:
        camera, twins = self.cameras[index], self.twins
        plan = plan_view(camera, self.middles[index], twins.crop, twins.scale, augmentation, rng)
        T_object_view = self.poses[index] @ plan.T_camera_view
        values = {
            "view_to_frame": view_to_frame(camera, plan.camera, plan.T_camera_view),
            "zoom": plan.zoom,
            "intrinsics": plan.camera.matrix,
            "T_object_camera": T_object_view,
            "paint": plan.paint,
            "colours": plan.colours.matrix,
            "blur": plan.colours.blur,
            "noise": plan.colours.noise,
        }
        return {name: np.asarray(value, np.float32) for name, value in values.items()} | {
            "frames": np.asarray(index),
            "background": np.asarray(BACKGROUNDS.index(plan.background)),
        }
