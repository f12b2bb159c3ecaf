"""`dense-desc evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Device, Json, Weights, show


def evaluate(
    weights: Weights,
    data: Annotated[Path, typer.Option(help="BOP data set, or nerfstudio folder with depth.")],
    split: Annotated[
        str, typer.Option(help="novel-view, cross-instance, clutter or absent.")
    ] = "novel-view",
    seeds: Annotated[
        list[int], typer.Option(help="Each draws its own pairs and points; repeatable.")
    ] = [0, 1, 2],  # noqa: B006
    pairs: Annotated[int, typer.Option(help="Pairs of frames with each seed.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/evaluation"),
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Measure matches against the truth: PCK, its AUC, pixel errors; and a page of examples."""
    from dense_desc_ros.data.posed_formats import open_posed_frames
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.benchmark_accuracy import describe_training
    from dense_desc_ros.evaluation.evaluate import evaluate as run
    from dense_desc_ros.evaluation.evaluate import summarize
    from dense_desc_ros.evaluation.report import write_report

    model = DescriptorModel.load(weights, device, "float32")  # the same figures everywhere
    frames = open_posed_frames(data)
    evaluation = run(model, frames, split, seeds, pairs)
    figures = {
        **summarize(evaluation),
        **describe_training(model),
        "weights": str(weights),
        "fingerprint": model.fingerprint,
        "data": str(data),
    }
    write_report(out, evaluation, figures, frames)
    typer.echo(f"report: {out / 'index.html'}", err=True)
    rows = [{"figure": k, "value": v} for k, v in figures.items() if not isinstance(v, list | dict)]
    show(figures, rows, as_json)
