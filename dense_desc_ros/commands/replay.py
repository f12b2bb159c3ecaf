"""`dense-desc replay`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dense_desc_ros.commands.options import Device, Json, Weights, show
from dense_desc_ros.errors import InvalidInputError

if TYPE_CHECKING:
    from dense_desc_ros.evaluation.replay.inputs import Click

Topic = Annotated[str | None, typer.Option(show_default="found by its looks")]


def replay(
    bags: Annotated[list[Path], typer.Argument(help="rosbag2 (MCAP, SQLite) or ROS 1 bags.")],
    weights: Weights,
    out: Annotated[Path, typer.Option(help="Folder of this run.")],
    references: Annotated[
        Path | None, typer.Option(help="Folder of references to find; only read.")
    ] = None,
    register: Annotated[
        list[str], typer.Option(help="NAME=FRAME:U,V of the first bag; repeatable.")
    ] = [],  # noqa: B006
    registrations: Annotated[
        Path | None, typer.Option(help="YAML of the same: {name: {frame: N, pixel: [u, v]}}.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="YAML of where points are in the first bag: {name: {N: [u, v]|null}}."),
    ] = None,
    start: Annotated[float, typer.Option(help="Seconds of each recording to skip.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Second of each recording to stop at.")] = None,
    every: Annotated[int, typer.Option(help="Only every N-th frame.")] = 1,
    method: Annotated[str, typer.Option(help="auto, registered, aligned or straight.")] = "auto",
    min_score: Annotated[float, typer.Option(help="What scores lower is refused.")] = 0.4,
    max_instances: Annotated[int, typer.Option(help="Grasps for one reference at most.")] = 1,
    color_topic: Topic = None,
    depth_topic: Topic = None,
    camera_info_topic: Topic = None,
    camera_info: Annotated[
        Path | None, typer.Option(help="Intrinsics as camera_calibration writes them (YAML).")
    ] = None,
    slop: Annotated[
        float, typer.Option(help="Seconds between the stamps of colour and depth at most.")
    ] = 0.01,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    fail_under: Annotated[
        list[str],
        typer.Option(help="found=0.95 or auc=0.9: else exit with code 1; repeatable."),
    ] = [],  # noqa: B006
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find references in every frame of recordings, without ROS, and report how well.

    Points may be registered on the recording itself, so that one command is an evaluation:

        dense-desc replay bag --weights weights.safetensors --register mug=0:320,240 --out runs/bag

    --out then has a page (index.html), results.json, grasps.csv, overlay.mp4 and, for each frame,
    a line of frames.jsonl.
    """
    from dense_desc_ros.data.camera_choice import CameraTopics
    from dense_desc_ros.data.recordings import Selection
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.replay.figures import as_rows, shortfalls
    from dense_desc_ros.evaluation.replay.inputs import parse_limit, read_truth
    from dense_desc_ros.evaluation.replay.report import PAGE, write_replay_report
    from dense_desc_ros.evaluation.replay.run import ReplayConfig
    from dense_desc_ros.evaluation.replay.run import replay as run
    from dense_desc_ros.grasping.settings import PipelineSettings

    limits = dict(map(parse_limit, fail_under))
    known = read_truth(truth) if truth else {}
    if "auc" in limits and not known:
        raise InvalidInputError("--fail-under auc=... needs --truth")
    config = ReplayConfig(
        bags=tuple(bags),
        references=references,
        clicks=_clicks(register, registrations),
        selection=Selection(start, end, every),
        topics=CameraTopics(color_topic, depth_topic, camera_info_topic),
        slop=slop,
        camera_file=camera_info,
        settings=PipelineSettings(method, min_score, max_instances),
    )
    model = DescriptorModel.load(weights, device)
    store = run(model, config, out, resume)
    if unknown := sorted(known.keys() - set(store.names())):
        raise InvalidInputError(f"{truth} has {', '.join(unknown)}, which are no references")
    about = {"weights": str(weights), "fingerprint": model.fingerprint}
    results = write_replay_report(config, out, store.names(), known, about)
    typer.echo(f"report: {out / PAGE}", err=True)
    show(results, as_rows(results["references"]), as_json)
    if problems := shortfalls(results, limits):
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(1)


def _clicks(register: list[str], registrations: Path | None) -> "dict[str, Click]":
    from dense_desc_ros.evaluation.replay.inputs import parse_click, read_clicks

    clicks = read_clicks(registrations) if registrations else {}
    for name, click in map(parse_click, register):
        if name in clicks:
            raise InvalidInputError(f"{name} is to be registered twice")
        clicks[name] = click
    return clicks
