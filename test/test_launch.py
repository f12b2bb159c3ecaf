"""The launch file starts the node, with its parameter file, arguments and remappings."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from rcl_interfaces.srv import GetParameters
from rviz_scene import shown_topics

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


def pretend(prefix: Path, package: str, executable: str) -> None:
    """Install an executable that only writes down what it was started with."""
    index = prefix / "share/ament_index/resource_index/packages"
    script = prefix / "lib" / package / executable
    for folder in (index, script.parent):
        folder.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.part" && mv "$0.part" "$0.started"\n')
    script.chmod(0o755)


@contextmanager
def launched(
    prefix: Path, model: DescriptorModel, folder: Path, file: str, **given: object
) -> Iterator[subprocess.Popen[str]]:
    """A launch file at work."""
    model.save(folder / "weights.safetensors")
    pretend(folder, "rviz2", "rviz2")
    pretend(folder, "tf2_ros", "static_transform_publisher")
    environment = dict(os.environ)
    paths = [str(folder), str(prefix), environment.get("AMENT_PREFIX_PATH", "")]
    environment["AMENT_PREFIX_PATH"] = os.pathsep.join(filter(None, paths))
    arguments = {
        "weights": folder / "weights.safetensors",
        "references": folder / "references",
        **given,
    }
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            LAUNCH,
            str(prefix / "share/dense_desc_ros/launch" / file),
            *(f"{name}:={value}" for name, value in arguments.items()),
        ],
        env=environment,
        start_new_session=True,
        text=True,
    )
    try:
        yield process
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to launch and to what it started
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def camera_cell(
    prefix: Path, tiny_model: DescriptorModel, tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    arguments = {
        "autostart": "true",
        "camera": "/left/camera",
        "depth": "/left/camera/depth/registered",
        "name": "finder",
        "namespace": "left",
        "base_frame": "base_link",
        "camera_pose": "[0.4, 0, 0.9, 1, 0, 0, 0]",
        "camera_frame": "left_optical",
        "rviz": "true",
    }
    with launched(prefix, tiny_model, tmp_path, "grasp.launch.py", **arguments) as process:
        yield process


def started_with(process: subprocess.Popen[str], executable: Path) -> list[str]:
    """The arguments of a pretended executable."""
    file = executable.with_suffix(".started")
    while not file.exists():
        assert process.poll() is None
        time.sleep(0.05)
    return file.read_text().split()


def test_launch(camera_cell: subprocess.Popen[str], ros: ModuleType, tmp_path: Path) -> None:
    transform = started_with(camera_cell, tmp_path / "lib/tf2_ros/static_transform_publisher")
    values = dict(zip(transform[::2], transform[1::2], strict=False))
    assert [float(values[f"--{key}"]) for key in ("x", "y", "z", "qx", "qy", "qz", "qw")] == POSE
    assert (values["--frame-id"], values["--child-frame-id"]) == ("base_link", "left_optical")

    rviz = started_with(camera_cell, tmp_path / "lib/rviz2/rviz2")
    assert rviz[rviz.index("--fixed-frame") + 1] == "base_link"
    config = yaml.safe_load(Path(rviz[rviz.index("-d") + 1]).read_text())
    renamed = dict(argument.split(":=") for argument in rviz if ":=" in argument)
    assert shown_topics(config) <= renamed.keys()
    assert renamed["__ns"] == "/left"
    assert renamed["/camera/aligned_depth_to_color/image_raw"] == "/left/camera/depth/registered"
    assert renamed["/descriptor_node/markers"] == "finder/markers"

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


def test_the_simulated_cell(
    prefix: Path, tiny_model: DescriptorModel, ros: ModuleType, tmp_path: Path
) -> None:
    """Each included file has arguments of the same names; none may be taken for another's."""
    with (
        launched(prefix, tiny_model, tmp_path, "sim_cell.launch.py", camera="fixed"),
        closing(DescriptorClient()) as client,
    ):
        client.wait(lambda: bool(client.grasps), "work on the cell's frames", timeout=180)
        assert client.grasps[-1].header.frame_id == "base_link"
        nodes = ["descriptor_node", "pick_node", "sim_cell"]
        assert set(nodes) <= set(client.node.get_node_names())
        service = client.node.create_client(GetParameters, "/pick_node/get_parameters")
        client.wait(service.service_is_ready, "the node that picks", timeout=60)
        future = service.call_async(GetParameters.Request(names=["arm", "base_frame"]))
        client.wait(future.done, "parameters")
        assert [each.string_value for each in future.result().values] == ["remote", "base_link"]
