"""`dense-desc match`."""

from pathlib import Path
from typing import Annotated

import typer

from dense_desc_ros.commands.options import Device, Json, Weights, show


def match(
    weights: Weights,
    reference: Annotated[Path, typer.Option(help="Picture that shows the points.")],
    pixel: Annotated[list[str], typer.Option(help="U,V of a point in it; repeatable.")],
    target: Annotated[list[Path], typer.Option(help="Picture to find them in; repeatable.")],
    out: Annotated[Path | None, typer.Option(help="Write a picture of all here.")] = None,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find points of one picture in others."""
    import numpy as np

    from dense_desc_ros.data.images import read_image, write_image
    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.pictures import draw_image_matches
    from dense_desc_ros.pointing import parse_pixel

    points = np.array([parse_pixel(text) for text in pixel])
    model = DescriptorModel.load(weights, device)
    picture = read_image(reference)
    wanted = model.describe(picture).sample(points)
    targets = [read_image(path) for path in target]
    found = [model.describe(image).match(wanted) for image in targets]
    rows = [
        {"target": str(path), "point": number, "pixel": place, "score": score}
        for path, matches in zip(target, found, strict=True)
        for number, (place, score) in enumerate(
            zip(matches.pixels.tolist(), matches.scores.tolist(), strict=True), start=1
        )
    ]
    if out:
        places = [(matches.pixels.cpu().numpy(), matches.scores.cpu().numpy()) for matches in found]
        write_image(out, draw_image_matches(picture, points, targets, places))
    show({"matches": rows}, rows, as_json)
