"""Everything that may go wrong with what comes in, in any order: and the node goes on."""

import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from dense_desc_ros.evaluation.endurance.log import complaints
from dense_desc_ros.evaluation.endurance.storm_sender import StormSender
from dense_desc_ros.evaluation.node_under_test import NodeUnderTest, node_under_test
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.nodes.health import LOG_EVERY

NETWORK = NetworkConfig("resnet18", 16, 16, input_stride=2)
OLDEST = 600.0  # s: max_frame_age
WARM_UP = 0.1  # share of the messages before memory counts
COMPRESSED = 0.8  # share of the messages after which images are sent compressed
LIMIT = 10.0  # percent that memory may grow


def storm(messages: int = 10000, seed: int = 0) -> dict[str, object]:
    """Send the node what it cannot use, of every kind, mixed with good frames, and count.

    Args:
        messages: frames, requests, parameters, clicks and transitions, bad and good together.
        seed: fixes their order.

    Returns:
        What was `sent`, by kind, and what the node says became of it, see `Accounts.verdict`;
        `good_frames` and those of them `answered` with a grasp; `wrong`, what should have been
        refused and was not, or got no answer; how many lines were logged; memory; files that
        appeared `outside` the folder of references; and whether it all `passed`.

    Raises:
        DenseDescError: the node does not answer.
    """
    start = time.monotonic()
    with node_under_test(
        network=NETWORK, max_frame_age=OLDEST, threads=1, method="straight"
    ) as node:
        sender = StormSender(node.client, np.random.default_rng(seed))
        before, memory = _files(node), sender.memory_mb()
        with Progress(console=Console(stderr=True)) as progress:
            for index in progress.track(range(messages), description="messages"):
                if index == round(WARM_UP * messages):
                    memory = sender.memory_mb()
                if index == round(COMPRESSED * messages):
                    sender.compress()
                sender.step()
        values = sender.finish()
        seconds, lines = time.monotonic() - start, len(complaints(node.log))
        outside = sorted(str(path) for path in _files(node) - before)
    verdict = sender.accounts.verdict(values)
    growth = 100 * (float(values["rss_mb"]) / memory - 1)
    most_lines = len(sender.accounts.sent) * (1 + seconds / LOG_EVERY)
    return {
        "messages": messages,
        **verdict,
        "good_frames": sender.good,
        "answered": sender.answered,
        "wrong": sender.wrong,
        "log_lines": lines,
        "memory_mb_start": memory,
        "memory_mb_end": float(values["rss_mb"]),
        "growth_percent": growth,
        "outside": outside,
        "seconds": seconds,
        "passed": bool(
            not verdict["unexplained"]
            and sender.answered == sender.good
            and not sender.wrong
            and not outside
            and lines <= most_lines
            and growth <= LIMIT
        ),
    }


def _files(node: NodeUnderTest) -> set[Path]:
    """What is in the node's folder, but not in that of the references."""
    return {path for path in node.folder.rglob("*") if node.references not in path.parents}
