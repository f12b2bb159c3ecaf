"""`dense-desc match`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Device, Json, Weights, show


def match(
    weights: Weights,
    reference: Annotated[Path, typer.Option(help="Picture that shows the point.")],
    pixel: Annotated[tuple[float, float], typer.Option(help="The point's U V in it.")],
    target: Annotated[list[Path], typer.Option(help="Picture to find it in; repeatable.")],
    out: Annotated[Path | None, typer.Option(help="Write an overlay picture here.")] = None,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find a point of one picture in others."""
    from dense_desc_ros.data.images import read_image, write_image
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.pictures import draw_image_matches

    model = DescriptorModel.load(weights, device)
    picture = read_image(reference)
    wanted = model.describe(picture).sample([pixel])
    targets = [read_image(path) for path in target]
    found = [model.describe(image).match(wanted) for image in targets]
    matches = [(m.pixels[0].tolist(), float(m.scores[0])) for m in found]
    rows = [
        {"target": str(path), "pixel": pixel, "score": score}
        for path, (pixel, score) in zip(target, matches, strict=True)
    ]
    if out:
        write_image(out, draw_image_matches(picture, pixel, targets, matches))
    show({"matches": rows}, rows, as_json)
