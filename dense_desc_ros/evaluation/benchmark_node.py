"""What the running node adds to its network, and whether its memory stays: measured from outside.

The node is started as on a robot, in a ROS graph of its own, and gets RGB-D frames in step with its
answers. Its own diagnostics tell what each stage took, the bare network forward among them.
"""

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.node_under_test import node_under_test
from dense_desc_ros.evaluation.walls import Wall
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.nodes.client import DescriptorClient
from dense_desc_ros.rgbd_frame import RgbdFrame

WARM_UP = 10  # frames
SCENES = 8  # different pictures, shown in turn
STEP = 8  # px that they are apart
TIMEOUT = 120.0  # s for anything that the node is waited for
STAGES = ("wait", "forward", "matching", "grasp", "messages", "total")


def benchmark_node(
    weights: Path | None,
    references: int = 16,
    frames: int = 100,
    network: NetworkConfig | None = None,
    size: tuple[int, int] = (480, 640),
) -> dict[str, Any]:
    """Measure the node on generated frames of one surface, with references that are all on it.

    Args:
        weights: of the model; None takes random ones.
        references: how many are registered.
        frames: how many are measured, after a few to warm up. Times are medians, over the last
            `nodes.health.TIMED_FRAMES` of them.
        network: to take random weights of; None is the default network.
        size: height and width of the frames.

    Returns:
        `wait_ms` before work on a frame begins, `forward_ms`, `matching_ms`, `grasp_ms`,
        `messages_ms`, and `total_ms` from its arrival until its grasps are published; `overhead`,
        total / forward - 1; `round_trip_ms` from this process and back to it; `memory_mb_start`
        and `memory_mb_end`, resident memory of the node after the warm-up and at the end;
        `grasps`, how many of the references gave one, on average; and `frames`, `references`,
        `threads` and `precision` of the network.

    Raises:
        DenseDescError: unusable weights, or the node does not answer.
    """
    # Whatever is found is grasped, and so takes its time.
    with node_under_test(weights, network, min_score=-100.0) as node:
        return _measure(node.client, references, frames, size)


def _measure(
    client: DescriptorClient, references: int, frames: int, size: tuple[int, int]
) -> dict[str, Any]:
    wall = Wall(size, margin=SCENES * STEP)
    scenes = [
        wall.frame(STEP * (number % 4), STEP * (number // 4), np.random.default_rng(number))
        for number in range(SCENES)
    ]
    _show(client, scenes[0], 0)
    for index in range(references):
        u, v = np.random.default_rng(index).uniform((20, 20), (size[1] - 20, size[0] - 20))
        answer = client.call(
            "register_reference", TIMEOUT, name=f"point_{index}", pixel=Pixel(u=u, v=v)
        )
        if not answer.success:
            raise DenseDescError(f"the node refuses a reference: {answer.message}")
    for index in range(1, WARM_UP):
        _show(client, scenes[index % SCENES], index)
    start = _values_after(client, WARM_UP)
    numbers = range(WARM_UP, WARM_UP + frames)
    shown = [
        _show(client, scenes[index % SCENES], index)
        for index in track(numbers, "frames", console=Console(stderr=True))
    ]
    end = _values_after(client, WARM_UP + frames)

    result = {f"{stage}_ms": float(end[f"{stage}_ms"]) for stage in STAGES}
    return {
        **result,
        "overhead": result["total_ms"] / result["forward_ms"] - 1,
        "round_trip_ms": 1e3 * statistics.median(seconds for seconds, _ in shown),
        "memory_mb_start": float(start["rss_mb"]),
        "memory_mb_end": float(end["rss_mb"]),
        "grasps": statistics.fmean(grasps for _, grasps in shown),
        "frames": frames,
        "references": references,
        "threads": int(end["threads"]),
        "precision": end["precision"],
    }


def _show(client: DescriptorClient, scene: RgbdFrame, index: int) -> tuple[float, int]:
    """Publish a scene as frame `index`; the seconds until its grasps are here, and how many."""
    frame = replace(scene, stamp_ns=(index + 1) * 1_000_000)
    start = time.perf_counter()
    grasps = client.grasps_in(frame, TIMEOUT).grasps
    return time.perf_counter() - start, len(grasps)


def _values_after(client: DescriptorClient, processed: int) -> dict[str, str]:
    """The diagnostics once so many frames are through."""
    client.wait(
        lambda: int(client.values().get("processed", 0)) >= processed, "diagnostics", TIMEOUT
    )
    return client.values()
