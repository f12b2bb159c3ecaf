"""Nothing that comes in brings the node down: each kind of error is answered, counted, survived."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, Pose, Quaternion
from local_scene import CAMERA, HEIGHT, WIDTH, local_model, scene
from node_scene import RunningNode, running_node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_ros.nodes.client import frame_messages
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.references import Reference

HOLE = (slice(20, 50), slice(20, 50))
Messages = dict[str, Any]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A running node that has seen the scene, with references in its folder that it cannot use."""
    folder = tmp_path_factory.mktemp("node")
    other = local_model(seed=1)
    store = ReferenceStore(folder / "references", other.fingerprint)
    descriptors = other.describe(scene().image).sample([(100, 80)])
    stored = store.add(Reference("of_other_weights", descriptors, other.fingerprint))
    (folder / "references" / "truncated.safetensors").write_bytes(stored.to_bytes()[:-7])
    with running_node(folder) as node:
        depth = scene().depth.copy()
        depth[HOLE] = np.nan
        node.client.grasps_in(scene(depth=depth))
        yield node


def image_of(array: np.ndarray, encoding: str) -> Image:
    height, width = array.shape[:2]
    message = Image(height=height, width=width, encoding=encoding, step=array.strides[0])
    message.data.frombytes(array.tobytes())
    return message


def changed(key: str, **fields: Any) -> Callable[[Messages], None]:
    """A damage: fields of one message are set to these values."""

    def damage(messages: Messages) -> None:
        for field, value in fields.items():
            setattr(messages[key], field, value)

    return damage


def with_depth(depth: np.ndarray, encoding: str) -> Callable[[Messages], None]:
    """A damage: another depth image."""

    def damage(messages: Messages) -> None:
        header = messages["depth"].header
        messages["depth"] = image_of(depth, encoding)
        messages["depth"].header = header

    return damage


BAD_FRAMES = {
    "colour of an unknown encoding": ("color", changed("color", encoding="bayer_rggb8"), "bayer"),
    "colour without an encoding": ("color", changed("color", encoding=""), "encoding ''"),
    "colour that is too short": ("color", changed("color", height=HEIGHT + 1), "bytes of data"),
    "colour with a step too small": ("color", changed("color", step=WIDTH), "step"),
    "empty colour": ("color", changed("color", height=0, width=0), "empty"),
    "depth of an unknown encoding": ("depth", changed("depth", encoding="rgb8"), "32FC1"),
    "depth of another size": (
        "size",
        with_depth(np.full((HEIGHT // 2, WIDTH // 2), 800, np.uint16), "16UC1"),
        "registered",
    ),
    "depth without any value": (
        "no_depth",
        with_depth(np.full((HEIGHT, WIDTH), np.nan, np.float32), "32FC1"),
        "depth camera",
    ),
    "zero focal length": ("camera_info", changed("camera_info", k=np.zeros(9)), "calibrated"),
    "intrinsics that are not numbers": (
        "camera_info",
        changed("camera_info", k=np.full(9, np.nan)),
        "finite",
    ),
    "intrinsics of another size": ("size", changed("camera_info", width=1280), "1280"),
}


def refused(node: RunningNode, kind: str) -> int:
    """How many frames were refused for this reason, as far as diagnostics were published."""
    return int(node.client.values().get(f"refused.{kind}", 0))


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_are_refused(node: RunningNode, name: str) -> None:
    kind, damage, words = BAD_FRAMES[name]
    before = refused(node, kind)

    def counted() -> bool:
        messages = frame_messages(scene())
        damage(messages)
        node.client.publish(messages)
        return refused(node, kind) > before

    node.client.wait(counted, f"a refused frame ({kind})")
    state, values = node.client.state, node.client.values()
    assert state is not None and state.level == DiagnosticStatus.ERROR
    assert words in state.message and words in values["last_error"]
    node.client.publish({"camera_info": frame_messages(scene())["camera_info"]})
    assert node.client.grasps_in(scene()).header.frame_id == "camera_optical"


def test_text_that_is_none_is_refused(node: RunningNode) -> None:
    before = refused(node, "color")

    def counted() -> bool:
        messages = frame_messages(scene())
        data = serialize_message(messages["color"])
        node.client.publish({**messages, "color": data.replace(b"rgb8", b"\xff\xfe\xfd\xfc")})
        return refused(node, "color") > before

    node.client.wait(counted, "a refused frame")
    node.client.grasps_in(scene())


def test_messages_that_end_too_early_are_survived(node: RunningNode) -> None:
    data = serialize_message(frame_messages(scene())["color"])
    for length in (0, 3, 4, 30, 60, len(data) - 1):
        node.client.publish({"color": data[:length]})
    node.client.grasps_in(scene())


def test_level_returns_to_normal_after_an_error(node: RunningNode) -> None:
    broken = frame_messages(scene())
    broken["color"].encoding = ""

    def shows(level: bytes, messages: Messages) -> bool:
        node.client.publish(messages)
        return node.client.state is not None and node.client.state.level == level

    node.client.wait(lambda: shows(DiagnosticStatus.ERROR, broken), "the error")
    # Not OK, since there are references that cannot be used.
    node.client.wait(lambda: shows(DiagnosticStatus.WARN, frame_messages(scene())), "no error")


def test_images_out_of_step_are_counted(node: RunningNode) -> None:
    node.client.wait(lambda: node.client.state is not None, "diagnostics")
    before = int(node.client.values()["unsynchronised"])

    def counted() -> bool:
        late = frame_messages(scene(stamp_ns=scene().stamp_ns + 30_000_000))
        node.client.publish({"color": frame_messages(scene())["color"], "depth": late["depth"]})
        return int(node.client.values()["unsynchronised"]) > before

    node.client.wait(counted, "unsynchronised images")
    node.client.grasps_in(scene())


def test_stale_images_are_refused(node: RunningNode) -> None:
    assert node.set_parameter("max_frame_age", 60.0).successful
    try:

        def counted() -> bool:
            node.client.publish(frame_messages(scene()))
            return refused(node, "stale") > 0

        node.client.wait(counted, "a stale frame")
        now = node.client.node.get_clock().now().nanoseconds
        node.client.grasps_in(scene(stamp_ns=now))
    finally:
        assert node.set_parameter("max_frame_age", 0.0).successful


GOOD = {"name": "good", "pixel": (100, 90)}
BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "name"),
    "name with a slash": ({"name": "../../etc/passwd"}, "name"),
    "name with a dot": ({"name": "a.b"}, "name"),
    "name that is too long": ({"name": "a" * 65}, "name"),
    "name that is not ASCII": ({"name": "tasse_größe"}, "name"),
    "name of an unusable file": ({"name": "truncated"}, "Remove it first"),
    "pixel outside": ({"pixel": (WIDTH, 10)}, "outside"),
    "negative pixel": ({"pixel": (-1, 10)}, "outside"),
    "pixel that is no number": ({"pixel": (math.nan, 10)}, "outside"),
    "pixel without depth": ({"pixel": (35, 35)}, "no depth"),
    "mask of another size": (
        {"mask": image_of(np.ones((4, 4), np.uint8), "mono8")},
        "mask",
    ),
    "mask without the pixel": (
        {"mask": image_of(np.tri(HEIGHT, WIDTH, 4, dtype=np.uint8), "mono8")},
        "outside the mask",
    ),
    "mask of another encoding": (
        {"mask": image_of(np.ones((HEIGHT, WIDTH, 3), np.uint8), "rgb8")},
        "mask",
    ),
    "grasp without a rotation": (
        {"has_grasp": True, "grasp": Pose(orientation=Quaternion(w=0.0))},
        "length 1",
    ),
    "grasp that is no number": (
        {"has_grasp": True, "grasp": Pose(orientation=Quaternion(x=math.nan))},
        "finite",
    ),
    "grasp in millimetres": (
        {"has_grasp": True, "grasp": Pose(position=Point(z=-20.0))},
        "give it in metres",
    ),
    "negative opening": ({"opening_width": -0.1}, "opening width"),
    "infinite opening": ({"opening_width": math.inf}, "opening width"),
    "image without depth": ({"image": image_of(np.ones((4, 4, 3), np.uint8), "rgb8")}, "together"),
    "image of another encoding": (
        {
            "image": image_of(np.ones((HEIGHT, WIDTH, 3), np.uint8), "bayer_rggb8"),
            "depth": image_of(np.ones((HEIGHT, WIDTH), np.uint16), "16UC1"),
            "camera_info": CameraInfo(width=WIDTH, height=HEIGHT, k=CAMERA.matrix.ravel()),
        },
        "bayer",
    ),
    "image without intrinsics": (
        {
            "image": image_of(np.ones((HEIGHT, WIDTH, 3), np.uint8), "rgb8"),
            "depth": image_of(np.ones((HEIGHT, WIDTH), np.uint16), "16UC1"),
            "camera_info": CameraInfo(width=WIDTH, height=HEIGHT),
        },
        "focal length",
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_registrations_are_answered(node: RunningNode, name: str) -> None:
    change, words = BAD_REQUESTS[name]
    depth = scene().depth.copy()
    depth[HOLE] = np.nan
    node.client.grasps_in(scene(depth=depth))
    request = {**GOOD, **change}
    u, v = request.pop("pixel")
    answer = node.register(request.pop("name"), u, v, **request)
    assert not answer.success
    assert words in answer.message
    assert node.names() == []


def test_unknown_names_are_answered(node: RunningNode) -> None:
    for service, request in (
        ("remove_reference", {"name": "nothing"}),
        ("remove_reference", {"name": "../weights"}),
        ("compute_grasp", {"names": ["nothing"]}),
        ("compute_grasp", {"names": ["of_other_weights"]}),
    ):
        answer = node.client.call(service, **request)
        assert not answer.success
        assert answer.message
    assert "other weights" in answer.message
    assert (node.folder / "weights.safetensors").exists()


def test_unusable_references_are_reported_and_can_be_removed(node: RunningNode) -> None:
    node.wait_for_value("reference_problems", "2")
    values = node.client.values()
    assert "other weights" in values["reference_problem.of_other_weights"]
    assert "truncated" in values["reference_problem.truncated"]
    # What an earlier test did wrong may be told a while longer.
    node.client.wait(
        lambda: "2 unusable references" in getattr(node.client.state, "message", ""), "the message"
    )
    for name in ("of_other_weights", "truncated"):
        assert node.client.call("remove_reference", name=name).success
    node.wait_for_value("reference_problems", "0")
    assert node.register("truncated", 100, 90).success
