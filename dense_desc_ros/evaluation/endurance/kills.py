"""The node killed while it registers: what it acknowledged is there afterwards, whole."""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import numpy as np
from rclpy.task import Future
from rich.console import Console
from rich.progress import track

from dense_desc_interfaces.msg import Pixel
from dense_desc_interfaces.srv import RegisterReference
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.endurance.control import TIMEOUT
from dense_desc_ros.evaluation.endurance.forked_node import forked_node
from dense_desc_ros.evaluation.endurance.ledger import Ledger
from dense_desc_ros.evaluation.node_under_test import random_weights
from dense_desc_ros.evaluation.walls import Wall
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.nodes.client import DescriptorClient, frame_messages
from dense_desc_ros.nodes.graph import private_graph
from dense_desc_ros.reference_store import ReferenceStore

T = TypeVar("T")
NETWORK = NetworkConfig("resnet18", 16, 16, input_stride=2)
SIZE = (96, 128)  # px, height and width
BORDER = 16  # px that registered points keep away from the border
NAMES = 12  # that are registered over and over
IN_FLIGHT = 3  # requests that the node has when it is killed
VERSION = 1e-4  # m: the opening width of a reference tells which request made it
PATIENCE = 10.0  # s before a request is sent again
LONGEST_WRITE = 5.0  # s until a file is seen to be written
SMALL_FILE = 512  # bytes: with this limit no reference can be written


def kills(times: int = 100, seed: int = 0) -> dict[str, object]:
    """Kill the node (SIGKILL) in the middle of registrations, start it again, and look.

    Half of the kills come at any moment, the others as soon as a file is seen to be written. At the
    end the node may not write files of more than a few bytes, as if the disk were full.

    Args:
        times: how often.
        seed: fixes what is registered and when kills come.

    Returns:
        How many registrations were `acknowledged`; how many kills came `during_writes`; of
        registrations without an answer, how many were `kept` and `gone`; how many references were
        `lost`, or `wrong` (of a version that nobody asked for or that was replaced); how many
        files were `unreadable`; whether the node `survived_full_disk`; and whether it all `passed`.

    Raises:
        DenseDescError: the node does not answer.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills_") as name, private_graph():
        run = _Kills(Path(name), np.random.default_rng(seed))
        for index in track(range(times), "kills", console=Console(stderr=True)):
            run.round(index)
        survived = run.full_disk()
    outcomes = run.ledger.outcomes
    bad = outcomes["lost"] + outcomes["wrong"] + run.unreadable
    return {
        "kills": times,
        "acknowledged": run.acknowledged,
        "during_writes": run.during_writes,
        **{outcome: outcomes[outcome] for outcome in ("kept", "gone", "lost", "wrong")},
        "unreadable": run.unreadable,
        "survived_full_disk": survived,
        "seconds": time.monotonic() - start,
        "passed": survived and not bad,
    }


class _Session:
    """A running node and requests to it."""

    def __init__(self, process: BaseProcess, client: DescriptorClient) -> None:
        self.process, self.client = process, client
        name = f"{client.name}/register_reference"
        self._service = client.node.create_client(RegisterReference, name)
        client.wait(self._service.service_is_ready, name, TIMEOUT)
        client.wait_until_connected(TIMEOUT)

    def offered(self) -> dict[str, int]:
        """The versions of the references that the node has."""
        infos = self._answer(lambda: self.client.call("list_references", PATIENCE)).references
        return {info.name: round(info.opening_width / VERSION) for info in infos}

    def ask(self, request: RegisterReference.Request) -> Future:
        return self._service.call_async(request)

    def register(
        self, make: Callable[[], RegisterReference.Request]
    ) -> tuple[RegisterReference.Request, RegisterReference.Response]:
        """Send a request and await its answer: the two."""

        def ask() -> tuple[RegisterReference.Request, RegisterReference.Response]:
            future = self.ask(request := make())
            self.client.wait(future.done, "a registration", PATIENCE)
            return request, future.result()

        return self._answer(ask)

    def _answer(self, ask: Callable[[], T]) -> T:
        """The answer to a question, asked again when it gets lost: services of ROS that have only
        just found each other lose some.
        """
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                return ask()
            except TimeoutError:
                if time.monotonic() > end:
                    raise


class _Kills:
    """A folder of references, and a node on it that does not live long.

    Attributes:
        ledger: what must be in the folder.
        acknowledged: registrations that were.
        during_writes: kills that left a half-written file.
        unreadable: files that a store complained about.
    """

    def __init__(self, folder: Path, generator: np.random.Generator) -> None:
        self._folder, self._generator = folder, generator
        self._weights = random_weights(folder / "weights.safetensors", NETWORK)
        self._fingerprint = DescriptorModel.load(self._weights, device="cpu").fingerprint
        self._references = folder / "references"
        messages = frame_messages(Wall(SIZE, 0).frame(0, 0, generator))
        self._picture = {("image" if k == "color" else k): m for k, m in messages.items()}
        self._version = 0
        self.ledger = Ledger()
        self.acknowledged = self.during_writes = self.unreadable = 0

    def round(self, index: int) -> None:
        """Start the node, see whether it has everything, register, and kill it meanwhile."""
        with self._session(f"/kill_{index}") as session:
            self.ledger.look(session.offered())
            start = time.monotonic()
            self._register(session)
            usual = time.monotonic() - start
            left = self._half_written()
            requests = [self._request() for _ in range(IN_FLIGHT)]
            futures = [session.ask(request) for request in requests]
            if index % 2:
                time.sleep(self._generator.uniform(0, usual))  # the first takes longest
            else:
                self._wait_for_writing(left)
            session.process.kill()
            session.process.join()
            self.during_writes += bool(self._half_written() - left)
            self._take_answers(session, requests, futures)
        self.ledger.look(self._stored())

    def full_disk(self) -> bool:
        """Whether a node that cannot write says so, keeps what it had, and goes on afterwards."""
        with self._session("/full") as session:
            before = session.offered()
            pid, kind = session.process.pid, resource.RLIMIT_FSIZE
            assert pid is not None
            soft, hard = resource.prlimit(pid, kind)
            resource.prlimit(pid, kind, (SMALL_FILE, hard))
            _, refused = session.register(self._request)
            resource.prlimit(pid, kind, (soft, hard))
            kept = session.offered() == before == self._stored()
            _, again = session.register(self._request)
        return bool(not refused.success and refused.message and kept and again.success)

    @contextmanager
    def _session(self, namespace: str) -> Iterator[_Session]:
        log, rule = self._folder / "log", ("-r", f"__ns:={namespace}")
        own = {"weights": self._weights, "references": self._references, "threads": 1}
        with forked_node(log, *rule, **own) as process:
            client = DescriptorClient(f"{namespace}/descriptor_node", f"{namespace}/camera")
            try:
                yield _Session(process, client)
            except TimeoutError as error:
                raise DenseDescError(f"{error}; its log: {log.read_text()}") from error
            finally:
                client.close()

    def _request(self) -> RegisterReference.Request:
        """The next version of some reference, asked for."""
        self._version += 1
        name = f"reference_{self._generator.integers(NAMES)}"
        v, u = self._generator.uniform(BORDER, np.subtract(SIZE, BORDER))
        self.ledger.ask(name, self._version)
        return RegisterReference.Request(
            **self._picture,
            name=name,
            pixel=Pixel(u=u, v=v),
            opening_width=self._version * VERSION,
        )

    def _register(self, session: _Session) -> None:
        request, answer = session.register(self._request)
        if not answer.success:
            raise DenseDescError(f"the node refuses a reference: {answer.message}")
        self._promise(request)

    def _promise(self, request: RegisterReference.Request) -> None:
        self.acknowledged += 1
        self.ledger.promise(request.name, round(request.opening_width / VERSION))

    def _take_answers(
        self, session: _Session, requests: list[RegisterReference.Request], futures: list[Future]
    ) -> None:
        """What the node had answered before it was killed, and is here already."""
        with suppress(TimeoutError):
            session.client.wait(lambda: all(f.done() for f in futures), "answers", timeout=0.2)
        for request, future in zip(requests, futures, strict=True):
            if future.done() and future.result().success:
                self._promise(request)

    def _half_written(self) -> set[str]:
        return {path.name for path in self._references.iterdir() if path.name.startswith(".")}

    def _wait_for_writing(self, left: set[str]) -> None:
        end = time.monotonic() + LONGEST_WRITE
        while self._half_written() <= left and time.monotonic() < end:
            pass  # a file is there for a millisecond

    def _stored(self) -> dict[str, int]:
        """The versions of the references that a new store reads from the folder."""
        store = ReferenceStore(self._references, self._fingerprint)
        self.unreadable += len(store.problems)
        return {reference.name: round(reference.opening_width / VERSION) for reference in store}
