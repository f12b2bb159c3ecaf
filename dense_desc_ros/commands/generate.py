"""`dense-desc generate`."""

from pathlib import Path
from typing import Annotated

import typer


def generate(
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    objects: Annotated[str, typer.Option(help="caps, mugs, or a folder of meshes.")] = "caps",
    instances: Annotated[int, typer.Option(help="How many objects.")] = 10,
    first_instance: Annotated[int, typer.Option(help="Number of the first; fixes the object.")] = 0,
    views: Annotated[int, typer.Option(help="Views of each object.")] = 100,
    seed: Annotated[int, typer.Option(help="Fixes cameras, lights, tables, distractors.")] = 0,
    renderer: Annotated[str, typer.Option(help="mujoco or cycles.")] = "mujoco",
    clutter: Annotated[
        bool, typer.Option("--clutter", help="Hide parts of the object; a view in five lacks it.")
    ] = False,
    from_above: Annotated[
        bool, typer.Option("--from-above", help="Upright objects, seen straight from above.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes at work at the same time.")] = 2,
    split: Annotated[str, typer.Option(help="Folder of the scenes in --out.")] = "train",
    size: Annotated[tuple[int, int], typer.Option(help="Width and height, pixels.")] = (640, 480),
    mesh_size: Annotated[
        float | None, typer.Option(help="Longest side of meshes from a folder, metres.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Cycles: paths per pixel.")] = 16,
    blender_python: Annotated[
        str | None,
        typer.Option(help="Cycles: a Python that has bpy.", envvar="DENSE_DESC_BLENDER_PYTHON"),
    ] = None,
) -> None:
    """Render objects on tables, with exact depth, masks and canonical coordinates (BOP format).

    The same command goes on where it was stopped. Training data, new views of the same objects,
    and unseen ones:

        dense-desc generate --objects caps --out data/train

        dense-desc generate --objects caps --seed 1 --out data/novel

        dense-desc generate --objects caps --first-instance 100 --seed 2 --out data/unseen

    Several machines share the work by instances: the same command with another --first-instance,
    into the same folder or into folders whose scenes are put together afterwards.
    """
    import sys

    from dense_desc_ros.data.generate import generate as run
    from dense_desc_ros.data.generate_scene import GenerateConfig
    from dense_desc_ros.data.rendering.cycles import CyclesConfig

    config = GenerateConfig(
        objects=objects,
        instances=instances,
        first_instance=first_instance,
        views=views,
        seed=seed,
        renderer=renderer,
        clutter=clutter,
        from_above=from_above,
        split=split,
        size=size,
        mesh_size=mesh_size,
    )
    result = run(config, out, workers, CyclesConfig(blender_python or sys.executable, samples))
    rate = result.frames / result.seconds
    typer.echo(
        f"{out}: {result.frames} frames written in {result.seconds:.1f} s ({rate:.1f} frames/s), "
        f"{result.scenes_kept} scenes were there already; see {out / 'contact_sheet.png'}",
        err=True,
    )
