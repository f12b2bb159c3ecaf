"""How the node starts, what it keeps when it is killed, and how it ends."""

import dataclasses
import signal
import threading
import time
from pathlib import Path

import pytest
import rclpy
import yaml
from forked_node import end
from local_scene import local_model, scene
from node_scene import pixel, running_node
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from dense_desc_ros.nodes.client import (
    CAMERA_TOPICS,
    DescriptorClient,
    frame_messages,
    start_node,
)
from dense_desc_ros.nodes.descriptor_node import main
from dense_desc_ros.nodes.node import DescriptorNode
from dense_desc_ros.nodes.parameters import NodeParameters


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    local_model().save(path)
    return path


def test_acknowledged_references_survive_a_kill(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.client.grasps_in(scene())
        acknowledged = []
        for index in range(30):
            assert node.register(f"point_{index}", 80 + index, 90).success
            acknowledged.append(f"point_{index}")
        service = node.client._services["register_reference"]
        for index in range(30, 40):  # these are under way when the end comes
            request = service.srv_type.Request(name=f"point_{index}", pixel=pixel(100, 90))
            service.call_async(request)
        node.process.kill()
        node.process.join()
    with running_node(tmp_path) as node:
        names = node.names()
        assert set(acknowledged) <= set(names)
        node.wait_for_value("references", str(len(names)))
        assert node.client.values()["reference_problems"] == "0"
        found = node.client.grasps_in(scene(dx=4)).grasps
        assert {grasp.name for grasp in found} == set(names)
        assert end(node.process, signal.SIGTERM) == 0


def test_waits_for_a_camera_whatever_its_reliability(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        messages = frame_messages(scene())
        del messages["camera_info"]

        def complains() -> bool:
            node.client.publish(messages)
            return node.client.state is not None and "no camera_info" in node.client.state.message

        node.client.wait(complains, "a complaint")
        answer = node.client.call("compute_grasp")
        assert not answer.success
        assert "no frame has been processed yet" in answer.message

        ros = node.client.node
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        publishers = {
            key: ros.create_publisher(kind, f"/camera/{topic}", best_effort)
            for key, (topic, kind) in CAMERA_TOPICS.items()
        }

        def found() -> bool:
            for key, message in frame_messages(scene()).items():
                publishers[key].publish(message)
            return len(node.client.grasps) > 0

        node.client.wait(found, "grasps from best-effort topics")
        assert end(node.process, signal.SIGINT) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_at_once_in_the_middle_of_loading(
    number: signal.Signals, weights: Path, tmp_path: Path
) -> None:
    node = start_node({"weights": weights, "references": tmp_path}, stderr=-1)
    maps = Path(f"/proc/{node.pid}/maps")
    end = time.monotonic() + 60
    while "libtorch" not in maps.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    node.send_signal(number)
    assert node.communicate(timeout=30) == (None, "")
    assert node.returncode == 0


def test_bugs_are_answered_and_survived(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process, since the bugs have to be put in."""

    def buggy(*_: object, **__: object) -> None:
        raise ZeroDivisionError("x" * 1000)

    rclpy.init(args=["--ros-args", "-p", f"weights:={weights}", "-p", f"references:={tmp_path}"])
    node, client = DescriptorNode(), DescriptorClient()
    assert node.start()
    pipeline = node.worker.pipeline
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        client.wait_until_connected()
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "process", buggy)
            patch.setattr(pipeline.store, "remove", buggy)

            def counted() -> bool:
                client.publish(frame_messages(scene()))
                return client.values().get("refused.internal", "0") > "0"

            client.wait(counted, "a refused frame")
            answer = client.call("remove_reference", name="a")
        assert not answer.success
        for text in (answer.message, client.values()["last_error"]):
            assert text.startswith("internal error: ZeroDivisionError")
            assert len(text) < 400
        assert capfd.readouterr().err.count("in buggy") == 2  # one for each kind, with traceback
        client.grasps_in(scene())
    finally:
        executor.shutdown()
        thread.join()
        node.release()
        node.destroy_node()
        client.close()
        rclpy.try_shutdown()


UNUSABLE = {
    "no weights": ([], "weights"),
    "missing weights": (["weights:=/nowhere.safetensors"], "cannot read weights"),
    "type": (["weights:={weights}", "min_score:=high"], "min_score"),
    "range": (["weights:={weights}", "min_score:=2.0"], "min_score"),
    "method": (["weights:={weights}", "method:=guess"], "unknown method 'guess'"),
    "workspace": (["weights:={weights}", "workspace:=[0.0, 0.0, 0.0]"], "workspace"),
    "gripper": (["weights:={weights}", "gripper_palm_width:=0.0"], "gripper_palm_width"),
    "device": (["weights:={weights}", "device:=abacus"], "abacus"),
    "references": (["weights:={weights}", "references:={weights}"], "reference folder"),
    "pose without frame": (
        ["weights:={weights}", "camera_pose:=[0.0,0.0,1.0,0.0,0.0,0.0,1.0]"],
        "base_frame",
    ),
    "pose": (
        ["weights:={weights}", "base_frame:=base", "camera_pose:=[1.0, 2.0]"],
        "seven finite numbers",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_says_in_one_line_why_it_cannot_start(
    name: str, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parameters, words = UNUSABLE[name]
    arguments = ["descriptor_node", "--ros-args", "-p", f"references:={tmp_path}"]
    for parameter in parameters:
        arguments += ["-p", parameter.format(weights=weights)]
    assert main(arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_the_parameter_file_says_what_is_the_default() -> None:
    path = Path(__file__).resolve().parents[1] / "config" / "descriptor_node.yaml"
    (section,) = yaml.safe_load(path.read_text()).values()
    said = section["ros__parameters"]
    expected = dataclasses.asdict(NodeParameters())
    assert said.items() <= expected.items()
    # What has no value there can only be left out.
    assert {name for name in expected if name not in said} <= {
        "weights",
        "base_frame",
        "camera_pose",
        "depth_pose",
        "workspace",
    }


@pytest.mark.parametrize("text", ["a: [b: {", "/**: {ros__parameters: 3}", None])
def test_refuses_a_bad_parameter_file(
    text: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "parameters.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["descriptor_node", "--ros-args", "--params-file", str(path)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


def test_truncated_weights_end_the_process_with_code_2(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:100_000])
    node = start_node({"weights": tmp_path / "cut.safetensors"}, stderr=-1)
    error = node.communicate(timeout=60)[1]
    assert node.returncode == 2
    assert error.count("\n") == 1
    assert "cut.safetensors" in error
