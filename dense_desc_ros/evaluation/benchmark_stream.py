"""The node behind a camera faster than its network: what comes to it, how old its answers are."""

import time
from pathlib import Path

import numpy as np

from dense_desc_interfaces.msg import GraspArray
from dense_desc_ros.data.messages import NANOSECONDS, stamp_to_ns
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.benchmark_transport import (
    SENDER_DEPTH,
    answer_of,
    start_process,
    topics_of,
)
from dense_desc_ros.evaluation.node_under_test import node_under_test
from dense_desc_ros.evaluation.transport_ends import QUIET, Sent, send
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.nodes.client import DescriptorClient

WARM_UP = 2  # answers whose age is not counted
COUNTS = ("received", "received_depth", "paired", "dropped", "processed")
TIMEOUT = 60.0  # s


def benchmark_stream(
    weights: Path | None = None,
    frames: int = 600,
    rate: float = 30.0,
    reliable: bool = True,
    network: NetworkConfig | None = None,
) -> dict[str, float]:
    """Send 640x480 frames to the node as a camera driver does, from another process.

    Args:
        weights: of the model; None takes random ones.
        frames, rate: how many, and how many a second.
        reliable: how they are sent; else best-effort.
        network: to take random weights of; None is the default network.

    Returns:
        `sent`; of the node's diagnostics `received` (colour), `received_depth`, `paired`,
        `dropped` (for newer ones), `processed`, `forward_ms`; `lost`, sent but not paired;
        `stamp_age_ms` and `stamp_age_ms_max`, from a frame's stamp until its grasps are here; and
        `stamp_age_forwards`, `stamp_age_forwards_max`, the same as multiples of `forward_ms`.

    Raises:
        DenseDescError: unusable weights, or the node or the sender does not answer.
    """
    with node_under_test(weights, network) as node:
        return watch(
            node.client,
            topics_of(f"{node.client.name.rpartition('/')[0]}/camera"),
            frames,
            rate,
            reliable,
        )


def watch(
    client: DescriptorClient, topics: dict[str, str], frames: int, rate: float, reliable: bool
) -> dict[str, float]:
    """The figures of a running node, see `benchmark_stream`; it gets frames on these topics."""
    ages: list[float] = []

    def remember(grasps: GraspArray) -> None:
        stamp = stamp_to_ns(grasps.header.stamp)
        ages.append((time.monotonic_ns() - stamp) / NANOSECONDS)

    client.node.create_subscription(GraspArray, f"{client.name}/grasps", remember, 10)
    process, sent_by = start_process(send, topics, (reliable, SENDER_DEPTH), frames, rate)
    try:
        client.wait(sent_by.poll, "the frames", frames / rate + 2 * TIMEOUT)
        sent: Sent = answer_of(sent_by, 0)
        values = _settled(client)
    finally:
        process.kill()
        process.join()
    if len(ages) <= WARM_UP:
        raise DenseDescError(f"the node answered {len(ages)} times only: send more frames")
    ages_ms = 1e3 * np.array(ages[WARM_UP:])
    median, worst, forward = float(np.median(ages_ms)), float(ages_ms.max()), values["forward_ms"]
    return {
        "sent": sent.frames,
        **{key: int(values[key]) for key in COUNTS},
        "lost": sent.frames - int(values["paired"]),
        "forward_ms": float(forward),
        "stamp_age_ms": median,
        "stamp_age_ms_max": worst,
        "stamp_age_forwards": median / float(forward),
        "stamp_age_forwards_max": worst / float(forward),
    }


def _settled(client: DescriptorClient) -> dict[str, str]:
    """The node's diagnostics once everything on its way has come and was worked on."""
    quiet = time.monotonic() + QUIET

    def settled() -> bool:
        paired, *done = (int(client.values()[k]) for k in ("paired", "dropped", "processed"))
        return time.monotonic() > quiet and paired == sum(done)

    client.wait(settled, "its last answers", TIMEOUT)
    return client.values()
