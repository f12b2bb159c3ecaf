"""Which two frames a pair of views is made of."""

import numpy as np

from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.errors import DataError
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.pairs import progress


class FrameChoice:
    """Draws pairs of frames of one object, or of two instances.

    Args:
        frames: the data set.
        config: of the training; with `twins`.

    Raises:
        DataError: no object is seen twice, or no two instances where these are wanted.
    """

    def __init__(self, frames: PosedFrames, config: TrainingConfig) -> None:
        assert config.twins
        self.config, self.other_instances = config, config.twins.other_instances
        self.rotations = np.stack([T[:3, :3] for T in frames.T_object_camera])
        self.objects = [np.array(views) for views in frames.groups.values() if len(views) > 1]
        if not self.objects:
            raise DataError(f"{config.twins.path} shows no object in two frames")
        if self.other_instances and len(self.objects) < 2:
            raise DataError(f"{config.twins.path} shows only one instance, but others are wanted")

    def draw(self, number: int, rng: np.random.Generator) -> tuple[int, int, bool]:
        """Two frames, and whether they show two instances.

        They see their objects from about the same side at first, later from any two: from scratch,
        pairs of any two sides teach next to nothing for a long time.

        Args:
            number: of the pair, counted from the start of the training.
            rng: source of chance.
        """
        other_instance = bool(rng.random() < self.other_instances)
        objects = rng.permutation(len(self.objects))
        a = int(rng.choice(self.objects[objects[0]]))
        others = self.objects[objects[1 if other_instance else 0]]
        angles = self._angles(a, others)
        limit = max(np.pi * progress(number, self.config), angles.min())
        b = int(others[rng.choice(np.flatnonzero(angles <= limit + 1e-6))])
        return a, b, other_instance

    def _angles(self, a: int, others: np.ndarray) -> np.ndarray:
        """Angles (N,) between the sides from which frames `others` and frame `a` see objects."""
        cosines = (np.einsum("ij,nij->n", self.rotations[a], self.rotations[others]) - 1) / 2
        return np.arccos(np.clip(cosines, -1, 1))
