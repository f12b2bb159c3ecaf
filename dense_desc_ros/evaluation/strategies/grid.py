"""The grid of a benchmark of training strategies: what is trained, on what, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dense_desc_ros.data.generate_scene import GenerateConfig
from dense_desc_ros.data.twin_augmentation import TwinAugmentationConfig
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.config import (
    BY_L2,
    OptimisationConfig,
    TrainingConfig,
    TwinsConfig,
)
from dense_desc_ros.training.objectives.canonical import CanonicalConfig
from dense_desc_ros.training.objectives.class_aware import ClassAwareConfig
from dense_desc_ros.training.objectives.contrastive import ContrastiveConfig
from dense_desc_ros.training.objectives.distribution import DistributionConfig
from dense_desc_ros.training.objectives.guided import GuidedConfig
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.objectives.optimal import OptimalConfig

POINTS = 256  # correspondences in a pair
TRAIN, NOVEL, UNSEEN, CLUTTER = "train", "novel", "unseen", "clutter"  # data sets
DATA_OF_SPLIT = {
    "novel-view": NOVEL,
    "cross-instance": UNSEEN,
    "clutter": CLUTTER,
    "absent": CLUTTER,
}
TURNED = ("novel-view", "cross-instance")  # splits that are also measured in TURNS, smoothed
TURNS = 4
RATE = 1e-3  # of learning: of those tried for strategies with D = 16 the best for all but one


@dataclass(frozen=True)
class Size:
    """How much is generated, trained and evaluated.

    Attributes:
        picture: width and height of rendered pictures, pixels.
        instances: caps to train on, and as many others for two unseen instances.
        views, test_views: of each, for training and for each evaluation.
        crop: (height, width) of a view, pixels.
        backbone, output_stride: of the network.
        keypoints: of the objective that trains some.
        steps, batch_size: of every training.
        initial_weights: that all start from, as far as they fit; None is from scratch.
        dims: D, lengths of descriptors.
        seeds: trainings of each strategy at each D.
        pairs: of pictures, in each evaluation.
        on_device: make views there, see `TwinsConfig`.
        precision: of the trainings.
    """

    picture: tuple[int, int]
    instances: int
    views: int
    test_views: int
    crop: tuple[int, int]
    backbone: str
    output_stride: int
    keypoints: int
    steps: int
    batch_size: int
    dims: tuple[int, ...]
    seeds: int
    pairs: int
    initial_weights: str | None = None
    on_device: bool = False
    precision: str = "32-true"


SIZES = {
    # Pictures of 160x120 at stride 4 are to the network what 640x480 at stride 16 are. From scratch
    # 600 steps of any strategy end with an AUC of 0.1 to 0.3, which tells nothing.
    "cpu": Size(
        picture=(160, 120),
        instances=10,
        views=60,
        test_views=10,
        crop=(64, 96),
        backbone="resnet18",
        output_stride=4,
        keypoints=32,
        steps=300,
        batch_size=4,
        dims=(16, 3, 64),
        seeds=3,
        pairs=40,
        initial_weights="models/caps_start.safetensors",
    ),
    # To the network as 640x480 at stride 8.
    "gpu": Size(
        picture=(320, 240),
        instances=50,
        views=60,
        test_views=10,
        crop=(128, 192),
        backbone="resnet18",
        output_stride=4,
        keypoints=64,
        steps=1500,
        batch_size=32,
        dims=(16, 3, 64),
        seeds=3,
        pairs=60,
        on_device=True,
        precision="bf16-mixed",
    ),
}


class Strategy(NamedTuple):
    """What a training does.

    `objectives` are fields of a `TrainingConfig`; `other_instances` and `painted` the shares of
    pairs of two instances and of views of painted objects; and if it is `turned`, features are the
    mean of TURNS quarter turns, in training and in use, and then smoothed.
    """

    objectives: dict[str, Any]
    other_instances: float = 0.0
    painted: float = 0.0
    turned: bool = False
    learning_rate: float = RATE


class Case(NamedTuple):
    """One training of the grid."""

    strategy: str
    dim: int
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.strategy}_d{self.dim}_s{self.seed}"


def strategies(size: Size) -> dict[str, Strategy]:
    """All strategies by name; lengths in pixels grow with the pictures, 3 of 160x120."""
    pixels = size.picture[0] / 160
    near = {"points": POINTS, "exclusion": 3.0 * pixels}
    hard, soft = (
        ClassAwareConfig(margins=margins, **near)  # type: ignore[arg-type]
        for margins in ("hard", "soft")
    )
    # More than that loses what the initial weights know, see docs/strategies.md.
    gentle = 2e-5 if size.initial_weights else RATE
    ntxent = NtxentConfig(**near)  # type: ignore[arg-type]
    distribution = DistributionConfig(points=POINTS, sigma=3.0 * pixels)
    return {
        "contrastive": Strategy({"contrastive": ContrastiveConfig(**near)}),  # type: ignore[arg-type]
        "distribution": Strategy({"distribution": distribution}),
        "class-hard": Strategy({"class_aware": hard}),
        "class-soft": Strategy({"class_aware": soft}),
        "ntxent": Strategy({"ntxent": ntxent}),
        "ntxent-across": Strategy({"ntxent": ntxent}, other_instances=0.5),
        "ntxent-turned": Strategy({"ntxent": ntxent}, painted=0.3, turned=True),
        "distribution-turned": Strategy({"distribution": distribution}, painted=0.3, turned=True),
        "keypoint": Strategy({"keypoint": KeypointConfig()}, learning_rate=gentle),
        "canonical": Strategy({"canonical": CanonicalConfig()}),
        "optimal": Strategy({"optimal": OptimalConfig()}),
        "guided": Strategy(
            {"guided": GuidedConfig(**near)},  # type: ignore[arg-type]
            other_instances=0.5,
        ),
    }


def cases(size: Size, only: Sequence[str] = ()) -> list[Case]:
    """The trainings, in an order in which a part of the grid already says much.

    Raises:
        InvalidInputError: `only` names a strategy that is not there.
    """
    known = strategies(size)
    if unknown := [name for name in only if name not in known]:
        raise InvalidInputError(f"no strategy {unknown[0]!r}; there are {', '.join(known)}")
    chosen = [name for name in known if name in only or not only]
    return [
        Case(name, dim, seed) for seed in range(size.seeds) for dim in size.dims for name in chosen
    ]


def training_config(size: Size, case: Case, data: Path) -> TrainingConfig:
    """The training of a case on the data sets in a folder; but for the objective all are alike."""
    strategy = strategies(size)[case.strategy]
    return TrainingConfig(
        **strategy.objectives,
        twins=TwinsConfig(
            str(data / TRAIN),
            size.crop,
            other_instances=strategy.other_instances,
            augmentation=TwinAugmentationConfig(
                rotation=3.1416,
                shift=0.35,
                random_images=0.25,
                noise=0.05,
                masked=0.05,
                painted=strategy.painted,
            ),
            on_device=size.on_device,
        ),
        network=NetworkConfig(
            size.backbone,
            size.output_stride,
            case.dim,
            keypoints=size.keypoints if "keypoint" in strategy.objectives else 0,
            learned_scale=any(name in BY_L2 for name in strategy.objectives),
            turns=TURNS if strategy.turned else 1,
            smoothed=strategy.turned,
        ),
        initial_weights=size.initial_weights,
        fixed_statistics=size.initial_weights is not None,
        optimisation=OptimisationConfig(
            size.steps, size.batch_size, strategy.learning_rate, size.precision
        ),
        seed=case.seed,
    )


def data_sets(size: Size) -> dict[str, GenerateConfig]:
    """The data sets by name, as `generate` makes them."""

    def make(instances: int, views: int, seed: int, **options: Any) -> GenerateConfig:
        return GenerateConfig(
            "caps",
            instances=instances,
            views=views,
            seed=seed,
            from_above=True,
            size=size.picture,
            **options,
        )

    few, views = min(size.instances, 10), size.test_views
    return {
        TRAIN: make(size.instances, size.views, 0),
        NOVEL: make(few, views, 1),
        UNSEEN: make(few, views, 2, first_instance=1000),
        CLUTTER: make(few, views, 3, clutter=True),
    }
