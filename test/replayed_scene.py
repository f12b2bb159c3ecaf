"""Recordings of the local scene, and replays of them whose errors are known."""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from bag_scene import whole, write_ros2
from local_scene import local_model, moved, scene

from dense_desc_ros.cli import main
from dense_desc_ros.rgbd_frame import RgbdFrame

STEP_NS = 200_000_000
POINT, OTHER = (120, 100), (180, 60)
FRAMES = 16
# The scene stays for four frames, then moves on by whole features.
SHIFTS = [(4 * (n // 4), -4 * (n // 4)) for n in range(FRAMES)]
HIDDEN = 5  # the frame in which noise hides the scene


def recorded(frames: int = FRAMES) -> list[RgbdFrame]:
    views = [scene(*shift, stamp_ns=(n + 10) * STEP_NS) for n, shift in enumerate(SHIFTS[:frames])]
    noise = np.random.default_rng(1).integers(0, 256, views[0].image.shape, dtype=np.uint8)
    views[HIDDEN] = replace(views[HIDDEN], image=noise)
    return views


def write_bag(path: Path, frames: int = FRAMES) -> Path:
    return write_ros2(path, whole(recorded(frames)))


def truth_of(**points: tuple[float, float]) -> dict[str, dict[int, Any]]:
    """Where points of frame 0 are in all frames, as in a file for `--truth`."""
    return {
        name: {
            n: None if n == HIDDEN else moved(point, *shift).tolist()
            for n, shift in enumerate(SHIFTS)
        }
        for name, point in points.items()
    }


def run(
    bag: Path, out: Path, clicks: Mapping[str, tuple[float, float]], truth: Any, *arguments: object
) -> Path:
    """`dense-desc replay` in this process, with what was clicked on frame 0; returns its folder."""
    weights, truth_file = bag.parent / "weights.safetensors", bag.parent / f"{out.name}.yaml"
    if not weights.is_file():
        local_model().save(weights)
    truth_file.write_text(yaml.safe_dump(truth))
    registered = [f"--register={name}=0:{u},{v}" for name, (u, v) in clicks.items()]
    given = ["--weights", weights, "--out", out, "--device", "cpu", "--method", "straight"]
    given += ["--truth", truth_file, "--json", *registered, *arguments]
    code, _, said = call("replay", bag, *given)
    assert code == 0, said
    return out


def call(*arguments: object) -> tuple[Any, str, str]:
    """`dense-desc` in this process: its exit code, and what it printed on both outputs."""
    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["dense-desc", *map(str, arguments)]),
        redirect_stdout(printed),
        redirect_stderr(said),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return stop.value.code, printed.getvalue(), said.getvalue()
