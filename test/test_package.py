"""The package as installed: its metadata, entry points, interfaces, and what importing costs."""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

import dense_desc_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [ROOT, ROOT / "dense_desc_interfaces"]
SCRIPTS = Path(sys.executable).parent  # not on the PATH in a virtual environment that isn't active
COLCON = shutil.which("colcon", path=os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]))


@pytest.fixture(scope="module")
def installed() -> Distribution:
    return distribution("dense_desc_ros")


def run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a line in an interpreter of its own, where nothing has been imported yet."""
    return run([sys.executable, *flags, "-c", code])


def imported_modules(*names: str) -> set[str]:
    code = f"import json, sys, {', '.join(names)}; print(json.dumps(list(sys.modules)))"
    return set(json.loads(python(code).stdout))


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_manifests_carry_the_version_and_a_valid_address(folder: Path) -> None:
    manifest = ElementTree.parse(folder / "package.xml").getroot()
    assert manifest.findtext("version") == dense_desc_ros.__version__
    assert manifest.findtext("license") == "Apache-2.0"
    maintainer = manifest.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", maintainer.attrib["email"])


def test_manifest_and_setup_agree(installed: Distribution) -> None:
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert installed.metadata["Name"] == manifest.findtext("name") == "dense_desc_ros"
    assert installed.version == dense_desc_ros.__version__


@pytest.mark.parametrize("name", ["dense-desc", "descriptor_node", "pick_node", "sim_cell"])
def test_console_scripts_resolve(installed: Distribution, name: str) -> None:
    (entry,) = installed.entry_points.select(group="console_scripts", name=name)
    assert callable(entry.load())


def test_every_folder_of_modules_is_a_package() -> None:
    """find_packages skips, without a word, a folder that has no __init__.py."""
    folders = {path.parent for path in (ROOT / "dense_desc_ros").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_public_name_can_be_imported() -> None:
    for name in dense_desc_ros.__all__:
        assert getattr(dense_desc_ros, name).__name__ == name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dense_desc_ros.nonsense


def test_importing_the_package_imports_nothing_slow() -> None:
    slow = {"torch", "numpy", "cv2", "rclpy", "lightning", "open3d", "mujoco"}
    assert imported_modules("dense_desc_ros") & slow == set()


def test_the_core_needs_no_ros() -> None:
    modules = imported_modules(*(f"dense_desc_ros.{m}" for m in ("pipeline", "cli", "data.frames")))
    assert "rclpy" not in modules


def test_a_service_type_goes_through_the_wire_format() -> None:
    """What the C type support of the wheels writes, it reads back: all fields, nested and empty."""
    serialization = pytest.importorskip("rclpy.serialization")
    from sensor_msgs.msg import Image

    from dense_desc_interfaces.srv import RegisterReference

    request = RegisterReference.Request(name="brim", has_grasp=True, opening_width=0.0625)
    request.pixel.u, request.pixel.v = 319.5, 239.25
    request.image = Image(height=2, width=1, encoding="rgb8", step=3, data=bytes(range(6)))
    request.grasp.orientation.w = 0.5
    data = serialization.serialize_message(request)
    answer = serialization.deserialize_message(data, RegisterReference.Request)
    assert answer == request


def test_all_interfaces_are_built() -> None:
    pytest.importorskip("rclpy")
    from dense_desc_interfaces import msg, srv

    for module in (msg, srv):
        kind = module.__name__.rpartition(".")[2]
        for path in (ROOT / "dense_desc_interfaces" / kind).iterdir():
            assert hasattr(module, path.stem), f"{path.name} is not in CMakeLists.txt"


def files_under(folder: Path) -> set[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in found if path.suffix != ".pyc"}


@pytest.mark.skipif(COLCON is None, reason="colcon is not installed")
def test_colcon_installs_where_ros_looks(tmp_path: Path) -> None:
    listed = run([COLCON, "list", "--names-only", "--base-paths", *map(str, PACKAGES)], tmp_path)
    assert sorted(listed.stdout.split()) == ["dense_desc_interfaces", "dense_desc_ros"]

    run([COLCON, "build", "--base-paths", str(ROOT)], tmp_path)
    prefix = tmp_path / "install" / "dense_desc_ros"
    assert (prefix / "share/ament_index/resource_index/packages/dense_desc_ros").is_file()
    assert (prefix / "share/dense_desc_ros/package.xml").is_file()
    for script in ("dense-desc", "descriptor_node", "pick_node", "sim_cell"):
        assert (prefix / "lib/dense_desc_ros" / script).stat().st_mode & 0o111
    for folder in ("launch", "config"):
        installed = prefix / "share/dense_desc_ros" / folder
        assert files_under(installed) == files_under(ROOT / folder)
