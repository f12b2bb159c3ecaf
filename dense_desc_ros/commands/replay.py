"""`dense-desc replay`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dense_desc_ros.commands.options import CameraInfo, Device, Json, Slop, Topic, Weights, show
from dense_desc_ros.errors import InvalidInputError

if TYPE_CHECKING:
    from dense_desc_ros.evaluation.replay.agreement import Agreement
    from dense_desc_ros.evaluation.replay.inputs import Click
    from dense_desc_ros.evaluation.replay.pose_truth import PoseTruth
    from dense_desc_ros.evaluation.replay.run import ReplayConfig

# Of the figures, those that fit into a terminal; the page has all.
PRINTED = (
    *("reference", "found_rate", "position_spread_mm", "jumps"),
    *("median_px", "median_mm", "pose_median_mm", "auc"),
)


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
        typer.Option(
            help="Where points are in the first bag: YAML, {name: {N: [u, v]|null}}, or the folder "
            "of a BOP scene whose images are its frames, with the poses of its objects."
        ),
    ] = None,
    truth_topic: Annotated[
        str | None,
        typer.Option(help="Topic of the first bag with poses of objects: PoseStamped, CellTruth."),
    ] = None,
    camera_pose: Annotated[
        str | None,
        typer.Option(
            help="Pose of the camera in the frame of these poses: '[x, y, z, qx, qy, qz, qw]'."
        ),
    ] = None,
    start: Annotated[float, typer.Option(help="Seconds of each recording to skip.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Second of each recording to stop at.")] = None,
    every: Annotated[int, typer.Option(help="Only every N-th frame.")] = 1,
    method: Annotated[str, typer.Option(help="auto, registered, aligned or straight.")] = "auto",
    min_score: Annotated[float, typer.Option(help="What scores lower is refused.")] = 0.55,
    max_instances: Annotated[int, typer.Option(help="Grasps for one reference at most.")] = 1,
    color_topic: Topic = None,
    depth_topic: Topic = None,
    camera_info_topic: Topic = None,
    camera_info: CameraInfo = None,
    slop: Slop = 0.01,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    fail_under: Annotated[
        list[str],
        typer.Option(help="found=0.95 or auc=0.9: else exit with code 1; repeatable."),
    ] = [],  # noqa: B006
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Then play the bags to the real node too, on the time of the recording; exit with "
            "code 1 if it answers otherwise. Needs ROS 2.",
        ),
    ] = False,
    rate: Annotated[float, typer.Option(help="How fast --online plays.")] = 1.0,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find references in every frame of recordings, without ROS, and report how well.

    Points may be registered on the recording itself, so that one command is an evaluation:

        dense-desc replay bag --weights weights.safetensors --register mug=0:320,240 --out runs/bag

    --out then has a page (index.html), results.json, all grasps as CSV, as Parquet and as a bag for
    RViz and Foxglove (results.mcap), overlay.mp4 and, for each frame, a line of frames.jsonl.
    """
    from dense_desc_ros.data.camera_choice import CameraTopics
    from dense_desc_ros.data.recordings import Selection
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.evaluation.replay.figures import as_rows, shortfalls
    from dense_desc_ros.evaluation.replay.inputs import parse_limit, read_truth
    from dense_desc_ros.evaluation.replay.report import PAGE, write_replay_report
    from dense_desc_ros.evaluation.replay.run import ReplayConfig, reference_names
    from dense_desc_ros.evaluation.replay.run import replay as run
    from dense_desc_ros.grasping.settings import PipelineSettings

    limits = dict(map(parse_limit, fail_under))
    known = read_truth(truth) if truth and not truth.is_dir() else {}
    if "auc" in limits and not (truth or truth_topic):
        raise InvalidInputError("--fail-under auc=... needs --truth or --truth-topic")
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
    if unknown := sorted(known.keys() - reference_names(model, config)):
        raise InvalidInputError(f"{truth} has {', '.join(unknown)}, which are no references")
    poses = _pose_truth(config, truth, truth_topic, camera_pose)
    play = _player(config) if online else None
    store = run(model, config, out, resume)
    about: dict[str, Any] = {"weights": str(weights), "fingerprint": model.fingerprint}
    agreement = play(config, weights, out, rate, device) if play else None
    if agreement:
        about["online"] = agreement.as_figures()
    results = write_replay_report(config, out, store.names(), known, about, poses)
    typer.echo(f"report: {out / PAGE}", err=True)
    rows = [{k: row[k] for k in PRINTED if k in row} for row in as_rows(results["references"])]
    show(results, rows, as_json)
    problems = shortfalls(results, limits)
    if agreement and agreement.differences:
        problems += ["the node answered otherwise:", *agreement.differences]
    if problems:
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


def _pose_truth(
    config: "ReplayConfig", truth: Path | None, topic: str | None, camera_pose: str | None
) -> "PoseTruth | None":
    from dense_desc_ros.evaluation.replay.inputs import parse_pose
    from dense_desc_ros.evaluation.replay.object_poses import BopPoses, TopicPoses
    from dense_desc_ros.evaluation.replay.pose_truth import PoseTruth

    if topic is not None and truth is not None and truth.is_dir():
        raise InvalidInputError("poses come from --truth or from --truth-topic, not from both")
    if topic is not None:
        T_frame_camera = None if camera_pose is None else parse_pose(camera_pose)
        return PoseTruth(config, TopicPoses(config.bags[0], topic, T_frame_camera))
    if truth is not None and truth.is_dir():
        return PoseTruth(config, BopPoses(truth))
    return None


def _player(config: "ReplayConfig") -> "Callable[..., Agreement]":
    """What plays a replay to the node, once it is sure that this can be done."""
    try:
        from dense_desc_ros.nodes.online_replay import check_playable, replay_online
    except ImportError as error:
        raise InvalidInputError(
            f"--online needs ROS 2 and dense_desc_interfaces: {error}"
        ) from error
    check_playable(config)
    return replay_online
