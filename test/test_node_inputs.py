"""What cameras really send: one scene in many forms, cameras that change, and hostile messages."""

import array
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from camera_forms import (
    ALIGNED,
    COLOR,
    COMPRESSED,
    DEPTH_INFO,
    DEPTH_POSE,
    FORMS,
    INFO,
    MOVE,
    POINT,
    SHRUNK,
    UNALIGNED,
    Messages,
    Sender,
    big,
    encoded,
    image,
    in_big,
    jpeg,
    plain,
    stamped,
    unaligned,
    uv,
    xyz,
)
from local_scene import CAMERA, DEPTH, local_model, scene
from managed_node import ManagedNode, managed_node
from rosgraph_msgs.msg import Clock

from dense_desc_ros.nodes import transforms
from dense_desc_ros.nodes.parameters import NodeParameters


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """A camera of a node that looks for "a", registered in the plain scene."""
    folder = tmp_path_factory.mktemp("node")
    local_model().save(folder / "weights.safetensors")
    rclpy.init()
    try:
        with managed_node(folder, autostart="true", method="straight") as node:
            sender = Sender(node)
            sender.grasps_in(scene())
            assert node.register("a", *POINT).success
            yield sender
            assert node.state() == "active"
            assert "Traceback" not in (folder / "log").read_text()
    finally:
        rclpy.try_shutdown()


@contextmanager
def having(node: ManagedNode, parameters: dict[str, Any]) -> Iterator[None]:
    """The node active with other parameters than usual for a while."""

    def set_all(values: dict[str, Any]) -> None:
        if values:
            assert node.change("deactivate")
            for name, value in values.items():
                result = node.set_parameter(name, value)
                assert result.successful, result.reason
            assert node.change("activate")

    usual = {name: getattr(NodeParameters(), name) for name in parameters}
    set_all(parameters)
    try:
        yield
    finally:
        set_all({name: [] if value == () else value for name, value in usual.items()})


@pytest.mark.parametrize("name", FORMS)
def test_one_scene_in_many_forms_gives_one_grasp(camera: Sender, name: str) -> None:
    form, node = FORMS[name], camera.node
    moved = np.add(POINT, MOVE)
    with having(node, form.parameters):
        # A pixel of the picture as it was sent becomes a point ...
        camera.grasps_in(scene(), form.send)
        answer = node.register("b", *form.place(POINT))
        assert answer.success, answer.message
        assert xyz(answer.point.point) == pytest.approx(CAMERA.back_project(POINT, DEPTH), abs=1e-3)

        # ... and the other way round.
        grasps = camera.grasps_in(scene(*MOVE), form.send)
        found = {grasp.name: grasp for grasp in grasps.grasps}
        assert "b" in found
        if "mono8" in name:  # too little of what was registered in colour
            found.pop("a", None)
        else:
            assert "a" in found
        for grasp in found.values():
            assert uv(grasp.pixel) == pytest.approx(form.place(moved), abs=1.2 * form.pixel_width)
            position = xyz(grasp.pose.pose.position)
            assert position == pytest.approx(CAMERA.back_project(moved, DEPTH), abs=4e-3)
        assert node.client.call("remove_reference", name="b").success


@pytest.mark.parametrize("name", ["distorted", "big"])
def test_registers_on_such_a_picture_in_the_request(camera: Sender, name: str) -> None:
    form, node = FORMS[name], camera.node
    frame = scene(*MOVE)
    messages = stamped(frame, form.send(frame))
    u, v = form.place(np.add(POINT, MOVE))
    request = {
        "image": messages[COLOR],
        "depth": messages[ALIGNED],
        "camera_info": messages[INFO],
    }
    size = (request["image"].height, request["image"].width)
    mask = np.zeros(size, np.uint8)
    reach = 12 * form.pixel_width
    mask[int(v - reach) : int(v + reach), int(u - reach) : int(u + reach)] = 1
    with having(node, form.parameters):
        for wrong in (mask[::2, ::2], mask.T):
            answer = node.register("b", u, v, **request, mask=image(wrong.copy(), "mono8"))
            assert not answer.success
            assert f"the image is {size[1]}x{size[0]}" in answer.message
        answer = node.register("b", u - 2 * reach, v, **request, mask=image(mask, "mono8"))
        assert "outside the mask" in answer.message
        answer = node.register("b", size[1] + 1, v, **request)
        assert f"outside the image of {size[1]}x{size[0]}" in answer.message
        answer = node.register("b", u, v, **request, mask=image(mask, "mono8"))
        assert answer.success, answer.message
    for grasp in camera.grasps_in(scene()).grasps:
        assert uv(grasp.pixel) == pytest.approx(POINT, abs=1.2), grasp.name
    assert node.client.call("remove_reference", name="b").success


def test_a_camera_that_switches_restarts_and_jumps_in_time(camera: Sender) -> None:
    node = camera.node
    with having(node, SHRUNK):
        camera.grasps_in(scene())
        small_info = plain(scene())[INFO]

        def late_info() -> Messages:
            frame = scene(*MOVE)
            messages = stamped(frame, big(frame))
            return {INFO: small_info, COLOR: messages[COLOR], ALIGNED: messages[ALIGNED]}

        camera.wait_until_refused("size", "camera_info is for 256x192", late_info)
        (grasp,) = camera.grasps_in(scene(*MOVE), big).grasps
        assert uv(grasp.pixel) == pytest.approx(in_big(np.add(POINT, MOVE)), abs=6)

        camera.close()  # gone, and back with the old resolution and clock
        for stamp_ns in (90_000_000_000_000, 5_000_000, 90_000_000_000_000, 4_000_000):
            (grasp,) = camera.grasps_in(scene(stamp_ns=stamp_ns)).grasps
            assert uv(grasp.pixel) == pytest.approx(POINT, abs=1.2)


def test_simulated_time_counts_and_may_start_over(camera: Sender) -> None:
    node = camera.node
    clock = node.client.node.create_publisher(Clock, "/clock", 1)
    for name, value in (("use_sim_time", True), ("max_frame_age", 60.0)):
        assert node.set_parameter(name, value).successful

    def frame_at(seconds: int, now: int) -> Messages:
        clock.publish(Clock(clock=Time(sec=now)))
        frame = scene(stamp_ns=seconds * 1_000_000_000)
        return stamped(frame, plain(frame))

    def is_accepted(seconds: int) -> bool:
        camera.send(frame_at(seconds, seconds))
        return any(array.header.stamp.sec == seconds for array in node.client.grasps)

    try:
        node.client.wait(clock.get_subscription_count, "the node to listen to the clock")
        camera.wait_until_refused("stale", "s old", lambda: frame_at(1000, 5000))
        node.client.wait(lambda: is_accepted(5000), "grasps at the time of the clock")
        camera.wait_until_refused("stale", "in the future", lambda: frame_at(5000, 1000))
        node.client.wait(lambda: is_accepted(1000), "grasps after the clock was set back")
    finally:
        node.client.node.destroy_publisher(clock)
        for name, value in (("use_sim_time", False), ("max_frame_age", 0.0)):
            assert node.set_parameter(name, value).successful
    camera.grasps_in(scene())


def claimed(data: bytes, width: int, height: int) -> bytes:
    """A PNG that says that it has another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


HUGE = 2**31
PNG = encoded(np.full((4, 4), 800, np.uint16))
HOSTILE = {  # kind, words, form, topic, fields of its message
    "raw colour": ("color", "more than", "plain", COLOR, {"width": HUGE, "height": HUGE}),
    "raw depth": ("depth", "more than", "plain", ALIGNED, {"width": 60_000, "height": 60_000}),
    "steps": ("depth", "holds", "plain", ALIGNED, {"step": 2**32 - 1}),
    "intrinsics": (
        "size",
        "for 4294967295x4294967295",
        "unaligned",
        INFO,
        {
            "width": 2**32 - 1,
            "height": 2**32 - 1,
        },
    ),
    "intrinsics of depth": (
        "size",
        "for 4294967295x1",
        "unaligned",
        DEPTH_INFO,
        {
            "width": 2**32 - 1,
            "height": 1,
        },
    ),
    "bent intrinsics": (
        "size",
        "for 4294967295x9",
        "distorted",
        INFO,
        {
            "width": 2**32 - 1,
            "height": 9,
        },
    ),
    "lens": ("camera_info", "'bent' is not known", "distorted", INFO, {"distortion_model": "bent"}),
    "lens of no numbers": ("camera_info", "finite", "distorted", INFO, {"d": [np.nan]}),
    "PNG as colour": (
        "color",
        "more than",
        "JPEG and inverse depth",
        f"{COLOR}/compressed",
        {
            "data": array.array("B", claimed(encoded(np.zeros((4, 4, 3), np.uint8)), 5000, 5000)),
        },
    ),
    "PNG as depth": (
        "depth",
        "more than",
        "JPEG and inverse depth",
        f"{ALIGNED}/compressedDepth",
        {
            "data": array.array("B", bytes(12) + claimed(PNG, 5000, 5000)),
        },
    ),
    "JPEG cut short": (
        "color",
        "damaged",
        "JPEG and inverse depth",
        f"{COLOR}/compressed",
        {
            "data": array.array("B", jpeg(scene())[f"{COLOR}/compressed"].data[:3000]),
        },
    ),
    "colour as depth": (
        "depth",
        "expected",
        "JPEG and inverse depth",
        f"{ALIGNED}/compressedDepth",
        {
            "format": "jpeg",
        },
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_cost_no_more_than_a_count(camera: Sender, name: str) -> None:
    kind, words, form_name, topic, changes = HOSTILE[name]
    form, node = FORMS[form_name], camera.node
    with having(node, form.parameters):
        camera.grasps_in(scene(), form.send)
        before = node.resident()

        def hostile() -> Messages:
            frame = scene()
            messages = stamped(frame, form.send(frame))
            for key, value in changes.items():
                setattr(messages[topic], key, value)
            return messages

        camera.wait_until_refused(kind, words, hostile)
        assert node.resident() < before + 100_000_000
        camera.grasps_in(scene(), form.send)


def test_inputs_change_while_the_node_is_not_active(camera: Sender) -> None:
    node = camera.node
    for name, value in (UNALIGNED | COMPRESSED).items():
        result = node.set_parameter(name, value)
        assert not result.successful
        assert result.reason.endswith("to change it, deactivate first"), name
    assert node.change("deactivate")
    for name, value, reason in (
        ("color_transport", "theora", "raw or compressed, got 'theora'"),
        ("depth_transport", "compressed", "raw or compressedDepth, got 'compressed'"),
        ("depth_pose", [0.0, 0.0], "seven finite numbers"),
        ("largest_side", -1, "range"),
    ):
        result = node.set_parameter(name, value)
        assert not result.successful
        assert reason in result.reason
    assert node.change("activate")
    assert len(camera.grasps_in(scene()).grasps) == 1


@pytest.mark.skipif(transforms.tf2_ros is not None, reason="tf2 may tell where the camera is")
def test_depth_from_nobody_knows_where_is_refused(camera: Sender) -> None:
    node = camera.node
    assert node.change("deactivate")
    assert node.set_parameter("aligned_depth", False).successful
    assert not node.change("activate")
    (line,) = [line for line in (node.folder / "log").open() if "cannot activate" in line]
    assert "depth_pose, or install tf2_ros" in line
    assert node.set_parameter("depth_pose", DEPTH_POSE).successful
    assert node.change("activate")
    farther = [*DEPTH_POSE[:2], DEPTH_POSE[2] + 0.2, *DEPTH_POSE[3:]]
    for pose, added in ((DEPTH_POSE, 0.0), (farther, 0.2)):  # which may change at any time
        assert node.set_parameter("depth_pose", pose).successful
        (grasp,) = camera.grasps_in(scene(), unaligned).grasps
        assert grasp.point.z == pytest.approx(DEPTH + added, abs=3e-3)
    assert node.change("deactivate")
    for name, value in (("aligned_depth", True), ("depth_pose", [])):
        assert node.set_parameter(name, value).successful
    assert node.change("activate")


def test_topics_are_remapped_by_their_base_names(tmp_path: Path, camera: Sender) -> None:
    names = ("-r", "__ns:=/other", "-r", "camera/color/image_raw:=/shared/picture")
    weights = camera.node.folder / "weights.safetensors"
    with managed_node(
        tmp_path, *names, name="/other/descriptor_node", weights=weights, **COMPRESSED
    ) as node:
        node.bring_to("active")
        for topic in (
            "/shared/picture/compressed",
            "/other/camera/aligned_depth_to_color/image_raw/compressedDepth",
        ):
            node.client.wait(partial(node.client.node.count_subscribers, topic), topic)
