"""`dense-desc export`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Json, Weights, show


def export(
    weights: Weights,
    out: Annotated[Path, typer.Option(help="File to write, .onnx.")],
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="Compare on this; repeatable.", show_default="a made one"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX, which runs faster on processors, and compare it with the original.

    The file is used like the weights, by all commands and by the node (`weights:=caps.onnx`), in
    ONNX Runtime; references made with the weights stay valid. It takes images of any size.

    Needs onnx and onnxscript to write, onnx and onnxruntime to run. It takes up to a minute.
    """
    from rich.console import Console

    from dense_desc_ros.data.images import read_image
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.export.onnx_writer import export_onnx, largest_difference, made_picture

    model = DescriptorModel.load(weights, "cpu")
    images = [read_image(path) for path in picture] if picture else [made_picture()]
    with Console(stderr=True).status("exporting"):
        export_onnx(model, out)
        difference = largest_difference(model, DescriptorModel.load(out), images)
    result = {
        "file": str(out),
        "megabytes": out.stat().st_size / 1e6,
        "largest_difference": difference,
        "fingerprint": model.fingerprint,
    }
    show(result, [result], as_json)
