"""What a training run is made of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dense_desc_ros.configuration import read_configuration, require_positive
from dense_desc_ros.data.augmentation import AugmentationConfig
from dense_desc_ros.data.twin_augmentation import TwinAugmentationConfig
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.files import write_atomically
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.objectives.canonical import CanonicalConfig
from dense_desc_ros.training.objectives.class_aware import ClassAwareConfig
from dense_desc_ros.training.objectives.contrastive import ContrastiveConfig
from dense_desc_ros.training.objectives.distribution import DistributionConfig
from dense_desc_ros.training.objectives.guided import GuidedConfig
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.objectives.optimal import OptimalConfig

BY_COSINE = ("guided", "keypoint", "canonical")
BY_L2 = ("contrastive", "class_aware", "distribution", "optimal")
BY_EITHER = ("ntxent",)  # by L2 beside objectives that need it, else by cosine
OBJECTIVES = BY_EITHER + BY_COSINE + BY_L2
OF_PICTURES = ("ntxent", "contrastive", "distribution")  # which plain pictures are enough for
OF_MASKS = ("keypoint", "contrastive", "class_aware")
OF_CANONICAL = ("guided", "canonical", "optimal")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SMALLEST_CROP = 64


@dataclass(frozen=True)
class PicturesConfig:
    """Views made of single plain pictures.

    Attributes:
        path: their folder.
        crop: (height, width) of a view, pixels.
        augmentation: how views differ.
    """

    path: str
    crop: tuple[int, int] = (192, 256)
    augmentation: AugmentationConfig = AugmentationConfig()

    def __post_init__(self) -> None:
        _check_crop(self.crop)


@dataclass(frozen=True)
class TwinsConfig:
    """Twin views of objects with known poses.

    Attributes:
        path: data set, BOP or nerfstudio (see `data.posed_formats`).
        crop: (height, width) of a view, pixels; multiples of 32 times network.input_stride.
        scale: pixels of a view to a pixel of the data set's pictures.
        other_instances: share of pairs that show two instances; their correspondences come from
            canonical surface coordinates.
        backgrounds: folder of pictures to put behind objects; drawn ones if not given.
        augmentation: how views differ from the data set's pictures.
        on_device: hold all frames in the memory of the device that trains and make views there, in
            batches: for GPUs, which otherwise wait for views. Backgrounds are drawn ones.
    """

    path: str
    crop: tuple[int, int] = (480, 640)
    scale: float = 1.0
    other_instances: float = 0.0
    backgrounds: str | None = None
    augmentation: TwinAugmentationConfig = TwinAugmentationConfig()
    on_device: bool = False

    def __post_init__(self) -> None:
        _check_crop(self.crop)
        if self.on_device and self.backgrounds:
            raise InvalidInputError("backgrounds are only for on_device: false")
        if not 0 < self.scale <= 4:
            raise InvalidInputError(f"scale {self.scale} is not in (0, 4]")
        if not 0 <= self.other_instances <= 1:
            raise InvalidInputError(f"other_instances {self.other_instances} is not in [0, 1]")


@dataclass(frozen=True)
class OptimisationConfig:
    """How the weights are found.

    Attributes:
        steps: optimisation steps.
        batch_size: pairs of views in a step, on each device.
        learning_rate: the highest one, reached after a tenth of the steps.
        precision: as Lightning names it, one of PRECISIONS.
    """

    steps: int = 1400
    batch_size: int = 2
    learning_rate: float = 1e-3
    precision: str = "32-true"

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch_size", "learning_rate")
        if self.precision not in PRECISIONS:
            raise InvalidInputError(
                f"unknown precision {self.precision!r}: use one of {PRECISIONS}"
            )


@dataclass(frozen=True)
class ValidationConfig:
    """Matching between posed frames that are not trained on; the best weights of a run are kept.

    Attributes:
        path: data set.
        pairs: how many pairs of frames are matched.
        every: steps between validations, about.
        patience: a run ends after so many validations without a better one.
    """

    path: str
    pairs: int = 32
    every: int = 500
    patience: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "pairs", "every", "patience")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the outcome of a training run.

    Attributes:
        pictures, twins: where views come from; one of them.
        ntxent, guided, keypoint, canonical, contrastive, class_aware, distribution, optimal: what
            is optimised, see `training.objectives`; the sum, if several are given. guided, keypoint
            and canonical compare descriptors by cosine, the four after them by L2; ntxent as what
            is given beside it does, alone by cosine. All but ntxent, contrastive and distribution
            need twins.
        network: what is trained.
        pretrained: start the backbone from published weights, if they can be had.
        backbone_weights: or from this safetensors file.
        frozen: leave the backbone as it is, and train the rest.
        initial_weights: weights file of an earlier training to start from; parts of it that this
            network has not, or of another size, are left out.
        fixed_statistics: normalise by the statistics that these have, in training as in use, up to
            the last layer. Those of a few small views are so different that some trainings ended
            with little more than half the accuracy.
        optimisation: how.
        validation: none if not given.
        seed: of weights, views and points.
    """

    pictures: PicturesConfig | None = None
    twins: TwinsConfig | None = None
    ntxent: NtxentConfig | None = None
    guided: GuidedConfig | None = None
    keypoint: KeypointConfig | None = None
    canonical: CanonicalConfig | None = None
    contrastive: ContrastiveConfig | None = None
    class_aware: ClassAwareConfig | None = None
    distribution: DistributionConfig | None = None
    optimal: OptimalConfig | None = None
    network: NetworkConfig = NetworkConfig()
    pretrained: bool = False
    backbone_weights: str | None = None
    frozen: bool = False
    initial_weights: str | None = None
    fixed_statistics: bool = False
    optimisation: OptimisationConfig = OptimisationConfig()
    validation: ValidationConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.pictures is None) == (self.twins is None):
            raise InvalidInputError("exactly one of pictures and twins must be given")
        if not self.objectives:
            raise InvalidInputError(
                f"at least one objective must be given: {', '.join(OBJECTIVES)}"
            )
        if self.metric == "l2" and any(name in BY_COSINE for name in self.objectives):
            raise InvalidInputError(
                f"{' and '.join(self.objectives)} compare descriptors in different ways: combine "
                f"those of {', '.join(BY_COSINE)} or those of {', '.join(BY_L2)}"
            )
        if self.network.learned_scale != (self.metric == "l2"):
            raise InvalidInputError(
                f"network.learned_scale is for {', '.join(BY_L2)}, which need it, and not for "
                f"{', '.join(BY_EITHER + BY_COSINE)} without one of these"
            )
        if (self.keypoint is not None) != (self.network.keypoints > 0):
            raise InvalidInputError(
                f"network.keypoints is {self.network.keypoints}: "
                "keypoint needs some to train, and the others have no use for them"
            )
        whole = self.network.coarsest_stride
        if (self.twins or self.network.turns > 1) and any(side % whole for side in self.crop):
            source = "twins" if self.twins else "pictures with network.turns"
            raise InvalidInputError(f"{source}: crop {self.crop} must be multiples of {whole}")
        if self.pictures and (others := [o for o in self.objectives if o not in OF_PICTURES]):
            raise InvalidInputError(f"{others[0]} needs twins: pictures alone do not tell enough")
        if self.pictures and self.ntxent and self.ntxent.background:
            raise InvalidInputError(
                "ntxent.background needs twins: pictures show no objects' masks"
            )
        if sum(map(bool, (self.pretrained, self.backbone_weights, self.initial_weights))) > 1:
            raise InvalidInputError(
                "initial_weights take the place of pretrained ones and of backbone_weights: set one"
            )
        if self.fixed_statistics and not self.initial_weights:
            raise InvalidInputError("fixed_statistics are those of initial_weights: give some")
        if self.keypoint and self.twins and self.twins.other_instances:
            raise InvalidInputError("twins.other_instances must be 0 for keypoint")

    @property
    def objectives(self) -> list[str]:
        """The names of those that are given."""
        return [name for name in OBJECTIVES if getattr(self, name)]

    @property
    def metric(self) -> str:
        """How the descriptors are to be compared."""
        return "l2" if any(name in BY_L2 for name in self.objectives) else "cosine"

    @property
    def points(self) -> int:
        """Correspondences in a pair; 0 if no objective needs any."""
        return max(getattr(getattr(self, name), "points", 0) for name in self.objectives)

    @property
    def needs_masks(self) -> bool:
        """Whether an objective tells objects from backgrounds by masks."""
        of_background = self.ntxent is not None and self.ntxent.background > 0
        return of_background or any(name in OF_MASKS for name in self.objectives)

    @property
    def needs_canonical(self) -> bool:
        """Whether an objective learns from canonical coordinates."""
        return any(name in OF_CANONICAL for name in self.objectives)

    @property
    def crop(self) -> tuple[int, int]:
        """(height, width) of a view, pixels."""
        source = self.pictures or self.twins
        assert source is not None
        return source.crop

    def save(self, path: Path) -> None:
        write_atomically(path, self.to_json().encode())

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def load(cls, path: Path) -> "TrainingConfig":
        """Read a YAML file, or what `save` wrote.

        Raises:
            DataError: the file is missing or damaged, or a key of it is not right.
        """
        return read_configuration(path, cls)


def _check_crop(crop: tuple[int, int]) -> None:
    if min(crop) < SMALLEST_CROP:
        raise InvalidInputError(f"crop {crop} is smaller than {SMALLEST_CROP} pixels")
