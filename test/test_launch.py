"""The launch file starts the node, with its parameter file, arguments and remappings."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rcl_interfaces.srv import GetParameters

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.nodes.client import DescriptorClient

pytest.importorskip(
    "launch_ros",
    reason="launch is not among the ROS 2 wheels: run this test in a ROS 2 distribution",
    exc_type=ImportError,
)

ROOT = Path(__file__).resolve().parents[1]
POSE = [0.4, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0]
LAUNCH = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch import LaunchDescription

arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as colcon installs it."""
    folder = tmp_path_factory.mktemp("colcon")
    scripts = str(Path(sys.executable).parent)
    colcon = shutil.which("colcon", path=os.pathsep.join([scripts, os.environ["PATH"]]))
    assert colcon, "colcon is needed to install the package"
    subprocess.run([colcon, "build", "--base-paths", str(ROOT)], cwd=folder, check=True)
    return folder / "install" / "dense_desc_ros"


@pytest.fixture
def launched(
    prefix: Path, tiny_model: DescriptorModel, tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    tiny_model.save(tmp_path / "weights.safetensors")
    environment = dict(os.environ)
    paths = [str(prefix), environment.get("AMENT_PREFIX_PATH", "")]
    environment["AMENT_PREFIX_PATH"] = os.pathsep.join(filter(None, paths))
    arguments = {
        "autostart": "true",
        "weights": tmp_path / "weights.safetensors",
        "references": tmp_path / "references",
        "camera": "/left/camera",
        "depth": "/left/camera/depth/registered",
        "name": "finder",
        "namespace": "left",
        "base_frame": "base_link",
        "camera_pose": "[0.4, 0, 0.9, 1, 0, 0, 0]",
    }
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            LAUNCH,
            str(prefix / "share/dense_desc_ros/launch/grasp.launch.py"),
            *(f"{name}:={value}" for name, value in arguments.items()),
        ],
        env=environment,
        start_new_session=True,
        text=True,
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_launch(launched: subprocess.Popen[str], ros: ModuleType) -> None:
    client = DescriptorClient("/left/finder", camera="/left/camera")
    try:
        client.wait(lambda: client.state is not None, "diagnostics", timeout=60)
        topics = dict(client.node.get_subscriber_names_and_types_by_node("finder", "/left"))
        assert {
            "/left/camera/color/image_raw",
            "/left/camera/depth/registered",
            "/left/camera/color/camera_info",
        } <= topics.keys()

        service = client.node.create_client(GetParameters, "/left/finder/get_parameters")
        names = ["base_frame", "camera_pose", "min_score"]
        future = service.call_async(GetParameters.Request(names=names))
        client.wait(future.done, "parameters")
        base_frame, camera_pose, min_score = future.result().values
        assert base_frame.string_value == "base_link"
        assert list(camera_pose.double_array_value) == POSE
        assert min_score.double_value == PipelineSettings.min_score  # of the parameter file
    finally:
        client.close()
    os.killpg(launched.pid, signal.SIGINT)  # as Ctrl-C does: to launch and to what it started
    assert launched.wait(timeout=30) == 0
