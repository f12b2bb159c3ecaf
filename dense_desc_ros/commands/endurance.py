"""`dense-desc benchmark soak`, `storm` and `kills`: what the node endures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dense_desc_ros.commands.options import Json, show


def soak(
    frames: Annotated[int, typer.Option(help="Frames sent.")] = 20000,
    references: Annotated[int, typer.Option(help="Registered all the time.")] = 50,
    seed: Annotated[int, typer.Option(help="Fixes frames and calls.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of memory.csv and memory.png.")] = None,
    as_json: Json = False,
) -> None:
    """Whether the node's memory stays, over many frames and constant calls of its services.

    Memory after the warm-up and at the end must be within 5 %, and nothing may go wrong: else the
    exit code is 1.
    """
    from dense_desc_ros.evaluation.endurance.soak import soak as run

    _show_verdict(run(frames, references, out, seed), as_json)


def storm(
    messages: Annotated[int, typer.Option(help="Sent, bad and good together.")] = 10000,
    seed: Annotated[int, typer.Option(help="Fixes their order.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether the node survives malformed frames, requests, parameters, clicks and transitions.

    It must count each as what it is, go on with good frames, and neither grow nor write anywhere
    but into its folder of references: else the exit code is 1.
    """
    from dense_desc_ros.evaluation.endurance.storm import storm as run

    _show_verdict(run(messages, seed), as_json)


def kills(
    times: Annotated[int, typer.Option(help="How often the node is killed.")] = 100,
    seed: Annotated[int, typer.Option(help="Fixes what is registered, and when kills come.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether what the node acknowledged survives kills (SIGKILL) during registrations.

    Nothing may be lost or unreadable, nor when files cannot be written: else the exit code is 1.
    """
    from dense_desc_ros.evaluation.endurance.kills import kills as run

    _show_verdict(run(times, seed), as_json)


def _show_verdict(result: dict[str, Any], as_json: bool) -> None:
    show(result, [{"figure": key, "value": value} for key, value in result.items()], as_json)
    if not result["passed"]:
        raise typer.Exit(1)
