"""The node as a process of its own in a real ROS graph: what it publishes and answers."""

import math
import signal
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from forked_node import end
from geometry_msgs.msg import Point, PointStamped, Pose, PoseArray, Quaternion
from local_scene import CAMERA, DEPTH, HEIGHT, WIDTH, moved, scene
from node_scene import RunningNode, running_node
from rcl_interfaces.srv import DescribeParameters
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from dense_desc_ros.data.messages import image_from_message
from dense_desc_ros.nodes.client import frame_messages
from dense_desc_ros.nodes.conversions import matrix_from_values, pose_matrix
from dense_desc_ros.nodes.parameters import NodeParameters

CAMERA_POSE = [0.4, 0.1, 0.9, 1.0, 0.0, 0.0, 0.0]  # looking straight down
T_base_camera = matrix_from_values(CAMERA_POSE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, base_frame="base_link", camera_pose=CAMERA_POSE) as node:
        yield node
        assert end(node.process, signal.SIGINT) == 0


@pytest.fixture
def node(running: RunningNode) -> RunningNode:
    """The running node, without references, after it has seen the scene unmoved."""
    running.clear()
    running.client.grasps_in(scene())
    return running


@pytest.fixture
def straight(node: RunningNode) -> Iterator[RunningNode]:
    """The running node, looking for the point alone: then places are exact."""
    with node.having("method", "straight"):
        yield node


def in_base(u: float, v: float) -> np.ndarray:
    point = CAMERA.back_project((u, v), DEPTH)
    return T_base_camera[:3, :3] @ point + T_base_camera[:3, 3]


def xyz(point: Point) -> list[float]:
    return [point.x, point.y, point.z]


@pytest.mark.parametrize(
    ("method", "pixels", "metres"), [("auto", 0.6, 2e-3), ("straight", 1e-4, 1e-4)]
)
def test_finds_what_was_registered_where_it_moved_to(
    node: RunningNode, method: str, pixels: float, metres: float
) -> None:
    places = {"left": (100, 80), "right": (150, 110)}
    for name, at in places.items():
        answer = node.register(name, *at)
        assert answer.success, answer.message
        assert answer.point.header.frame_id == "camera_optical"
        assert xyz(answer.point.point) == pytest.approx(CAMERA.back_project(at, DEPTH), abs=1e-4)

    with node.having("method", method):
        grasps = node.client.grasps_in(scene(dx=24, dy=-16))
    assert grasps.header.frame_id == "base_link"
    assert not grasps.refusals
    assert [grasp.name for grasp in grasps.grasps] == ["left", "right"]
    for grasp in grasps.grasps:
        u, v = places[grasp.name][0] + 24, places[grasp.name][1] - 16
        assert (grasp.pixel.u, grasp.pixel.v) == pytest.approx((u, v), abs=pixels)
        assert grasp.score == pytest.approx(1, abs=1e-2)
        assert xyz(grasp.point) == pytest.approx(in_base(u, v), abs=metres)
        assert xyz(grasp.pose.pose.position) == pytest.approx(in_base(u, v), abs=metres)
        assert grasp.pose.header == grasps.header
        assert math.isnan(grasp.opening_width)
        # The wall faces the camera: the approach is the camera's axis, straight down.
        assert pose_matrix(grasp.pose.pose)[:3, 2] == pytest.approx([0, 0, -1], abs=10 * metres)
        assert grasp.scale == pytest.approx(1, abs=0.01)
        if method == "auto":
            assert grasp.method == "registered" and 40 < grasp.inliers <= 48
            assert 0 < grasp.spread_px < 2
        else:
            assert (grasp.method, grasp.inliers) == ("straight", 1)
            assert grasp.spread_px > 0
        # On a wall that faces the camera the one follows from the other, but for the slope of rays.
        assert grasp.spread == pytest.approx(grasp.spread_px * DEPTH / CAMERA.fx, rel=0.1)


def test_a_click_registers_and_those_who_look_see_the_gripper_there(node: RunningNode) -> None:
    ros, shown = node.client.node, []
    looking = ros.create_subscription(
        MarkerArray, "/descriptor_node/markers", lambda array: shown.extend(array.markers), 10
    )
    clicks = ros.create_publisher(PointStamped, "/clicked_point", 1)
    node.client.wait(clicks.get_subscription_count, "the node to listen to clicks")
    x, y, z = in_base(100, 80)
    header = Header(frame_id="base_link")
    clicks.publish(PointStamped(header=header, point=Point(x=x, y=y, z=z)))
    node.client.wait(lambda: node.names() == ["clicked_1"], "the click to be registered")

    def labels() -> list[Any]:
        node.client.grasps_in(scene())
        return [marker for marker in shown if marker.ns == "label"]

    node.client.wait(labels, "markers")
    label = labels()[-1]
    assert label.text.startswith("clicked_1 (registered)")
    assert label.header.frame_id == "base_link"
    assert xyz(label.pose.position)[:2] == pytest.approx([x, y], abs=0.02)  # right above
    ros.destroy_subscription(looking)
    ros.destroy_publisher(clicks)


@pytest.mark.parametrize("degrees", [20, 90, 180])
def test_a_turned_object_gives_a_turned_grasp(node: RunningNode, degrees: float) -> None:
    node.register("a", 110, 90)
    (before,) = node.client.grasps_in(scene()).grasps
    (after,) = node.client.grasps_in(scene(degrees=degrees)).grasps
    about_axis = np.eye(4)
    about_axis[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    expected = (
        T_base_camera @ about_axis @ np.linalg.inv(T_base_camera) @ pose_matrix(before.pose.pose)
    )
    turned = pose_matrix(after.pose.pose)
    np.testing.assert_allclose(turned[:3, :3], expected[:3, :3], atol=0.03)
    # With random weights: see `local_model`.
    assert xyz(after.point) == pytest.approx(in_base(*moved((110, 90), degrees=degrees)), abs=0.015)


def test_lists_and_removes(node: RunningNode) -> None:
    node.register("a", 100, 90)
    node.register("b", 110, 90, opening_width=0.06)
    a, b = node.client.call("list_references").references
    assert (a.name, a.views, a.has_grasp) == ("a", 1, False)
    assert math.isnan(a.opening_width)
    assert (b.name, b.opening_width) == ("b", pytest.approx(0.06))
    assert node.client.call("remove_reference", name="a").success
    assert node.names() == ["b"]
    assert not (node.folder / "references" / "a.safetensors").exists()
    assert [grasp.name for grasp in node.client.grasps_in(scene()).grasps] == ["b"]


def test_computes_grasps_on_request(node: RunningNode) -> None:
    node.register("a", 100, 90)
    node.register("b", 140, 100)
    newest = scene(dx=8)
    node.client.grasps_in(newest)
    both = node.client.call("compute_grasp")
    assert both.success, both.message
    assert [grasp.name for grasp in both.grasps.grasps] == ["a", "b"]
    one = node.client.call("compute_grasp", names=["b", "b"])
    assert [grasp.name for grasp in one.grasps.grasps] == ["b"]
    assert one.grasps.header.frame_id == "base_link"
    stamp = one.grasps.header.stamp
    assert stamp.sec * 1_000_000_000 + stamp.nanosec == newest.stamp_ns
    assert one.grasps.grasps[0].pixel.u == pytest.approx(148, abs=0.6)


def test_appends_a_view(node: RunningNode) -> None:
    node.register("a", 100, 90)
    node.client.grasps_in(scene(dx=52, dy=8))
    assert node.register("a", 152, 98, append=True).message == "a is registered with 2 views"
    assert [info.views for info in node.client.call("list_references").references] == [2]
    noise = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    node.client.grasps_in(scene(image=noise))
    message = node.register("a", 152, 98, append=True).message
    assert message.startswith("a is registered with 3 views; its surroundings are too unlike")
    assert node.register("a", 150, 100).message == "a is registered with 1 view"


def test_gives_the_taught_grasp(straight: RunningNode) -> None:
    node = straight
    half_turn = Quaternion(x=0.0, y=0.0, z=math.sqrt(0.5), w=math.sqrt(0.5))
    taught = Pose(position=Point(x=0.0, y=0.02, z=-0.1), orientation=half_turn)
    node.register("a", 100, 80, has_grasp=True, grasp=taught, opening_width=0.05)
    assert node.client.call("list_references").references[0].has_grasp
    (grasp,) = node.client.grasps_in(scene(dx=12)).grasps
    straight = np.eye(4)
    straight[:3, 3] = CAMERA.back_project((112, 80), DEPTH)
    expected = T_base_camera @ straight @ pose_matrix(taught)
    np.testing.assert_allclose(pose_matrix(grasp.pose.pose), expected, atol=1e-4)
    assert xyz(grasp.point) == pytest.approx(in_base(112, 80), abs=1e-4)
    assert grasp.opening_width == pytest.approx(0.05)


def test_registers_on_a_picture_in_the_request(node: RunningNode) -> None:
    other = scene(dx=20, dy=20)
    messages = frame_messages(other)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[90:120, 100:140] = 1
    request = {**messages, "image": messages["color"]}
    del request["color"]
    mask_message = Image(height=HEIGHT, width=WIDTH, encoding="mono8", step=WIDTH)
    mask_message.data.frombytes(mask.tobytes())
    answer = node.register("a", 120, 100, **request, mask=mask_message)
    assert answer.success, answer.message
    assert answer.point.header == messages["color"].header
    (grasp,) = node.client.grasps_in(scene()).grasps
    assert grasp.method == "registered"
    assert (grasp.pixel.u, grasp.pixel.v) == pytest.approx((100, 80), abs=1)
    with node.having("method", "straight"):
        (grasp,) = node.client.grasps_in(scene()).grasps
    assert (grasp.pixel.u, grasp.pixel.v) == (100, 80)


def test_publishes_poses_and_pictures_for_whoever_wants_them(node: RunningNode) -> None:
    node.register("a", 100, 90)
    ros, seen = node.client.node, {}
    subscriptions = [
        ros.create_subscription(
            kind, f"/descriptor_node/{name}", lambda m, name=name: seen.update({name: m}), 1
        )
        for name, kind in (("grasp_poses", PoseArray), ("descriptors", Image), ("matches", Image))
    ]
    frame = scene()

    def all_seen() -> bool:
        node.client.publish(frame_messages(frame))
        return len(seen) == 3

    node.client.wait(all_seen, "poses and pictures")
    for subscription in subscriptions:
        ros.destroy_subscription(subscription)
    assert seen["grasp_poses"].header.frame_id == "base_link"
    assert xyz(seen["grasp_poses"].poses[0].position) == pytest.approx(in_base(100, 90), abs=2e-3)
    for name in ("descriptors", "matches"):
        picture = image_from_message(seen[name])
        assert picture.shape == frame.image.shape
        assert seen[name].header.frame_id == "camera_optical"
    assert 0 < np.mean(image_from_message(seen["matches"]) != frame.image) < 0.3


def test_parameters_change_while_it_runs(straight: RunningNode) -> None:
    node = straight
    node.register("a", 100, 90)
    hidden = scene(image=np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
    with node.having("min_score", 0.9999):
        refusals = node.client.grasps_in(hidden).refusals
    assert [refusal.name for refusal in refusals] == ["a"]
    assert "min_score" in refusals[0].reason
    with node.having("min_score", -100.0), node.having("max_instances", 3):
        assert len(node.client.grasps_in(scene()).grasps) == 3

    raised = [*CAMERA_POSE[:2], 1.9, *CAMERA_POSE[3:]]
    assert node.set_parameter("camera_pose", raised).successful
    (grasp,) = node.client.grasps_in(scene()).grasps
    assert xyz(grasp.point) == pytest.approx(in_base(100, 90) + [0, 0, 1], abs=1e-4)
    assert node.set_parameter("camera_pose", CAMERA_POSE).successful


def test_a_grasp_outside_the_workspace_is_refused(node: RunningNode) -> None:
    node.register("a", 100, 90)
    x, y, z = in_base(100, 90)
    with node.having("workspace", [x - 0.1, y - 0.1, z - 0.1, x + 0.1, y + 0.1, z + 0.1]):
        assert len(node.client.grasps_in(scene()).grasps) == 1
    with node.having("workspace", [x - 0.1, y + 0.1, z - 0.1, x + 0.1, y + 0.2, z + 0.1]):
        arrays = node.client.grasps_in(scene()), node.client.call("compute_grasp").grasps
    for array in arrays:
        assert not array.grasps
        assert array.refusals[0].reason.startswith("out of the workspace: (")
        assert array.refusals[0].score == pytest.approx(1, abs=0.01)
    (grasp,) = node.client.grasps_in(scene()).grasps  # everywhere again
    assert xyz(grasp.point) == pytest.approx((x, y, z), abs=2e-3)


def test_a_grasp_that_the_gripper_does_not_fit_is_refused(node: RunningNode) -> None:
    node.register("a", 100, 90, has_grasp=True, grasp=Pose(position=Point(z=0.03)))
    (refusal,) = node.client.grasps_in(scene()).refusals
    assert refusal.reason.startswith("too wide")
    with node.having("gripper_max_width", 0.0):
        (grasp,) = node.client.grasps_in(scene()).grasps
    assert grasp.pose.pose.position.z == pytest.approx(in_base(100, 90)[2] - 0.03, abs=2e-3)


def test_steady_poses_follow_slowly(node: RunningNode) -> None:
    node.register("a", 100, 90)
    with node.having("steady", True):
        node.client.grasps_in(scene())
        (steadied,) = node.client.grasps_in(scene(dx=3)).grasps
        (asked,) = node.client.call("compute_grasp").grasps.grasps
    first, second = in_base(100, 90), in_base(103, 90)
    assert xyz(asked.point) == pytest.approx(second, abs=2e-3)
    assert xyz(steadied.point) == pytest.approx((first + second) / 2, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("autostart", False, "read-only"),
        ("weights", "other.safetensors", "deactivate and clean up first"),
        ("threads", 2, "deactivate and clean up first"),
        ("base_frame", "map", "deactivate and clean up first"),
        ("camera_pose", [], "deactivate and clean up first"),
        ("min_score", 2.0, "range"),
        ("min_score", "high", "type"),
        ("method", "guess", "unknown method 'guess'"),
        ("approach", "sideways", "unknown approach 'sideways'"),
        ("steady", "yes", "type"),
        ("min_scale", 1.5, "range"),
        ("max_scale", 0.9, "range"),
        ("workspace", [0.0, 0.0, 0.0], "least x, y, z, then the greatest"),
        ("workspace", [0.0, 0.0, 1.0, 1.0, 1.0, 0.0], "least x, y, z, then the greatest"),
        ("workspace", [0.0, 0.0, math.nan, 1.0, 1.0, 1.0], "least x, y, z, then the greatest"),
        ("workspace", "everywhere", "type"),
        ("gripper_max_width", -0.1, "range"),
        ("gripper_finger_width", 0.0, "range"),
        ("gripper_palm_height", 2.0, "range"),
        ("max_instances", 0, "range"),
        ("sync_slop", -0.1, "range"),
        ("camera_pose", [0.0, 0.0, 1.0], "seven finite numbers"),
        ("camera_pose", [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], "length 1"),
        ("camera_pose", [math.nan, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], "finite"),
    ],
)
def test_unusable_parameters_are_refused(
    node: RunningNode, name: str, value: Any, reason: str
) -> None:
    result = node.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason


def test_parameters_describe_themselves(node: RunningNode) -> None:
    ros = node.client.node
    service = ros.create_client(DescribeParameters, "/descriptor_node/describe_parameters")
    names = ["autostart", "min_score", "max_instances"]
    names += [item.name for item in fields(NodeParameters) if item.name not in names]
    future = service.call_async(DescribeParameters.Request(names=names))
    node.client.wait(future.done, "descriptions")
    autostart, min_score, max_instances, *_ = future.result().descriptors
    assert [descriptor.name for descriptor in future.result().descriptors] == names
    assert all(descriptor.description for descriptor in future.result().descriptors)
    assert autostart.read_only and not min_score.read_only
    assert min_score.floating_point_range[0].from_value == -100.0
    assert min_score.floating_point_range[0].to_value == 1.0
    assert max_instances.integer_range[0].from_value == 1


def test_diagnostics_tell_how_it_is_doing(node: RunningNode) -> None:
    node.register("a", 100, 90)
    node.client.grasps_in(scene())
    node.wait_for_value("references", "1")
    state, values = node.client.state, node.client.values()
    assert state is not None
    assert (state.level, state.message) == (DiagnosticStatus.OK, "working")
    assert state.hardware_id == values["device"] == "cpu"
    for stage in ("wait", "messages", "forward", "matching", "grasp", "total"):
        assert float(values[f"{stage}_ms"]) >= 0
    assert float(values["total_ms"]) > float(values["forward_ms"]) > 0
    assert float(values["rss_mb"]) > 50
    assert int(values["received"]) >= int(values["processed"]) > 0
    assert {"dropped", "unsynchronised", "refused", "last_error"} <= values.keys()
    assert len(values["weights_fingerprint"]) == 64
    assert values["threads"] == "1"
    assert values["state"] == "active"


def test_only_the_newest_pair_is_worked_on(node: RunningNode) -> None:
    def value(key: str) -> int:
        return int(node.client.values()[key])

    node.client.wait(lambda: node.client.state is not None, "diagnostics")
    before = value("dropped")

    def dropped() -> bool:
        node.client.publish(frame_messages(scene()))
        return value("dropped") > before + 5

    node.client.wait(dropped, "dropped frames")
    last = scene(dx=4)
    assert node.client.grasps_in(last).header.stamp == frame_messages(last)["color"].header.stamp
