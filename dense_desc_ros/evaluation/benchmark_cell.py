"""How fast the simulated cell is while the node that sees works on its frames, on this machine."""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dense_desc_ros.data.messages import NANOSECONDS, stamp_to_ns
from dense_desc_ros.evaluation.picks.teaching import Click
from dense_desc_ros.sim.anatomy import TAUGHT

CATEGORY, UNSEEN = "caps", 100


def benchmark_cell(weights: Path, seconds: float = 30.0, rate: float = 6.0) -> dict[str, Any]:
    """Count what the cell and the node publish, both and the node that picks being processes.

    Args:
        weights: of the model; it looks for one reference.
        seconds: how long to count.
        rate: frames that the cell is to publish in a simulated second.

    Returns:
        `frames_per_s` of the cell, 640x480 RGB-D with noise; `answers_per_s` of the node, which
        leaves out the frames that come while it works; `real_time_factor`, simulated seconds in a
        second.

    Raises:
        DenseDescError: this machine cannot render, unusable weights, or a node does not answer.
    """
    from sensor_msgs.msg import CameraInfo

    from dense_desc_interfaces.msg import GraspArray
    from dense_desc_ros.nodes.cell_graph import running_cell

    stamps: list[int] = []
    answers: list[bytes] = []
    with (
        tempfile.TemporaryDirectory(prefix="benchmark_cell_") as folder,
        running_cell(weights, Path(folder), {"frame_rate": rate}) as user,
    ):
        user.wait_until_connected()
        user.reset(seed=0, category=CATEGORY, first=UNSEEN)
        frame, T_base_camera = user.see()
        (there,) = user.objects()
        point = there.points[next(iter(TAUGHT[CATEGORY]))]
        pixel = frame.camera.project((np.linalg.inv(T_base_camera) @ np.append(point, 1))[:3])
        user.register("here", Click(pixel, np.eye(4)), math.nan)
        node = user.client.node
        for watched in list(node.subscriptions):  # counting shall cost nothing
            node.destroy_subscription(watched)
        node.create_subscription(
            CameraInfo,
            "/camera/color/camera_info",
            lambda info: stamps.append(stamp_to_ns(info.header.stamp)),
            10,
        )
        node.create_subscription(
            GraspArray, f"{user.client.name}/grasps", answers.append, 10, raw=True
        )
        user.client.wait(lambda: bool(stamps and answers), "frames and answers")
        stamps.clear()
        answers.clear()
        start = time.monotonic()
        user.client.wait(lambda: time.monotonic() - start >= seconds, "the end", 2 * seconds)
        elapsed = time.monotonic() - start
    return {
        "frames_per_s": len(stamps) / elapsed,
        "answers_per_s": len(answers) / elapsed,
        "real_time_factor": (stamps[-1] - stamps[0]) / NANOSECONDS / elapsed if stamps else 0.0,
        "asked_frames_per_simulated_s": rate,
        "seconds": elapsed,
    }
