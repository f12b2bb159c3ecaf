"""`dense-desc benchmark`: what is measured side by side in one run."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Device, Json, Weights, show

PAPER_DIMS = [3, 8, 16, 32, 64, 128, 256, 512]

benchmark = typer.Typer(
    help="Measure, side by side in one run: ratios compare between machines, milliseconds do not.",
    no_args_is_help=True,
)


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
    show(result, result["results"], as_json)


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
    show(result, [result], as_json)


@benchmark.command("memory")
def benchmark_memory(
    dim: Annotated[list[int], typer.Option(help="D; repeatable.")] = PAPER_DIMS,
    keypoints: Annotated[list[int], typer.Option(help="N; repeatable.")] = [128, 16],  # noqa: B006
    backbone: Annotated[str, typer.Option(help="resnet18 or resnet34.")] = "resnet34",
    output_stride: Annotated[int, typer.Option(help="Pixels per feature: 4, 8, 16, 32.")] = 8,
    repeats: Annotated[int, typer.Option(help="Real steps timed; 0 for memory only.")] = 3,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Peak memory of one training step, ours and that of Dense Object Nets with NT-Xent.

    At 480x640 with one pair of views. Without a GPU memory is counted exactly on fake tensors, so
    cases larger than this machine are measured too; only those that fit are really run and timed.
    """
    from dense_desc_ros.evaluation.benchmark_memory import benchmark_memory as run

    result = run(dim, keypoints, backbone, output_stride, repeats=repeats, device=device)
    show(result, result["results"], as_json)


@benchmark.command("accuracy")
def benchmark_accuracy(
    reports: Annotated[list[Path], typer.Argument(help="Folders that `evaluate --out` wrote.")],
    as_json: Json = False,
) -> None:
    """Figures of evaluations in one table, novel views beside what the paper published."""
    from dense_desc_ros.evaluation.benchmark_accuracy import benchmark_accuracy as run

    result = run(reports)
    show(result, result["results"], as_json)


@benchmark.command("grasp")
def benchmark_grasp(
    weights: Weights,
    scenes: Annotated[int, typer.Option(help="Pictures of each condition.")] = 100,
    objects: Annotated[str, typer.Option(help="caps or mugs.")] = "caps",
    from_above: Annotated[
        bool, typer.Option("--from-above", help="Upright objects, seen straight from above.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Fixes pictures and points.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of a table and pictures.")] = None,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """How exactly grasps registered once are found again, in rendered scenes with noisy depth.

    On the object itself and on others of its kind, 1, 3 and 5 of them in clutter.
    """
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.benchmark_grasp import benchmark_grasp as run
    from dense_desc_ros.evaluation.grasp_figures import summarize
    from dense_desc_ros.evaluation.grasp_report import write_grasp_report

    measured = run(DescriptorModel.load(weights, device), scenes, seed, objects, from_above)
    result = summarize(measured)
    if out is not None:
        write_grasp_report(out, result, measured.examples)
    rows = [{**row, "refused": sum(row["refused"].values())} for row in result["methods"]]
    show(result, rows, as_json)
