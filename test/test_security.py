"""The SROS 2 policy allows what the node has in its graph, all of it and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
from forked_node import forked_node
from local_scene import local_model
from managed_node import ManagedNode, managed_node

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
    (line,) = log.read_text().splitlines()
    assert line.startswith("descriptor_node: ") and words in line
