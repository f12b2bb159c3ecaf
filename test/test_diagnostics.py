"""What /diagnostics tell: rates, percentiles, shares, errors with their age; and when they warn."""

import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from local_scene import DEPTH, HEIGHT, WIDTH, local_model, scene
from managed_node import ManagedNode, managed_node

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.nodes.client import frame_messages
from dense_desc_ros.nodes.health import FrameTimes, Health
from dense_desc_ros.nodes.rates import Counts, Rates


def times(total: float) -> FrameTimes:
    return FrameTimes(0.001, 0.002, total / 2, total / 4, total / 8, total)


def test_percentiles_are_those_of_the_last_frames() -> None:
    health = Health()
    for milliseconds in range(1, 101):
        health.processed(times(milliseconds / 1000), invalid_depth=milliseconds / 200)
    values = health.values()
    assert float(values["total_ms"]) == pytest.approx(50.5)
    assert float(values["total_p95_ms"]) == pytest.approx(95.05)
    assert float(values["total_p99_ms"]) == pytest.approx(99.01)
    assert float(values["forward_p95_ms"]) == pytest.approx(95.05 / 2, abs=0.01)
    assert health.latency(95) == pytest.approx(0.09505)
    assert health.invalid_depth == pytest.approx(0.2525)
    for _ in range(300):
        health.processed(times(0.01), invalid_depth=0.0)
    assert health.latency(99) == pytest.approx(0.01) and health.invalid_depth == 0


def test_errors_have_an_age_and_requests_are_counted_apart() -> None:
    now = 100.0
    health = Health(lambda: now)
    assert "last_error_age_s" not in health.values()
    assert health.refused("color", "no picture")
    now = 107.5
    health.requested()
    assert health.request_refused("register", "no name")
    assert not health.request_refused("register", "no name")  # worth no second line so soon
    now = 110.0
    values = health.values()
    assert (values["last_error"], values["last_error_age_s"]) == ("no name", "2.5")
    assert health.error == "no picture"  # of the newest frame
    assert (values["refused"], values["refused.color"]) == ("1", "1")
    assert (values["requests"], values["requests_refused.register"]) == ("1", "2")


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates()
    assert rates.input_hz == rates.output_hz == rates.dropped == 0
    for second in range(31):  # 30 a second, of which 6 are worked on; from the 16th on none come
        n = min(second, 15)
        rates.note(100.0 + second, Counts(30 * n, 30 * n, 24 * n, 6 * n))
        if second == 15:
            assert (rates.input_hz, rates.output_hz) == (30, 6)
            assert rates.dropped == pytest.approx(0.8)
        if second == 20:
            assert rates.input_hz == 15
    assert rates.input_hz == rates.output_hz == rates.dropped == 0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedNode]:
    folder = tmp_path_factory.mktemp("node")
    local_model().save(folder / "weights.safetensors")
    rclpy.init()
    with managed_node(folder, autostart="true") as node:
        node.client.wait_until_connected()
        node.client.grasps_in(scene())
        yield node
    rclpy.try_shutdown()


def warns(node: ManagedNode, words: str) -> bool:
    state = node.client.state
    return state is not None and state.level == DiagnosticStatus.WARN and words in state.message


def test_the_running_node_tells_what_it_is_asked_for(node: ManagedNode) -> None:
    start = time.monotonic()
    while time.monotonic() - start < 2.5:
        node.client.grasps_in(scene())
    assert not node.register("../x", 100, 90).success
    node.client.wait(
        lambda: node.client.values().get("requests_refused.register") == "1", "the request counted"
    )
    values = node.client.values()
    assert values["last_error"].startswith("reference name '../x'")
    assert 0 <= float(values["last_error_age_s"]) < 5
    rates = float(values["input_hz"]), float(values["output_hz"])
    assert rates[0] > 0 and rates[1] == pytest.approx(rates[0], abs=1)  # all but those in work
    for stage in ("wait", "messages", "forward", "matching", "grasp", "total"):
        median, late, latest = (float(values[f"{stage}{p}_ms"]) for p in ("", "_p95", "_p99"))
        assert 0 <= median <= late <= latest
    assert float(values["invalid_depth_share"]) == 0
    assert values["weights"].endswith("weights.safetensors")
    assert len(values["weights_fingerprint"]) == 64
    assert (values["device"], values["threads"]) == ("cpu", "1")
    model = DescriptorModel.load(values["weights"], "cpu")
    assert values["precision"] == model.precision  # of what this processor computes in


def test_it_warns_of_what_is_beyond_a_limit_and_not_before(node: ManagedNode) -> None:
    half = np.full((HEIGHT, WIDTH), DEPTH, np.float32)
    half[: HEIGHT * 3 // 5] = np.nan

    def with_little_depth() -> bool:
        node.client.grasps_in(scene(depth=half))
        return float(node.client.values()["invalid_depth_share"]) == pytest.approx(0.6, abs=0.01)

    node.client.wait(with_little_depth, "the median to change", timeout=60)
    assert node.client.state.level == DiagnosticStatus.OK
    with node.having("warn_invalid_depth", 0.5):
        node.client.wait(lambda: warns(node, "60% of the pixels have no depth"), "a warning")
    with node.having("warn_latency", 1e-4):
        node.client.wait(lambda: warns(node, "5 % of the grasps come"), "a warning")

    def with_too_many_frames() -> bool:
        with suppress(RuntimeError):  # the transport may refuse some of so many: asked again
            for _ in range(5):
                node.client.publish(frame_messages(scene()))
        return warns(node, "were dropped for newer ones")

    with node.having("warn_dropped", 0.1):
        node.client.wait(with_too_many_frames, "a warning")
    node.client.wait(lambda: node.client.state.level == DiagnosticStatus.OK, "no warning")
