"""`dense-desc label`."""

import signal
import tempfile
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dense_desc_ros.commands.options import CameraInfo, Slop, Topic
from dense_desc_ros.errors import InvalidInputError

if TYPE_CHECKING:
    from dense_desc_ros.labelling.server import LabelServer


def label(
    bag: Annotated[Path, typer.Argument(help="rosbag2 (MCAP, SQLite) or ROS 1 bag.")],
    out: Annotated[
        Path, typer.Option(help="YAML file of the points; one that exists is gone on with.")
    ] = Path("labels.yaml"),
    every: Annotated[int, typer.Option(min=1, help="Show only every N-th frame.")] = 1,
    port: Annotated[int, typer.Option(help="To listen on; 0 for any.")] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, open no browser.")
    ] = False,
    color_topic: Topic = None,
    depth_topic: Topic = None,
    camera_info_topic: Topic = None,
    camera_info: CameraInfo = None,
    slop: Slop = 0.01,
) -> None:
    """Click points on the frames of a recording, in a browser, for `dense-desc replay`.

    The file serves for both, what to register and where it really is:

        dense-desc label bag --out labels.yaml --every 10
        dense-desc replay bag --weights weights.safetensors --registrations labels.yaml --truth labels.yaml --out runs/bag

    Every click is saved at once. The page can be reached from this machine only, by the address
    that is printed. Ctrl-C ends.
    """  # noqa: E501
    from dense_desc_ros.data.camera_choice import CameraTopics
    from dense_desc_ros.data.indexed_recording import IndexedRecording
    from dense_desc_ros.labelling.frames import FrameServer
    from dense_desc_ros.labelling.label_file import LabelFile, check_frames
    from dense_desc_ros.labelling.server import LabelServer

    def make() -> IndexedRecording:
        topics = CameraTopics(color_topic, depth_topic, camera_info_topic)
        return IndexedRecording(bag, topics, slop, camera_info)

    file = LabelFile(out)
    known, _ = file.read()
    with make() as recording:
        index = recording.index()
        name, notes = recording.name, list(recording.notes)
        reasons = [f"{count} {reason}" for reason, count in recording.left_out.counts.items()]
    if not index:
        raise InvalidInputError(f"{bag} has no frames: {'; '.join(reasons) or 'it is empty'}")
    check_frames(known, len(index), str(out))
    labelled = {frame for each in known.values() for frame in each.track}
    shown = [each for each in index if each.number % every == 0 or each.number in labelled]
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    with FrameServer(make, index) as frames, LabelServer(port, name, frames, shown, file) as server:
        typer.echo(f"{len(shown)} frames of {name}; points go to {out}; Ctrl-C ends", err=True)
        typer.echo(server.url)
        with tempfile.TemporaryDirectory(prefix="dense-desc-") as folder:
            if not no_open:
                _open(server.url, Path(folder))
            _serve(server)
    typer.echo(f"the points are in {out}", err=True)


def _open(url: str, folder: Path) -> None:
    """Open a browser, by a private file: other users can see what programs are called with."""
    page = folder / "label.html"
    page.write_text(f'<meta http-equiv="refresh" content="0; url={escape(url)}">')
    webbrowser.open(page.as_uri())


def _serve(server: "LabelServer") -> None:
    """Until SIGINT or SIGTERM."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return
