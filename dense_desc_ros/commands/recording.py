"""`dense-desc record`, `dense-desc record-topics` and `dense-desc play`."""

from pathlib import Path
from typing import Annotated

import typer


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


def record_topics(
    bag: Annotated[Path, typer.Argument(help="The rosbag2 folder to write.")],
    topics: Annotated[
        list[str], typer.Argument(help="Full names, such as /camera/color/image_raw.")
    ],
    seconds: Annotated[float | None, typer.Option(help="How long; else until Ctrl-C.")] = None,
) -> None:
    """Record topics that are being published to a rosbag2 (MCAP), without ROS tools."""
    from dense_desc_ros.nodes.recorder import record_topics as write

    for topic, count in write(topics, bag, seconds).items():
        typer.echo(f"{count:6} {topic}")


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
