"""What the tests share: an own ROS domain, fixed seeds, a tiny model, a small folder of frames."""

import fcntl
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

import hypothesis
import numpy as np
import pytest

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.frames import FrameFolder, write_camera, write_frame

if TYPE_CHECKING:
    from dense_desc_ros.descriptors import DescriptorModel

if "PYTEST_XDIST_WORKER" in os.environ:
    # Every processor has tests of its own: threads of one would only wait for those of another.
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and in child processes

# The same examples each time, and no verdict on the speed of a shared machine.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("tests")

DOMAINS = range(1, 101)  # the ports of higher ones collide with those the system hands out


@pytest.fixture(scope="session", autouse=True)
def ros_domain() -> Iterator[int]:
    """A ROS domain that no other test session of this machine uses, for all child processes too."""
    domain, lock = _free_domain()
    with lock:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        yield domain


def _free_domain() -> tuple[int, IO[str]]:
    for domain in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        path = Path(tempfile.gettempdir()) / f"ros_domain_{domain}_{os.getuid()}.lock"
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return domain, lock
    raise RuntimeError("every ROS domain of this machine is taken by another test session")


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def ros() -> Iterator[ModuleType]:
    """rclpy with an initialised default context."""
    import rclpy

    rclpy.init()
    yield rclpy
    rclpy.try_shutdown()


@pytest.fixture(scope="session")
def tiny_model() -> "DescriptorModel":
    """A model with random weights: stride 32, 8 numbers per descriptor."""
    import torch

    from dense_desc_ros.descriptors import DescriptorModel
    from dense_desc_ros.network import DescriptorNetwork, NetworkConfig

    torch.manual_seed(0)
    return DescriptorModel(DescriptorNetwork(NetworkConfig("resnet18", 32, 8)))


@pytest.fixture
def frame_folder(tmp_path: Path) -> FrameFolder:
    """Four frames of 64x48 noise with some holes in the depth."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "frames"
    for index in range(4):
        image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        depth = rng.integers(300, 3000, (48, 64)) / 1000
        depth[rng.random((48, 64)) < 0.1] = np.nan
        write_frame(folder, index, image, depth)
    write_camera(folder, PinholeCamera(61.0, 62.0, 31.5, 23.5, 64, 48))
    return FrameFolder(folder)
