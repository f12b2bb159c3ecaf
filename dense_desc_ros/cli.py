"""The command `dense-desc`: thin shells around the package, loaded when they are called."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dense_desc_ros.errors import DenseDescError

app = typer.Typer(
    help='Dense visual descriptors for grasping: "here" shown once, found on every later object.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
benchmark = typer.Typer(
    help="Measure, side by side in one run: ratios compare between machines, milliseconds do not.",
    no_args_is_help=True,
)
app.add_typer(benchmark, name="benchmark")

Weights = Annotated[Path, typer.Option(help="Safetensors file written by `dense-desc train`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]


@app.command()
def train(
    images: Annotated[Path, typer.Option(help="Folder of pictures (PNG, JPEG, ...).")],
    out: Annotated[Path, typer.Option(help="Folder of this run.")] = Path("runs/ntxent"),
    objective: Annotated[str, typer.Option(help="What is optimised.")] = "ntxent",
    backbone: Annotated[str, typer.Option(help="resnet18 or resnet34.")] = "resnet18",
    output_stride: Annotated[int, typer.Option(help="Pixels per feature: 4, 8, 16, 32.")] = 8,
    descriptor_dim: Annotated[int, typer.Option(help="D, length of a descriptor.")] = 64,
    pretrained: Annotated[bool, typer.Option(help="Start from ImageNet weights.")] = False,
    steps: Annotated[int, typer.Option(help="Optimisation steps.")] = 1200,
    batch_size: Annotated[int, typer.Option(help="Pairs of views in a step.")] = 2,
    crop: Annotated[tuple[int, int], typer.Option(help="Height and width of a view.")] = (192, 256),
    learning_rate: Annotated[float, typer.Option(help="The highest one of the schedule.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Same seed and settings, same run.")] = 0,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after that time.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from --out's checkpoint.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that draw views.")] = 1,
    device: Device = "auto",
) -> None:
    """Learn descriptors from a folder of plain pictures: no poses, no labels.

    Two synthetic views of one picture (other crop, tilt, colours, patches pasted over) give the
    corresponding pixels. Twenty pictures of your objects on your table are a good start:

        dense-desc train --images pictures/ --out runs/table

        tensorboard --logdir runs/table
    """
    from dense_desc_ros.network import NetworkConfig
    from dense_desc_ros.training.config import TrainingConfig
    from dense_desc_ros.training.train import train as run

    config = TrainingConfig(
        images=str(images.resolve()),
        objective=objective,
        network=NetworkConfig(backbone, output_stride, descriptor_dim),
        pretrained=pretrained,
        steps=steps,
        batch_size=batch_size,
        crop=crop,
        learning_rate=learning_rate,
        seed=seed,
    )
    weights = run(config, out, resume, max_minutes, workers, device)
    typer.echo(f"weights: {weights}", err=True)


@app.command()
def match(
    weights: Weights,
    reference: Annotated[Path, typer.Option(help="Picture that shows the point.")],
    pixel: Annotated[tuple[float, float], typer.Option(help="The point's U V in it.")],
    target: Annotated[list[Path], typer.Option(help="Picture to find it in; repeatable.")],
    out: Annotated[Path | None, typer.Option(help="Write an overlay picture here.")] = None,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find a point of one picture in others."""
    from dense_desc_ros.data.images import read_image, write_image
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.pictures import draw_image_matches

    model = DescriptorModel.load(weights, device)
    picture = read_image(reference)
    wanted = model.describe(picture).sample([pixel])
    targets = [read_image(path) for path in target]
    found = [model.describe(image).match(wanted) for image in targets]
    matches = [(m.pixels[0].tolist(), float(m.scores[0])) for m in found]
    rows = [
        {"target": str(path), "pixel": pixel, "score": score}
        for path, (pixel, score) in zip(target, matches, strict=True)
    ]
    if out:
        write_image(out, draw_image_matches(picture, pixel, targets, matches))
    _show({"matches": rows}, rows, as_json)


@app.command()
def record(
    frames: Annotated[Path, typer.Argument(help="Folder of NNNNNN-color.png, NNNNNN-depth.png.")],
    bag: Annotated[Path, typer.Argument(help="The rosbag2 folder to write.")],
    rate: Annotated[float, typer.Option(help="Frames per second.")] = 1.0,
    namespace: Annotated[str, typer.Option(help="Camera namespace of the topics.")] = "/camera",
) -> None:
    """Write a folder of RGB-D frames as a rosbag2 (MCAP): colour, depth, camera_info."""
    from dense_desc_ros.data.bags import record as write
    from dense_desc_ros.data.frames import FrameFolder

    write(FrameFolder(frames), bag, rate, namespace)


@app.command()
def play(
    bag: Annotated[Path, typer.Argument(help="A rosbag2, MCAP or SQLite.")],
    rate: Annotated[float, typer.Option(help="Factor on the recording's own speed.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    clock: Annotated[bool, typer.Option("--clock", help="Publish /clock.")] = False,
    start: Annotated[float, typer.Option(help="Seconds of the recording to skip.")] = 0.0,
    duration: Annotated[float | None, typer.Option(help="Seconds of it to play.")] = None,
) -> None:
    """Publish a bag's messages on its topics, without ROS tools."""
    from dense_desc_ros.nodes.player import play as publish

    publish(bag, rate, loop, clock, start, duration)


@benchmark.command("matching")
def benchmark_matching(
    dim: Annotated[list[int], typer.Option(help="D; repeatable.")] = [64, 512],  # noqa: B006
    references: Annotated[int, typer.Option(help="K, matched at once.")] = 16,
    output_stride: Annotated[int, typer.Option(help="Pixels per feature.")] = 8,
    metric: Annotated[str, typer.Option(help="cosine or l2.")] = "cosine",
    repeats: Annotated[int, typer.Option(help="The median of so many runs.")] = 5,
    as_json: Json = False,
) -> None:
    """Our matching against upsampling to HxWxD and comparing there, at 480x640."""
    from dense_desc_ros.evaluation.benchmark_matching import benchmark_matching as run

    result = run(dim, references, stride=output_stride, metric=metric, repeats=repeats)
    _show(result, result["results"], as_json)


@benchmark.command("node")
def benchmark_node(
    weights: Annotated[Path | None, typer.Option(help="Random ones if not given.")] = None,
    references: Annotated[int, typer.Option(help="References registered.")] = 16,
    frames: Annotated[int, typer.Option(help="Frames measured.")] = 100,
    as_json: Json = False,
) -> None:
    """What the node adds to the bare network forward, measured in the running node."""
    from dense_desc_ros.evaluation.benchmark_node import benchmark_node as run

    result = run(weights, references, frames)
    _show(result, [result], as_json)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="RGB-D frames with points.json; rendered if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where pictures and table go.")] = Path("demo"),
) -> None:
    """The whole way in a real ROS graph: learn, register by service, find, and show how well."""
    from dense_desc_ros.demo import run_demo

    run_demo(data, out)


def _show(result: dict[str, Any], rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    table = Table(*rows[0].keys())
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line; what the user can mend ends in one line and exit code 2."""
    try:
        app()
    except DenseDescError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
