"""`dense-desc demo` and `dense-desc demo-learning`."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Where pictures and table go.")]


def demo(
    weights: Annotated[Path, typer.Option(help="Of the model that finds the grasp.")] = Path(
        "models/caps.safetensors"
    ),
    out: Out = Path("demo/picks"),
    viewer: Annotated[
        bool, typer.Option("--viewer", help="Watch it in a window; needs a display.")
    ] = False,
) -> None:
    """A grasp taught on one cap by a click; a simulated arm picks other caps there, over ROS 2."""
    from dense_desc_ros.pick_demo import run_pick_demo

    run_pick_demo(weights, out, viewer=viewer)


def demo_learning(
    data: Annotated[
        Path | None, typer.Option(help="RGB-D frames with points.json; rendered if not given.")
    ] = None,
    out: Out = Path("demo"),
) -> None:
    """Descriptors learnt from a few plain pictures, and points found again by them, over ROS 2."""
    from dense_desc_ros.demo import run_demo

    run_demo(data, out)
