"""Colour pictures of views by Blender's Cycles, which runs in a process of its own.

Blender's Python module bpy is GPL and large, so it is an extra, possibly of another interpreter:
`cycles_worker.py` is run by that, reads a scene as files and writes pictures.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense_desc_ros.data.images import write_image
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.reading import read_color
from dense_desc_ros.data.rendering.scene import (
    Picture,
    Scene,
    View,
    room_mesh,
    surface_picture,
    table_mesh,
)
from dense_desc_ros.errors import DataError

WORKER = Path(__file__).with_name("cycles_worker.py")
NO_BPY = (
    "{python} has no usable bpy ({reason}): install Blender's module with `pip install bpy==4.2.0` "
    "(Python 3.11), or name an interpreter that has it with --blender-python"
)


@dataclass(frozen=True)
class CyclesConfig:
    """How Cycles renders.

    Attributes:
        python: interpreter that has bpy.
        samples: paths per pixel, before denoising.
    """

    python: str = sys.executable
    samples: int = 16


def check_cycles(config: CyclesConfig) -> None:
    """Raise DataError, which says how to install it, unless the interpreter has bpy."""
    try:
        done = subprocess.run([config.python, "-c", "import bpy"], capture_output=True, text=True)
    except OSError as error:
        raise DataError(NO_BPY.format(python=config.python, reason=error)) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DataError(NO_BPY.format(python=config.python, reason=reason))


def cycles_colors(
    scene: Scene, views: Sequence[View], config: CyclesConfig, threads: int = 0
) -> Iterator[Picture]:
    """The pictures (H, W, 3) RGB of views, one by one as they are ready.

    Args:
        scene: the scene.
        views: its views.
        config: how to render.
        threads: how many Blender uses; 0 is one per core.

    Raises:
        DataError: Blender fails; the message has the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="cycles_") as name:
        folder = Path(name)
        _write(folder, scene, views, config.samples, threads)
        log = folder / "log.txt"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                # -P: this module's name must not hide Blender's own "cycles" from the script.
                [config.python, "-P", str(WORKER), str(folder)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                finished = 0
                for line in process.stdout:  # Blender itself writes there too
                    if line.startswith("RENDERED "):
                        yield read_color(folder / line.split()[1])
                        finished += 1
            finally:
                process.terminate()
        if finished < len(views):
            said = " ".join(log.read_text(errors="replace").split()[-40:])
            raise DataError(f"Cycles rendered {finished} of {len(views)} views: {said}")


def _write(folder: Path, scene: Scene, views: Sequence[View], samples: int, threads: int) -> None:
    """The scene as the worker reads it: scene.json, meshes as NPZ, pictures as PNG."""
    meshes = {"table": (table_mesh(), 0.1), "room": (room_mesh(), 0.0)}
    meshes |= {f"body_{i}": (body.mesh, body.shine) for i, body in enumerate(scene.bodies)}
    for name, (mesh, _) in meshes.items():
        _write_mesh(folder, name, mesh)
    for i, view in enumerate(views):
        write_image(folder / f"table_{i:06d}.png", surface_picture(scene, view.table))
        write_image(folder / f"room_{i:06d}.png", surface_picture(scene, view.room))
    content = {
        "samples": samples,
        "threads": threads,
        "shine": {name: shine for name, (_, shine) in meshes.items()},
        "views": [_view(i, view) for i, view in enumerate(views)],
    }
    (folder / "scene.json").write_text(json.dumps(content))


def _write_mesh(folder: Path, name: str, mesh: Mesh) -> None:
    uv = np.zeros((len(mesh.vertices), 2)) if mesh.uv is None else mesh.uv
    np.savez(
        folder / f"{name}.npz",
        vertices=mesh.vertices.astype(np.float32),
        normals=mesh.normals.astype(np.float32),
        faces=mesh.faces,
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32),  # Blender's v goes up
    )
    if mesh.texture is not None:
        write_image(folder / f"{name}.png", mesh.texture)


def _view(number: int, view: View) -> dict[str, Any]:
    camera = view.camera
    return {
        "picture": f"{number:06d}.png",
        "camera": [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height],
        "T_world_camera": view.T_world_camera.tolist(),
        "poses": [None if pose is None else pose.tolist() for pose in view.poses],
        "lamps": [[*lamp.position, *lamp.color, lamp.radius] for lamp in view.lamps],
        "ambient": view.ambient,
        "table": f"table_{number:06d}.png",
        "room": f"room_{number:06d}.png",
    }
