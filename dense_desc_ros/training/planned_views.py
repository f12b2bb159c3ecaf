"""Batches of pairs of views, made of plans on the device that trains."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dense_desc_ros.data.batched_correspondences import sample_correspondences
from dense_desc_ros.data.batched_views import Plans, Surfaces, view_images, view_surfaces
from dense_desc_ros.data.frame_tensors import FrameTensors
from dense_desc_ros.errors import DataError
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.objectives import Batch
from dense_desc_ros.training.twins import FEWEST_SHARED, SMALLEST_MASK

SPARE = 1.25  # plans to a pair that is wanted: one in seven shows too little in common


class PlannedViews:
    """Makes batches like those of `TwinPairs`, of what `PairPlans` has planned.

    Args:
        frames: what the plans are of.
        config: of the training; with `twins`.
    """

    def __init__(self, frames: FrameTensors, config: TrainingConfig) -> None:
        assert config.twins
        self.frames, self.config, self.twins = frames, config, config.twins

    @torch.no_grad()
    def __call__(self, plans: Plans) -> Batch:
        """A batch: of the first plans that show enough, some twice if these are too few.

        Args:
            plans: of more pairs than a batch has, stacked.

        Raises:
            DataError: no pair shows enough of an object.
        """
        device = self.frames.images.device
        generator = torch.Generator(device)
        generator.manual_seed(self._seed(plans))
        views = {name: value.flatten(0, 1) for name, value in plans.items() if value.ndim > 1}
        surfaces = view_surfaces(self.frames, views, self.twins.crop)
        pixels, usable = self._correspondences(surfaces, plans["other_instance"], generator)
        chosen = torch.nonzero(usable)[: self.config.optimisation.batch_size, 0]
        if not len(chosen):
            raise DataError(
                f"{self.twins.path}: of {len(usable)} pairs of views of {self.twins.crop} none "
                "shows enough of an object: use larger crops, a smaller shift or another scale"
            )
        repeated = torch.arange(self.config.optimisation.batch_size, device=device) % len(chosen)
        chosen = chosen[repeated]
        return self._batch(views, surfaces, pixels, chosen, generator)

    def _correspondences(
        self, surfaces: Surfaces, other_instance: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor]:
        """Pixels (B, 2, N, 2), if an objective needs some, and which pairs (B,) show enough."""
        seen = surfaces.masks.flatten(1).float().mean(dim=1) >= SMALLEST_MASK
        usable = seen[::2] & seen[1::2]
        if not self.config.points:
            return None, usable
        pixels, found = sample_correspondences(
            surfaces[::2], surfaces[1::2], other_instance, self.config.points, generator
        )
        return pixels, usable & (found >= max(FEWEST_SHARED * self.config.points, 1))

    def _batch(
        self,
        views: Plans,
        surfaces: Surfaces,
        pixels: Tensor | None,
        chosen: Tensor,
        generator: torch.Generator,
    ) -> Batch:
        both = torch.stack([2 * chosen, 2 * chosen + 1], dim=1).flatten()
        shown = surfaces[both]
        views = {name: value[both] for name, value in views.items()}
        images = view_images(self.frames, views, shown.masks, generator)
        batch: dict[str, Any] = {"images": images}
        if self.config.needs_masks:
            batch["masks"] = shown.masks
        if self.config.class_aware:
            of_one = self.twins.other_instances > 0
            labels = self.frames.object_ids[views["frames"]]
            batch["labels"] = torch.zeros_like(labels) if of_one else labels
        if self.config.needs_canonical:
            batch["canonical"] = shown.canonical
        if self.config.keypoint:
            batch |= {"intrinsics": shown.intrinsics, "T_object_camera": shown.T_object_camera}
        batch = {name: value.unflatten(0, (-1, 2)) for name, value in batch.items()}
        return batch if pixels is None else batch | {"pixels": pixels[chosen]}

    def _seed(self, plans: Plans) -> int:
        """The same for the same plans of the same training."""
        words = np.random.SeedSequence((self.config.seed, int(plans["number"][0])))
        return int(words.generate_state(1, np.uint64)[0] >> np.uint64(1))
