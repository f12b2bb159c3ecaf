"""`dense-desc export`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Json, Weights, show


def export(
    weights: Weights,
    out: Annotated[Path, typer.Option(help="File to write, .onnx or .safetensors.")],
    turns: Annotated[
        int | None,
        typer.Option(
            help="1, 2 or 4: features are the mean over so many turns of a picture, which are more "
            "accurate and take so many times as long.",
            show_default="as it is",
        ),
    ] = None,
    smoothed: Annotated[
        bool | None,
        typer.Option(
            help="Features are smoothed, so that matches are more exact.", show_default="as it is"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A ResNet of fewer blocks, which is faster: of a resnet34 a resnet24 or resnet18.",
            show_default="as it is",
        ),
    ] = None,
    mixed_with: Annotated[
        Path | None,
        typer.Option(
            help="Take weights between those and these, of a network of the same kind or of a "
            "shallower ResNet."
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(help="How much of --mixed-with, between 0 and 1.", min=0, max=1)
    ] = 0.5,
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="Compare on this; repeatable.", show_default="a made one"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model for use, and compare it with the original.

    As .onnx it runs faster on processors: the file is used like the weights, by all commands and by
    the node (`weights:=caps.onnx`), in ONNX Runtime; references made with the weights stay valid,
    and it takes images of any size. Needs onnx and onnxscript to write, onnx and onnxruntime to
    run. It takes up to a minute.

    As .safetensors it takes a third of the space: large convolutions in eight bits, what is left in
    float16. References are to be made anew with it, and so they are with another number of turns,
    with --smoothed and with --backbone. Blocks that are left out may be missed: `dense-desc
    evaluate` tells.

    --mixed-with is for what a training started from: such weights often keep what the training
    forgot, and most of what it gained.
    """
    from rich.console import Console

    from dense_desc_ros.data.images import read_image
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.export.export import (
        TOLERANCES,
        export_model,
        largest_difference,
        made_picture,
    )

    model = DescriptorModel.load(weights, "cpu", "float32")
    if mixed_with is not None:
        model = model.mixed_with(DescriptorModel.load(mixed_with, "cpu", "float32"), share)
    model = model.used_with(turns, smoothed, backbone)
    images = [read_image(path) for path in picture] if picture else [made_picture()]
    with Console(stderr=True).status("exporting"):
        export_model(model, out)
        exported = DescriptorModel.load(out, "cpu", "float32")
        difference = largest_difference(model, exported, images, TOLERANCES[out.suffix])
    result = {
        "file": str(out),
        "megabytes": out.stat().st_size / 1e6,
        "largest_difference": difference,
        "fingerprint": exported.fingerprint,
    }
    show(result, [result], as_json)
