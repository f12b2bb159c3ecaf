"""What others can do to the node: its SROS 2 policy is exact, and what it takes is bounded."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rclpy
from forked_node import forked_node
from local_scene import HEIGHT, WIDTH, local_model, scene
from managed_node import ManagedNode, managed_node

from dense_desc_ros.errors import InvalidInputError, ReferenceStoreError
from dense_desc_ros.files import LEFTOVER, LEFTOVER_AGE
from dense_desc_ros.nodes.client import frame_messages
from dense_desc_ros.nodes.frames import UnusableFrameError, read_frame
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.synchronizer import RgbdMessages
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

POLICY = Path(__file__).resolve().parents[1] / "config" / "sros2" / "descriptor_node.policy.xml"
ENCLAVE, NODE = "/descriptor_node", "descriptor_node"
OF_TF2 = {"/tf", "/tf_static"}  # which is not among the wheels, so that nobody listens to them here
KINDS = [
    ("topics", "publish"),
    ("topics", "subscribe"),
    ("services", "reply"),
    ("services", "request"),
]


def allowed(kind: str, action: str) -> set[str]:
    """Full names that the policy allows."""
    profile = ElementTree.parse(POLICY).getroot().find(f".//enclave[@path='{ENCLAVE}']//profile")
    assert profile is not None and profile.attrib == {"ns": "/", "node": NODE}
    expressions = profile.findall(f"{kind}[@{action}='ALLOW']/{kind[:-1]}")
    return {_full(expression.text or "") for expression in expressions}


def _full(name: str) -> str:
    name = name.replace("~", f"/{NODE}", 1) if name.startswith("~") else name
    return name if name.startswith("/") else f"/{name}"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedNode]:
    folder = tmp_path_factory.mktemp("node")
    local_model().save(folder / "weights.safetensors")
    rclpy.init()
    with managed_node(folder, use_sim_time="true") as node:
        node.bring_to("active")
        yield node
    rclpy.try_shutdown()


@pytest.mark.parametrize(("kind", "action"), KINDS)
def test_the_policy_is_what_the_node_has(node: ManagedNode, kind: str, action: str) -> None:
    ros = node.client.node
    has = {
        "publish": ros.get_publisher_names_and_types_by_node,
        "subscribe": ros.get_subscriber_names_and_types_by_node,
        "reply": ros.get_service_names_and_types_by_node,
        "request": ros.get_client_names_and_types_by_node,
    }[action]

    def names() -> set[str]:
        return {name for name, _ in has(NODE, "/")}

    expected = allowed(kind, action) - OF_TF2
    try:
        node.client.wait(lambda: names() == expected, "its part in the graph", timeout=20)
    except TimeoutError:
        assert names() == expected


def test_the_policy_denies_nothing_and_has_no_wildcard() -> None:
    text = POLICY.read_text()
    assert "DENY" not in text and "*" not in "".join(
        name for kind, action in KINDS for name in allowed(kind, action)
    )


# What rcl looks for in an enclave before it hands it to the middleware.
FILES = ("identity_ca.cert.pem", "cert.pem", "key.pem", "permissions_ca.cert.pem")
FILES += ("governance.p7s", "permissions.p7s")


@pytest.mark.parametrize(
    ("files", "words"),
    [((), "SECURITY ERROR: directory"), (FILES, "cannot join the ROS graph: ")],
)
def test_an_unusable_keystore_ends_the_node_with_a_clear_error(
    files: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", str(tmp_path))
    enclave = tmp_path / "enclaves" / "descriptor_node"
    for name in files:
        enclave.mkdir(parents=True, exist_ok=True)
        (enclave / name).touch()
    log = tmp_path / "log"
    with forked_node(log, "--enclave", ENCLAVE) as process:
        process.join(timeout=90)
        assert process.exitcode == 2
    *_, line = log.read_text().splitlines()  # the middleware may have its own to say before
    assert line.startswith("descriptor_node: ") and words in line


def test_there_can_only_be_so_many_references_and_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dense_desc_ros.reference_store.MAX_REFERENCES", 2)
    monkeypatch.setattr("dense_desc_ros.grasping.registration.MAX_VIEWS", 2)
    model = local_model()
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint))
    frame = scene()
    for name in ("a", "b", "a"):
        pipeline.register(frame, name, (100, 90))
    with pytest.raises(ReferenceStoreError, match="remove some"):
        pipeline.register(frame, "c", (100, 90))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]
    pipeline.register(frame, "a", (100, 90), append=True)
    with pytest.raises(InvalidInputError, match="a has 2 views"):
        pipeline.register(frame, "a", (100, 90), append=True)


def test_what_a_killed_node_was_writing_is_cleared_away(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in (f".a.x{LEFTOVER}", f".b.y{LEFTOVER}", ".mine"))
    for path in (old, new, other):
        path.write_bytes(b"half of it")
    os.utime(old, (time.time() - 2 * LEFTOVER_AGE,) * 2)
    store = ReferenceStore(tmp_path, "f" * 64)
    assert not store.problems
    assert not old.exists() and new.exists() and other.exists()


def test_a_frame_id_without_end_is_refused() -> None:
    messages = frame_messages(scene(frame_id="x" * 257))
    color, depth, info = (messages[key] for key in ("color", "depth", "camera_info"))
    with pytest.raises(UnusableFrameError, match="257 characters") as refusal:
        read_frame(RgbdMessages(color, depth, info, 0.0), NodeParameters())
    assert refusal.value.kind == "frame_id"


@pytest.mark.parametrize("depth", [1e-40, 3e38])
def test_depth_that_cannot_be_true_is_no_internal_error(tmp_path: Path, depth: float) -> None:
    model = local_model()
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint))
    frame = scene(depth=np.full((HEIGHT, WIDTH), depth, np.float32))
    pipeline.register(frame, "a", (100, 90))
    pipeline.process(frame)
    pipeline.process(scene())
