"""Hours of work in minutes: frames without end and constant calls, and whether memory stays."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.data.messages import stamp_to_ns
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.endurance.control import TIMEOUT, NodeControl
from dense_desc_ros.evaluation.endurance.log import complaints
from dense_desc_ros.evaluation.endurance.memory import Sample, drift, plot, write_samples
from dense_desc_ros.evaluation.node_under_test import NodeUnderTest, node_under_test
from dense_desc_ros.evaluation.walls import Wall
from dense_desc_ros.files import write_atomically
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.nodes.client import frame_messages
from dense_desc_ros.rgbd_frame import RgbdFrame

NETWORK = NetworkConfig("resnet18", 16, 16, input_stride=2)  # small: the node is tested, not it
SIZE = (96, 128)  # px, height and width
MARGIN = 32  # px that the wall is larger
SAME_WALL = 100  # frames before the wall is another one
HOLE = 24  # px, one more block without depth in each frame
CALL_EVERY, BURST_EVERY, RESTART_EVERY, LOOK_EVERY = 4, 50, 250, 150  # frames
BURST = 5  # frames sent at once: most of them are dropped
SEARCHED = (0.1, 0.1, 0.8)  # shares of the frames in which references are searched, and not
STAMP_STEP = 33_000_000  # ns
BORDER = 12  # px that registered points keep away from the border and from holes
LIMIT = 5.0  # percent that memory may change


def soak(
    frames: int = 20000,
    references: int = 50,
    out: Path | None = None,
    seed: int = 0,
) -> dict[str, object]:
    """Run the node on made-up frames and call all of its services meanwhile.

    Frames are sent in step with the answers, some in bursts. The walls they show, the noise and the
    holes change. Every few frames a reference is registered anew, gets another view, is removed and
    made again, grasps are asked for, or parameters are set; now and then the node is deactivated
    and activated, and somebody looks at the pictures.

    Args:
        frames: how many are sent.
        references: how many there are all the time.
        out: folder for memory.csv and memory.png.
        seed: fixes frames and calls.

    Returns:
        What was sent, what became of it, calls and their failures, what the node refused and
        logged, its memory, and whether it `passed`: memory within 5 % and no error.

    Raises:
        DenseDescError: the node does not answer, or so few frames that memory cannot be told.
    """
    with node_under_test(network=NETWORK, min_score=0.2, method="straight", threads=1) as node:
        run = _Soak(node, references, np.random.default_rng(seed))
        start, before = time.monotonic(), len(complaints(node.log))
        try:
            for index in track(range(frames), "frames", console=Console(stderr=True)):
                run.step(index)
            run.finish()
        finally:  # what an interrupted run has seen is worth keeping
            if out is not None:
                write_samples(out / "memory.csv", run.samples)
        values = node.client.values()
        change = drift(run.samples, run.sent)
        if out is not None:
            write_atomically(out / "memory.png", plot(run.samples, change))
        refused = int(values["refused"]) + int(values["requests_refused"])
        lines = complaints(node.log)[before:]
        errors = refused + run.failures.total() + len(lines)
        return {
            "frames_sent": run.sent,
            "processed": int(values["processed"]),
            "dropped": int(values["dropped"]),
            "unsynchronised": int(values["unsynchronised"]),
            "unread": run.sent - int(values["received"]),
            "grasps": run.grasps,
            "refusals": run.refusals,
            "references": int(values["references"]),
            "calls": dict(run.calls),
            "failures": dict(run.failures),
            "errors": errors,
            "log": lines,
            "memory_mb_start": change.start_mb,
            "memory_mb_end": change.end_mb,
            "memory_mb_peak": change.peak_mb,
            "drift_percent": change.percent,
            "seconds": time.monotonic() - start,
            "passed": errors == 0 and abs(change.percent) <= LIMIT,
        }


class _Soak:
    """The camera and the user of the node."""

    def __init__(
        self, node: NodeUnderTest, references: int, generator: np.random.Generator
    ) -> None:
        self._client, self._control = node.client, NodeControl(node.client)
        self._generator, self._start = generator, time.monotonic()
        self._names = [f"reference_{index}" for index in range(references)]
        self._looking: list[object] = []
        self._last: RgbdFrame | None = None
        self._wall = Wall(SIZE, MARGIN)
        self._rota: list[Callable[[], None]] = [
            self._register,
            self._append,
            self._list,
            self._compute,
            self._replace,
            self._set_parameters,
        ]
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.sent = self.grasps = self.refusals = 0

    def step(self, index: int) -> None:
        """Send the next frame, await what is found in it, and do what is due."""
        if index % SAME_WALL == 0:
            self._wall = Wall(SIZE, MARGIN, seed=int(self._generator.integers(1 << 30)))
        self._show()
        if index == 0:
            for name in self._names:
                self._register(name)
        if index % RESTART_EVERY == RESTART_EVERY - 1:
            self._count("lifecycle", self._control.change("deactivate"))
            self._count("lifecycle", self._control.change("activate"))
            self._client.wait_until_connected(TIMEOUT)
            self._show()
        if index % LOOK_EVERY == LOOK_EVERY - 1:
            self._look_or_leave()
        if index % BURST_EVERY == BURST_EVERY - 1:
            for _ in range(BURST):
                self._send()
            self._show()  # what is called next is about the newest frame
        if index % CALL_EVERY == CALL_EVERY - 1:
            self._rota[index // CALL_EVERY % len(self._rota)]()
        self._sample()

    def finish(self) -> None:
        """Wait until the node has told of everything."""
        self._show()
        for _ in range(2):  # the one after the next was certainly made after the last frame
            self._client.state = None
            self._client.wait(lambda: self._client.state is not None, "diagnostics", TIMEOUT)
        self._sample()

    def _send(self) -> RgbdFrame:
        generator = self._generator
        left, top = generator.integers(MARGIN, size=2)
        self.sent += 1
        frame = self._wall.frame(int(left), int(top), generator, self.sent * STAMP_STEP)
        x, y = generator.integers(np.subtract(SIZE, HOLE))
        frame.depth[x : x + HOLE, y : y + HOLE] = np.nan
        self._client.publish(frame_messages(frame))
        return frame

    def _show(self) -> None:
        """Send a frame and await what is found in it; again if it got lost, as another one."""
        end = time.monotonic() + TIMEOUT
        while True:
            self._last = self._send()
            try:
                self._client.wait(self._has_grasps, "grasps", timeout=5.0)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
            else:
                break
        array = self._client.grasps[-1]
        self.grasps += len(array.grasps)
        self.refusals += len(array.refusals)

    def _has_grasps(self) -> bool:
        """Whether those in the newest frame are here."""
        arrays, newest = self._client.grasps, self._last
        return bool(arrays and newest and stamp_to_ns(arrays[-1].header.stamp) == newest.stamp_ns)

    def _call(self, service: str, **request: object) -> None:
        answer = self._client.call(service, TIMEOUT, **request)
        self._count(service, getattr(answer, "success", True), getattr(answer, "message", ""))

    def _count(self, what: str, success: bool, message: str = "") -> None:
        self.calls[what] += 1
        if not success:
            self.failures[f"{what}: {message}"] += 1

    def _register(self, name: str = "", append: bool = False) -> None:
        request = {"name": name or self._any_name(), "pixel": self._any_pixel(), "append": append}
        self._call("register_reference", **request)

    def _append(self) -> None:
        self._register(append=True)

    def _list(self) -> None:
        self._call("list_references")

    def _compute(self) -> None:
        self._call("compute_grasp", names=[self._any_name() for _ in range(3)])

    def _replace(self) -> None:
        name = self._any_name()
        self._call("remove_reference", name=name)
        self._register(name)

    def _set_parameters(self) -> None:
        generator = self._generator
        values = {
            # With "aligned" all are refused at once, for want of keypoints: else most of the time
            # would go into the search for references, which is the same in every frame.
            "method": str(generator.choice(["auto", "straight", "aligned"], p=SEARCHED)),
            "gripper_max_width": 0.08 if generator.random() < 0.5 else 0.0,
            "min_score": float(generator.uniform(0.1, 0.9)),
            "steady": bool(generator.random() < 0.5),
        }
        for result in self._control.set(values):
            self._count("set_parameters", result.successful, result.reason)

    def _look_or_leave(self) -> None:
        ros, name = self._client.node, self._client.name
        if self._looking:
            for subscription in self._looking:
                ros.destroy_subscription(subscription)
            self._looking = []
            return
        kinds = {"heatmaps": Image, "matches": Image, "descriptors": Image, "markers": MarkerArray}
        self._looking = [
            ros.create_subscription(kind, f"{name}/{topic}", lambda _: None, 1)
            for topic, kind in kinds.items()
        ]

    def _any_name(self) -> str:
        return str(self._generator.choice(self._names))

    def _any_pixel(self) -> Pixel:
        """A pixel of the newest frame with depth all around it."""
        assert self._last is not None
        measured = np.isfinite(self._last.depth)
        for _ in range(1000):
            v, u = self._generator.integers(BORDER, np.subtract(SIZE, BORDER))
            if measured[v - BORDER : v + BORDER, u - BORDER : u + BORDER].mean() > 0.9:
                return Pixel(u=float(u), v=float(v))
        raise DenseDescError("the frame has no pixel with depth around it")

    def _sample(self) -> None:
        """Note memory, if there is something new about it."""
        values = self._client.values()
        if not values:
            return
        processed, references = int(values["processed"]), int(values["references"])
        sample = Sample(
            time.monotonic() - self._start,
            self.sent,
            processed,
            references,
            float(values["rss_mb"]),
        )
        if not self.samples or self.samples[-1][2:] != sample[2:]:
            self.samples.append(sample)
