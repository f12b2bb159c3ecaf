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

WARM_UP = 2  # answers before frames are counted
COUNTS = ("received", "received_depth", "paired", "dropped", "processed")
TIMEOUT = 300.0  # s


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
    ages: dict[int, float] = {}

    def remember(grasps: GraspArray) -> None:
        stamp = stamp_to_ns(grasps.header.stamp)
        ages[stamp] = (time.monotonic_ns() - stamp) / NANOSECONDS

    client.node.create_subscription(GraspArray, f"{client.name}/grasps", remember, 10)
    process, sent_by = start_process(send, topics, (reliable, SENDER_DEPTH), frames, rate)
    try:
        client.wait(lambda: len(ages) > WARM_UP, "its first answers", TIMEOUT)
        sent_by.send("found")
        before = _settled(client)
        sent_by.send("begin")
        client.wait(sent_by.poll, "the frames", frames / rate + TIMEOUT)
        sent: Sent = answer_of(sent_by, 0)
        values = _settled(client)
    finally:
        process.kill()
        process.join()
    counts = {key: int(values[key]) - int(before[key]) for key in COUNTS}
    late = [1e3 * age for stamp, age in ages.items() if stamp >= sent.first]
    if not late:
        raise DenseDescError("the node did not answer")
    median, worst, forward = float(np.median(late)), max(late), float(values["forward_ms"])
    return {
        "sent": sent.frames,
        **counts,
        "lost": sent.frames - counts["paired"],
        "forward_ms": forward,
        "stamp_age_ms": median,
        "stamp_age_ms_max": worst,
        "stamp_age_forwards": median / forward,
        "stamp_age_forwards_max": worst / forward,
    }


def _settled(client: DescriptorClient) -> dict[str, str]:
    """The node's diagnostics once everything on its way has come and was worked on."""
    quiet = time.monotonic() + QUIET

    def settled() -> bool:
        values = client.values()
        if "paired" not in values:  # its first grasps may be here before it tells of frames
            return False
        paired, *done = (int(values[k]) for k in ("paired", "dropped", "processed"))
        return time.monotonic() > quiet and paired == sum(done)

    client.wait(settled, "its last answers", TIMEOUT)
    return client.values()
