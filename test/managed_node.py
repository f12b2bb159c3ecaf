"""The node as a process whose lifecycle services are called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from forked_node import forked_node
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from node_scene import RunningNode
from rclpy.task import Future

from dense_desc_ros.nodes.client import DescriptorClient

WAYS = {  # from unconfigured
    "unconfigured": (),
    "inactive": ("configure",),
    "active": ("configure", "activate"),
    "finalized": ("configure", "shutdown"),
}
BACK = {"active": ("deactivate", "cleanup"), "inactive": ("cleanup",), "unconfigured": ()}


@dataclass
class ManagedNode(RunningNode):
    """The node as a process whose lifecycle services are called."""

    events: list[str] = field(default_factory=list)  # labels of the states it came to

    def __post_init__(self) -> None:
        ros, name = self.client.node, self.client.name
        self._change = ros.create_client(ChangeState, f"{name}/change_state")
        self._get = ros.create_client(GetState, f"{name}/get_state")
        ros.create_subscription(
            TransitionEvent,
            f"{name}/transition_event",
            lambda event: self.events.append(event.goal_state.label),
            10,
        )
        for service in (self._change, self._get):
            self.client.wait(service.service_is_ready, "the lifecycle services", timeout=60)

    def change(self, label: str) -> bool:
        """Ask for a transition, and return whether it succeeded."""
        future = self.changing(label)
        self.client.wait(future.done, label)
        return future.result().success

    def changing(self, label: str) -> Future:
        return self._change.call_async(ChangeState.Request(transition=Transition(label=label)))

    def state(self) -> str:
        # A service may be found here before it finds its client: its answer is lost then.
        for patience in (2.0, 8.0, 30.0):
            future = self._get.call_async(GetState.Request())
            with suppress(TimeoutError):
                self.client.wait(future.done, "its state", patience)
                return future.result().current_state.label
        raise TimeoutError("the node does not tell its state")

    def bring_to(self, state: str) -> None:
        for label in (*BACK[self.state()], *WAYS[state]):
            assert self.change(label), label
        assert self.state() == state

    def offers(self) -> set[str]:
        """Services and topics that are the node's."""
        ros = self.client.node
        return self._names(ros.get_service_names_and_types_by_node) | self._names(
            ros.get_publisher_names_and_types_by_node
        )

    def listens(self) -> bool:
        """Whether the node receives what a camera sends."""
        ros = self.client.node
        return any("camera" in n for n in self._names(ros.get_subscriber_names_and_types_by_node))

    def _names(self, of_node: Callable[[str, str], list[tuple[str, list[str]]]]) -> set[str]:
        namespace, _, name = self.client.name.rpartition("/")
        node, ros = (name, namespace or "/"), self.client.node
        # Its services may answer before the graph knows whose they are.
        self.client.wait(lambda: node in ros.get_node_names_and_namespaces(), "the node's name")
        found = of_node(*node)
        return {topic.removeprefix(f"{self.client.name}/") for topic, _ in found}

    def resident(self) -> int:
        """Bytes of memory in use."""
        return psutil.Process(self.process.pid).memory_info().rss


@contextmanager
def managed_node(
    folder: Path,
    *arguments: str,
    name: str = "/descriptor_node",
    camera: str = "/camera",
    **parameters: object,
) -> Iterator[ManagedNode]:
    """Run the node with a folder of its own, unconfigured unless the parameters say otherwise."""
    own = {
        "autostart": "false",
        "weights": folder / "weights.safetensors",
        "references": folder / "references",
        "threads": 1,
    }
    with forked_node(folder / "log", *arguments, **{**own, **parameters}) as process:
        client = DescriptorClient(name, camera)
        try:
            yield ManagedNode(process, client, folder)
        finally:
            client.close()
