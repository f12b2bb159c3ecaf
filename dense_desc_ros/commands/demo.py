"""`dense-desc demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    data: Annotated[
        Path | None, typer.Option(help="RGB-D frames with points.json; rendered if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where pictures and table go.")] = Path("demo"),
) -> None:
    """The whole way in a real ROS graph: learn, register by service, find, and show how well."""
    from dense_desc_ros.demo import run_demo

    run_demo(data, out)
