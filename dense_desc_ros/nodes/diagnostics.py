"""The node's state on /diagnostics, once a second."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from dense_desc_ros.nodes.frame_worker import FrameWorker
from dense_desc_ros.nodes.rates import WINDOW, Counts, Rates
from dense_desc_ros.nodes.synchronizer import SynchronizerCounts

PERIOD = 1.0  # s
SILENCE = 5.0  # s without a message after which an input counts as silent
LISTED_PROBLEMS = 10
LATE = 95  # percentile of the latencies that a limit is for: single late frames are no trouble


class InputWatch:
    """Notices inputs that nothing comes from.

    Args:
        complaints: field of SynchronizerCounts -> what to say when it stands still.
        counts: so far.
    """

    def __init__(self, complaints: Mapping[str, str], counts: SynchronizerCounts) -> None:
        self._complaints = complaints
        self._counts = {key: getattr(counts, key) for key in complaints}
        self._moved = dict.fromkeys(complaints, -SILENCE)

    def complaint(self, counts: SynchronizerCounts, now: float) -> str:
        """About the first input that has been silent for SILENCE seconds, or ""."""
        for key in self._complaints:
            if (count := getattr(counts, key)) != self._counts[key]:
                self._counts[key], self._moved[key] = count, now
        silent = (key for key in self._complaints if now - self._moved[key] >= SILENCE)
        return self._complaints.get(next(silent, ""), "")


class Diagnostics:
    """Publishes the state of the node, and logs what it waits for.

    Args:
        node: publishes.
        worker: what to report of.
        constants: values that do not change.
    """

    def __init__(self, node: Node, worker: FrameWorker, constants: Mapping[str, str]) -> None:
        self._node, self._worker, self._constants = node, worker, constants
        self._topics: Mapping[str, str] = {}
        self._inputs: InputWatch | None = None  # while no frames are expected
        self._start = 0.0
        self._rates = Rates()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady time, since that of a simulation or a recording may stand still.
        self._timer = node.create_timer(
            PERIOD, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Publish nothing any more."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    @contextmanager
    def expecting_frames(self, topics: Mapping[str, str]) -> Iterator[None]:
        """The node is active as long as this lasts, and silent inputs are worth a complaint.

        Args:
            topics: full names under "color", "depth", "camera_info" and, if needed, "depth_info".
        """
        complaints = {
            "color": f"no colour images on {topics['color']}",
            "depth": f"no depth images on {topics['depth']}",
            "paired": "no colour and depth image have stamps within sync_slop of each other",
        }
        self._topics = topics
        self._inputs = InputWatch(complaints, self._worker.synchronizer.counts)
        self._rates = Rates()
        self._start = time.monotonic()
        try:
            yield
        finally:
            self._inputs = None

    def _publish(self) -> None:
        counts = self._worker.synchronizer.counts
        processed = self._worker.health.frames
        self._rates.note(
            time.monotonic(), Counts(counts.color, counts.paired, counts.dropped, processed)
        )
        level, message = self._state(counts)
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()}: frames to grasps",
            message=message,
            hardware_id=self._constants["device"],
            values=[KeyValue(key=k, value=v) for k, v in self._values(counts).items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _state(self, counts: SynchronizerCounts) -> tuple[bytes, str]:
        if self._inputs is not None:
            if waiting := self._waiting(self._inputs, counts):
                return DiagnosticStatus.WARN, f"waiting: {waiting}"
            if error := self._worker.health.error:
                return DiagnosticStatus.ERROR, error
            if problem := self._worker.pose_problem:
                return DiagnosticStatus.WARN, problem
            if excess := self._excess():
                return DiagnosticStatus.WARN, excess
        if problems := list(self._worker.pipeline.store.problems.values()):
            return DiagnosticStatus.WARN, f"{len(problems)} unusable references: {problems[0]}"
        return DiagnosticStatus.OK, "working" if self._inputs else "inactive"

    def _excess(self) -> str:
        """What is beyond its limit, or ""."""
        health, limits = self._worker.health, self._worker.parameters
        if 0 < limits.warn_latency < (late := health.latency(LATE)):
            return (
                f"late: {100 - LATE} % of the grasps come {late:.2f} s after their frame or later, "
                f"warn_latency is {limits.warn_latency:g} s: set largest_side, use a GPU or a "
                "smaller model, or register less"
            )
        if (dropped := self._rates.dropped) > limits.warn_dropped:
            return (
                f"{dropped:.0%} of the frames of {WINDOW:g} s were dropped for newer ones, "
                f"warn_dropped is {limits.warn_dropped:.0%}: lower the rate of the camera, or set "
                "largest_side"
            )
        if (invalid := health.invalid_depth) > limits.warn_invalid_depth:
            return (
                f"{invalid:.0%} of the pixels have no depth, warn_invalid_depth is "
                f"{limits.warn_invalid_depth:.0%}: check the depth camera, its range, and its "
                "alignment to colour"
            )
        return ""

    def _waiting(self, inputs: InputWatch, counts: SynchronizerCounts) -> str:
        """What is waited for, or ""; logged if it does not come soon."""
        now = time.monotonic()
        waiting = inputs.complaint(counts, now)
        for key in ("camera_info", "depth_info"):
            if not waiting and key in self._topics and not getattr(counts, key):
                waiting = f"no camera_info on {self._topics[key]}"
        late = waiting and now - self._start > SILENCE
        if late and self._worker.health.worth_logging(waiting):
            self._node.get_logger().warning(f"waiting: {waiting}")
        return waiting

    def _values(self, counts: SynchronizerCounts) -> dict[str, str]:
        store = self._worker.pipeline.store
        problems = sorted(store.problems.items())
        return {
            "state": "active" if self._inputs else "inactive",
            "received": str(counts.color),
            "received_depth": str(counts.depth),
            "received_camera_info": str(counts.camera_info),
            "received_depth_info": str(counts.depth_info),
            "paired": str(counts.paired),
            "dropped": str(counts.dropped),
            "unsynchronised": str(counts.unsynchronised),
            "input_hz": f"{self._rates.input_hz:.2f}",
            "output_hz": f"{self._rates.output_hz:.2f}",
            "dropped_share": f"{self._rates.dropped:.3f}",
            "invalid_depth_share": f"{self._worker.health.invalid_depth:.3f}",
            **self._worker.health.values(),
            "references": str(len(store)),
            "reference_problems": str(len(problems)),
            **{f"reference_problem.{name}": text for name, text in problems[:LISTED_PROBLEMS]},
            "rss_mb": f"{_resident_bytes() / 1e6:.1f}",
            **self._constants,
        }


def _resident_bytes() -> int:
    """Memory of this process that is in use, as the kernel counts it."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
