"""What a training run is made of."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dense_desc_ros.data.augmentation import AugmentationConfig
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.files import write_atomically
from dense_desc_ros.network import NetworkConfig

OBJECTIVES = ("ntxent",)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the outcome of a training run.

    Attributes:
        images: folder of plain pictures.
        objective: the loss, one of OBJECTIVES.
        network: what is trained.
        pretrained: start the backbone from torchvision's ImageNet weights.
        steps: optimisation steps.
        batch_size: pairs of views in a step.
        crop: (height, width) of a view, pixels.
        points: correspondences in a pair.
        temperature: of NT-Xent.
        exclusion: what lies nearer to a point than this is no other point to NT-Xent, pixels.
        learning_rate: the highest one, reached after a tenth of the steps.
        augmentation: how views differ.
        seed: of weights, views and points.
    """

    images: str
    objective: str = "ntxent"
    network: NetworkConfig = NetworkConfig()
    pretrained: bool = False
    steps: int = 1200
    batch_size: int = 2
    crop: tuple[int, int] = (192, 256)
    points: int = 512
    temperature: float = 0.07
    exclusion: float = 12.0
    learning_rate: float = 1e-3
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise InvalidInputError(
                f"unknown objective {self.objective!r}: use one of {OBJECTIVES}"
            )
        for name in ("steps", "batch_size", "points", "temperature", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InvalidInputError(f"{name} must be positive, got {getattr(self, name)}")
        if min(self.crop) < 64:
            raise InvalidInputError(f"crop {self.crop} is smaller than 64 pixels")

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def load(cls, path: Path) -> "TrainingConfig":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            values = json.loads(path.read_text())
            values["network"] = NetworkConfig(**values["network"])
            values["augmentation"] = AugmentationConfig(**values["augmentation"])
            values["crop"] = tuple(values["crop"])
            return cls(**values)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"cannot read training configuration {path}: {error}") from error
