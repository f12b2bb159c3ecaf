"""The node is managed by the lifecycle services of ROS 2, and lets go of all that it has."""

import signal
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from forked_node import end
from local_scene import local_model, scene
from managed_node import managed_node
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from dense_desc_interfaces.srv import ComputeGrasp
from dense_desc_ros.nodes import node as node_module
from dense_desc_ros.nodes.client import SERVICES, DescriptorClient, frame_messages
from dense_desc_ros.nodes.node import DescriptorNode

RESULTS = {"grasps", "grasp_poses", "keypoints", "markers", "descriptors", "matches", "heatmaps"}
OFFERS = {*SERVICES, *RESULTS, "/diagnostics"}


@pytest.fixture(scope="module", autouse=True)
def graph() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    local_model().save(path)
    return path


def test_a_node_that_could_not_be_configured_can_be_later(weights: Path, tmp_path: Path) -> None:
    with managed_node(tmp_path) as node:
        assert node.state() == "unconfigured"
        assert not node.change("activate")
        assert not node.change("configure")
        assert node.state() == "unconfigured"
        (line,) = [line for line in (tmp_path / "log").open() if "cannot configure" in line]
        assert "cannot read weights" in line and str(tmp_path) in line
        assert not node.offers() & OFFERS

        (tmp_path / "weights.safetensors").symlink_to(weights)
        # Parameters that only fit together can be set one after another.
        assert node.set_parameter("camera_pose", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).successful
        assert not node.change("configure")
        assert node.set_parameter("base_frame", "base_link").successful
        assert node.change("configure")
        assert not node.set_parameter("base_frame", "map").successful
        assert node.change("activate")
        assert node.client.grasps_in(scene()).header.frame_id == "base_link"


def test_works_only_while_active(weights: Path, tmp_path: Path) -> None:
    with managed_node(tmp_path, weights=weights) as node:
        client = node.client
        node.bring_to("inactive")
        node.wait_for_value("state", "inactive")
        assert client.state is not None
        assert (client.state.level, client.state.message) == (DiagnosticStatus.OK, "inactive")
        assert not node.listens()
        for answer in (client.call("compute_grasp"), node.register("a", 100, 90)):
            assert not answer.success
            assert "not active" in answer.message
        messages = frame_messages(scene())
        messages["image"] = messages.pop("color")
        assert node.register("a", 100, 90, **messages).success
        assert node.names() == ["a"]

        for _ in range(2):
            assert node.change("activate")
            client.wait(node.listens, "subscriptions")
            assert "no frame has been processed" in client.call("compute_grasp").message
            assert [grasp.name for grasp in client.grasps_in(scene()).grasps] == ["a"]
            node.wait_for_value("state", "active")
            assert client.call("compute_grasp").success
            for _ in range(3):  # of these one may be in work
                client.publish(frame_messages(scene()))
            assert node.change("deactivate")
            assert "not active" in client.call("compute_grasp").message
            client.grasps.clear()
            client.wait(lambda: not node.listens(), "no subscriptions")
            node.wait_for_value("state", "inactive")
            assert not client.grasps
            assert node.names() == ["a"]


def test_cleanup_gives_everything_back(weights: Path, tmp_path: Path) -> None:
    other = local_model(seed=1)
    other.save(tmp_path / "other.safetensors")
    with managed_node(tmp_path, weights=weights) as node:
        left = []
        for _ in range(6):
            node.bring_to("active")
            node.client.grasps_in(scene())
            node.client.wait(lambda: node.offers() >= OFFERS, "all offers")
            held = node.resident()
            node.bring_to("unconfigured")
            node.client.wait(lambda: not node.offers() & OFFERS, "no offers")
            assert not node.listens()
            left.append(node.resident())
            assert held - left[-1] > 0.8 * weights.stat().st_size
        # The first rounds also fill what is kept for messages, and what allocators keep.
        assert left[5] < left[2] + 10_000_000

        assert node.set_parameter("weights", str(tmp_path / "other.safetensors")).successful
        node.bring_to("inactive")
        node.wait_for_value("weights_fingerprint", other.fingerprint)


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("unconfigured", signal.SIGTERM),
        ("configuring", signal.SIGTERM),
        ("inactive", signal.SIGINT),
        ("active", signal.SIGTERM),
        ("finalized", signal.SIGINT),
    ],
)
def test_ends_well_in_every_state(
    state: str, number: signal.Signals, weights: Path, tmp_path: Path
) -> None:
    with managed_node(tmp_path, weights=weights) as node:
        if state == "configuring":
            done = node.changing("configure")
            node.client.wait(lambda: "configuring" in node.events or done.done(), "the transition")
        else:
            node.bring_to(state)
        if state == "active":
            node.client.grasps_in(scene())
            node.client.publish(frame_messages(scene()))
            asked = node.client.node.create_client(ComputeGrasp, "/descriptor_node/compute_grasp")
            node.client.wait(asked.service_is_ready, "the service")
            for _ in range(10):  # of these one is in work
                asked.call_async(ComputeGrasp.Request())
        assert end(node.process, number) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_several_nodes_side_by_side(weights: Path, tmp_path: Path) -> None:
    folders = tmp_path / "left", tmp_path / "right"
    for folder in folders:
        folder.mkdir()
    left_names = ("-r", "__ns:=/left", "-r", "__node:=finder")
    right_names = ("-r", "__ns:=/right", "-r", "camera/color/image_raw:=/shared/color/image_raw")
    with (
        managed_node(
            folders[0],
            *left_names,
            name="/left/finder",
            camera="/left/camera",
            weights=weights,
            autostart="true",
        ) as left,
        managed_node(
            folders[1],
            *right_names,
            name="/right/descriptor_node",
            camera="/right/camera",
            weights=weights,
            autostart="true",
        ) as right,
    ):
        assert (left.state(), right.state()) == ("active", "active")
        left.client.grasps_in(scene())
        assert left.register("a", 100, 90).success
        assert (left.names(), right.names()) == (["a"], [])
        assert [grasp.name for grasp in left.client.grasps_in(scene()).grasps] == ["a"]
        assert not right.client.grasps
        message = "waiting: no colour images on /shared/color/image_raw"
        right.client.wait(lambda: getattr(right.client.state, "message", "") == message, message)
        right.bring_to("unconfigured")
        left.client.grasps_in(scene())
        assert left.state() == "active"


def test_a_bug_leaves_the_node_unconfigured_and_empty(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process, since the bug has to be put in."""

    def buggy(*_: object) -> None:
        raise ZeroDivisionError

    node = DescriptorNode()
    own = {"weights": str(weights), "references": str(tmp_path), "threads": 1}
    node.set_parameters([Parameter(name, value=value) for name, value in own.items()])
    try:
        with monkeypatch.context() as patch:
            patch.setattr(node_module, "CameraSubscriptions", buggy)
            assert not node.start()
        assert "in buggy" in capfd.readouterr().err
        assert node.start()
        model = weakref.ref(node.worker.pipeline.model)
        assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
        assert model() is None
    finally:
        node.destroy_node()
    with closing(DescriptorClient("/watcher")) as client:
        ros = client.node
        client.wait(lambda: "descriptor_node" not in ros.get_node_names(), "the end of the node")
