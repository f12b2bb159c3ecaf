"""`dense-desc train`: from a configuration file, or from a folder of plain pictures."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dense_desc_ros.errors import InvalidInputError

if TYPE_CHECKING:
    from dense_desc_ros.training.config import TrainingConfig

OF_PICTURES = (
    *("objective", "backbone", "output_stride", "descriptor_dim", "pretrained"),
    *("batch_size", "crop", "learning_rate", "seed"),
)


def train(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="What to train: a YAML file like those of config/train/.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Or: a folder of pictures (PNG, JPEG, ...).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of this run.", show_default="runs/ntxent, or the config's name"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from --out's checkpoint.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Data set to use instead of the config's.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Optimisation steps.", show_default="1400, or the config's"),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="32-true, bf16-mixed or 16-mixed.", show_default="32-true, or the config's"
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after that time; --resume goes on. The learning rate falls with steps, not "
            "with the time."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw views.")] = 1,
    device: Annotated[
        str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")
    ] = "auto",
    devices: Annotated[
        int | None, typer.Option(help="GPUs, or processes on the CPU.", show_default="all, or 1")
    ] = None,
    nodes: Annotated[int, typer.Option(help="Machines that train together.")] = 1,
    objective: Annotated[str, typer.Option(help="With --images: ntxent.")] = "ntxent",
    backbone: Annotated[
        str, typer.Option(help="resnet18, -24, -34, -50, or timm:NAME.")
    ] = "resnet18",
    output_stride: Annotated[int, typer.Option(help="Pixels per feature: 4, 8, 16, 32.")] = 8,
    descriptor_dim: Annotated[int, typer.Option(help="D, length of a descriptor.")] = 64,
    pretrained: Annotated[bool, typer.Option(help="Start from ImageNet weights.")] = False,
    batch_size: Annotated[int, typer.Option(help="Pairs of views in a step.")] = 2,
    crop: Annotated[tuple[int, int], typer.Option(help="Height and width of a view.")] = (192, 256),
    learning_rate: Annotated[float, typer.Option(help="The highest one of the schedule.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Same seed and settings, same run.")] = 0,
) -> None:
    """Learn descriptors: from posed views of objects, or from plain pictures.

    With --config, from rendered or captured data with poses, no labels and no correspondences:

        dense-desc train --config config/train/caps_keypoint.yaml --data data/caps

    With --images, from a folder of plain pictures: no poses, no labels. Two synthetic views of one
    picture (other crop, tilt, colours, patches pasted over) give the corresponding pixels. Twenty
    pictures of your objects on your table are a good start:

        dense-desc train --images pictures/ --out runs/table

    Either way:

        tensorboard --logdir runs
    """
    from dense_desc_ros.network import NetworkConfig
    from dense_desc_ros.training.config import OptimisationConfig, PicturesConfig, TrainingConfig
    from dense_desc_ros.training.objectives.ntxent import NtxentConfig
    from dense_desc_ros.training.train import train as run

    if (config is None) == (images is None):
        raise InvalidInputError("give either --config or --images")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("dense_desc_ros").setLevel(logging.INFO)
    if config is not None:
        _refuse(context, OF_PICTURES, "--config: change the file instead")
        settings = TrainingConfig.load(config)
    elif objective != "ntxent":
        raise InvalidInputError(f"--images is for the objective ntxent, not for {objective!r}")
    else:
        _refuse(context, ("data",), "--images")
        settings = TrainingConfig(
            pictures=PicturesConfig(str(images.resolve()), crop) if images else None,
            ntxent=NtxentConfig(),
            network=NetworkConfig(backbone, output_stride, descriptor_dim),
            pretrained=pretrained,
            optimisation=OptimisationConfig(batch_size=batch_size, learning_rate=learning_rate),
            seed=seed,
        )
    settings = _override(settings, data, steps, precision)
    folder = out or Path("runs") / (config.stem if config else "ntxent")
    weights = run(settings, folder, resume, max_minutes, workers, device, devices, nodes)
    typer.echo(f"weights: {weights}", err=True)


def _override(
    config: "TrainingConfig", data: Path | None, steps: int | None, precision: str | None
) -> "TrainingConfig":
    optimisation = config.optimisation
    if steps is not None:
        optimisation = replace(optimisation, steps=steps)
    if precision is not None:
        optimisation = replace(optimisation, precision=precision)
    config = replace(config, optimisation=optimisation)
    if data is None:
        return config
    if config.twins:
        return replace(config, twins=replace(config.twins, path=str(data)))
    assert config.pictures
    return replace(config, pictures=replace(config.pictures, path=str(data)))


def _refuse(context: typer.Context, names: tuple[str, ...], reason: str) -> None:
    """Options that would have no effect are an error, not ignored."""
    for name in names:
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            raise InvalidInputError(f"--{name.replace('_', '-')} is not for {reason}")
