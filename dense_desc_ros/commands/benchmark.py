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
    views: Annotated[
        int, typer.Option(help="Pictures of the object to register in, where they show the point.")
    ] = 1,
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

    measured = run(DescriptorModel.load(weights, device), scenes, seed, objects, from_above, views)
    result = summarize(measured)
    if out is not None:
        write_grasp_report(out, result, measured.examples)
    rows = [{**row, "refused": sum(row["refused"].values())} for row in result["methods"]]
    show(result, rows, as_json)


@benchmark.command("replay")
def benchmark_replay(
    weights: Weights,
    frames: Annotated[int, typer.Option(help="Of the bag; 1.5 MB each.")] = 1000,
    references: Annotated[int, typer.Option(help="Points registered.")] = 4,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """What reading, decoding and reporting add to the pipeline in `replay`, and its memory.

    On a bag of 640x480 frames that is made for it and removed afterwards.
    """
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.benchmark_replay import benchmark_replay as run

    result = run(DescriptorModel.load(weights, device), frames, references)
    show(result, [result], as_json)


@benchmark.command("strategies")
def benchmark_strategies(
    out: Annotated[Path, typer.Option(help="Folder of data, runs and results.")],
    size: Annotated[
        str, typer.Option(help="cpu (hours on two cores) or gpu (more of all).")
    ] = "cpu",
    only: Annotated[
        list[str] | None,
        typer.Option(help="A strategy, as the table names it; repeatable.", show_default="all"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --out.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that draw views.")] = 1,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Train every strategy on the same data, evaluate it, and put all side by side.

    Strategies times lengths of descriptors times seeds, on rendered caps, by the same network for
    as many steps. Stopped or killed at any time, it goes on where it was, with --resume:

        dense-desc benchmark strategies --out runs/strategies

        dense-desc benchmark strategies --out runs/strategies --resume --only ntxent --only guided

    The folder gets results.json, table.md and auc.png, renewed after every training.
    """
    from dense_desc_ros.evaluation.benchmark_strategies import benchmark_strategies as run
    from dense_desc_ros.evaluation.strategies.summary import flatten

    result = run(out, size, only or (), resume, workers, device)
    show(result, [flatten(row) for row in result["results"]], as_json)


@benchmark.command("picks")
def benchmark_picks(
    weights: Weights,
    scenes: Annotated[int, typer.Option(help="Picks of each condition.")] = 100,
    seed: Annotated[int, typer.Option(help="Fixes the scenes.")] = 0,
    objects: Annotated[str, typer.Option(help="caps or mugs.")] = "caps",
    condition: Annotated[
        list[str],
        typer.Option(
            help="unseen (others than the one taught on), same, clutter, exact-depth, straight or "
            "aligned (by these methods); repeatable."
        ),
    ] = ["unseen", "clutter"],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Folder of results and pictures.")] = Path("runs/picks"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out; also with more scenes.")
    ] = False,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """How often objects are picked at the point that was taught on one, in the simulated cell.

    The folder gets results.json, and each pick's figures and a picture of its end.
    """
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.picks.benchmark_picks import benchmark_picks as run

    model = DescriptorModel.load(weights, device)
    result = run(model, out, scenes, seed, objects, condition, resume)
    hidden = ("seconds", "failures")
    rows = [
        {key: value for key, value in row.items() if key not in hidden}
        | {"failures": ", ".join(f"{n} {why}" for why, n in row["failures"].items())}
        for row in result["conditions"]
    ]
    show(result, rows, as_json)


@benchmark.command("cell")
def benchmark_cell(
    weights: Weights,
    seconds: Annotated[float, typer.Option(help="How long to count.")] = 30.0,
    rate: Annotated[float, typer.Option(help="Frames in a simulated second.")] = 6.0,
    as_json: Json = False,
) -> None:
    """How often the simulated cell publishes frames while the node works on them."""
    from dense_desc_ros.evaluation.benchmark_cell import benchmark_cell as run

    result = run(weights, seconds, rate)
    show(result, [result], as_json)


@benchmark.command("transport")
def benchmark_transport(
    frames: Annotated[int, typer.Option(help="For each setting.")] = 150,
    rate: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
    as_json: Json = False,
) -> None:
    """RGB-D frames of 640x480 from process to process: what is lost, how late the rest is.

    For senders with and without room for images in shared memory (docs/speed.md), reliable and
    best-effort, and the depths of the receiver's history.
    """
    from dense_desc_ros.evaluation.benchmark_transport import benchmark_transport as run

    result = run(frames, rate)
    show(result, result["results"], as_json)


@benchmark.command("stream")
def benchmark_stream(
    weights: Annotated[Path | None, typer.Option(help="Random ones if not given.")] = None,
    frames: Annotated[int, typer.Option(help="Frames sent.")] = 600,
    rate: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="As most camera drivers send; else reliable.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The node behind a camera faster than its network: what comes to it, how old its answers are.

    How old the newest published answer is when it comes, is counted in forward passes too.
    """
    from dense_desc_ros.evaluation.benchmark_stream import benchmark_stream as run

    result = run(weights, frames, rate, not best_effort)
    show(result, [result], as_json)


@benchmark.command("forward")
def benchmark_forward(
    weights: Annotated[Path | None, typer.Option(help="Random ones if not given.")] = None,
    backbone: Annotated[str, typer.Option(help="Of random weights.")] = "resnet34",
    output_stride: Annotated[int, typer.Option(help="Of random weights.")] = 32,
    threads: Annotated[list[int], typer.Option(help="Repeatable.")] = [1, 2],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="The median of so many runs, in turns.")] = 7,
    as_json: Json = False,
) -> None:
    """Ways to run a network on one picture of 480x640: torch's, and other runtimes installed.

    And the time of a ResNet-34 at stride 32, by torch.
    """
    from dense_desc_ros.evaluation.benchmark_forward import benchmark_forward as run

    result = run(weights, backbone, output_stride, threads, repeats)
    show(result, result["results"], as_json)
