"""Replays as a user runs them: the pipeline's own answers, resumed, measured and reported."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from bag_scene import color, depth, info, whole, write_ros1, write_ros2
from local_scene import CAMERA, local_model, moved, scene
from replayed_scene import call as run_command

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.replay.answers import read_answers
from dense_desc_ros.evaluation.replay.inputs import Click
from dense_desc_ros.evaluation.replay.report import write_replay_report
from dense_desc_ros.evaluation.replay.run import FRAMES, ReplayConfig, replay
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.rgbd_frame import RgbdFrame

DENSE_DESC = Path(sys.executable).with_name("dense-desc")
STEP_NS = 100_000_000
POINT, OTHER = (120, 100), (180, 60)
# The scene in 24 frames: it stays for three, then moves on by whole features.
SHIFTS = [(4 * (n // 3), -4 * (n // 3)) for n in range(24)]
HIDDEN = 5  # the frame in which noise hides the scene


def make_frames() -> list[RgbdFrame]:
    frames = [replace(scene(*shift), stamp_ns=(n + 10) * STEP_NS) for n, shift in enumerate(SHIFTS)]
    noise = np.random.default_rng(1).integers(0, 256, frames[0].image.shape, dtype=np.uint8)
    frames[HIDDEN] = replace(frames[HIDDEN], image=noise)
    return frames


RECORDED = make_frames()


@pytest.fixture(scope="module")
def model() -> DescriptorModel:
    return local_model()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, model: DescriptorModel) -> Path:
    """Weights, the recording as MCAP and as ROS 1, and the truth."""
    folder = tmp_path_factory.mktemp("files")
    model.save(folder / "weights.safetensors")
    write_ros2(folder / "bag", whole(RECORDED))
    write_ros1(folder / "ros1.bag", whole(RECORDED))
    truth = {
        "here": {
            n: None if n == HIDDEN else moved(POINT, *shift).tolist()
            for n, shift in enumerate(SHIFTS)
        }
    }
    (folder / "truth.yaml").write_text(yaml.safe_dump(truth))
    clicks = {"there": {"frame": 1, "pixel": list(OTHER)}}
    (folder / "clicks.yaml").write_text(yaml.safe_dump(clicks))
    return folder


def command(files: Path, out: Path, *arguments: object) -> list[str]:
    given = ("--weights", files / "weights.safetensors", "--out", out, "--device", "cpu")
    clicks = ("--register", f"here=0:{POINT[0]},{POINT[1]}")
    return [str(a) for a in (DENSE_DESC, "replay", files / "bag", *given, *clicks, *arguments)]


def call(*arguments: Any) -> tuple[Any, str, str]:
    """The command in this process, which has imported torch already: its code and its outputs."""
    return run_command(*command(*arguments)[1:])


@pytest.fixture(scope="module")
def finished(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run that nobody disturbed, and what it printed."""
    out = tmp_path_factory.mktemp("run") / "out"
    code, printed, said = call(files, out, "--registrations", files / "clicks.yaml", "--json")
    assert code == 0, said
    return out, json.loads(printed)


def untimed(out: Path) -> list[dict[str, Any]]:
    """The lines of a run, without what differs from run to run."""
    lines = [json.loads(line) for line in (out / FRAMES).read_text().splitlines()]
    for line in lines:
        assert all(seconds > 0 for seconds in line.pop("timings").values())
    return lines


def test_the_answers_are_those_of_the_pipeline(
    files: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    model = DescriptorModel.load(files / "weights.safetensors", "cpu")
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint))
    pipeline.register(RECORDED[0], "here", POINT)
    pipeline.register(RECORDED[1], "there", OTHER)
    found = list(read_answers(finished[0] / FRAMES))
    assert [each.frame for each in found] == list(range(24))
    for answers, frame in zip(found, RECORDED, strict=True):
        result = pipeline.process(frame)
        assert answers.stamp_ns == frame.stamp_ns and answers.depth_coverage == 1
        assert answers.refusals == result.refusals
        for ours, theirs in zip(answers.grasps, result.grasps, strict=True):
            assert (ours.name, ours.score, ours.method) == (
                *(theirs.name, theirs.score, theirs.method),
            )
            np.testing.assert_array_equal(ours.T_camera_grasp, theirs.T_camera_grasp)
            np.testing.assert_array_equal(ours.pixel, theirs.pixel)
            np.testing.assert_array_equal(ours.point, theirs.point)
    assert len(found[HIDDEN].refusals) == 2 and len(found[0].grasps) == 2


def test_what_a_run_leaves(finished: tuple[Path, Any]) -> None:
    out, printed = finished
    assert json.loads((out / "results.json").read_text()) == printed
    assert printed["frames"] == 24 and printed["is_whole"] and printed["left_out"] == {}
    here = printed["references"]["here"]
    assert here["found_rate"] == pytest.approx(23 / 24)
    assert sum(here["refusals"].values()) == 1 and here["jumps"] == 0
    # All but the noise, which ends one of the still scenes.
    assert here["still_frames"] == 23 and here["position_spread_mm"] < 0.1
    assert {*printed["latency_ms"]["total"]} == {"p50", "p90", "p99"}
    assert printed["depth_coverage"] == 1
    page = (out / "index.html").read_text()
    assert "http" not in page and page.count("data:image/jpeg") >= 6
    assert "refused: frame 5" in page
    with (out / "grasps.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 46 and {row["name"] for row in rows} == {"here", "there"}
    film = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 24
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    ok, picture = film.read()
    assert ok and picture.shape == RECORDED[0].image.shape


def test_a_killed_run_goes_on_to_the_same_end(
    files: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    """Killed where there is no ROS."""
    out = tmp_path / "out"
    words = command(files, out, "--registrations", files / "clicks.yaml")
    (tmp_path / "rclpy.py").write_text("raise ImportError('there is no ROS')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet)
    lines, deadline = out / FRAMES, time.monotonic() + 200
    while not (lines.is_file() and lines.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines.read_bytes().count(b"\n") < 24
    with lines.open("a") as file:
        file.write('{"bag": 0, "fra')
    kept = lines.read_bytes().splitlines()[0]
    # The truth is held against the answers afterwards: it need not have been there before.
    code, printed, said = call(
        *(files, out, "--registrations", files / "clicks.yaml", "--resume", "--json"),
        *("--truth", files / "truth.yaml", "--fail-under", "found=0.5", "--fail-under", "auc=0.9"),
    )
    # The one without a known truth has no AUC; the other is good enough.
    assert code == 1 and said.splitlines()[-1] == "there: auc is unknown, less than 0.9"
    assert untimed(out) == untimed(finished[0])
    assert lines.read_bytes().splitlines()[0] == kept
    for name in ("results.mcap", "grasps.parquet", "grasps.csv", "overlay.mp4"):
        assert (out / name).read_bytes() == (finished[0] / name).read_bytes()
    here = json.loads(printed)["references"]["here"]
    # Registered on frame 0, which is not held against the truth, and hidden on another.
    assert (here["visible"], here["near"], here["hidden"], here["hidden_refused"]) == (22, 22, 1, 1)
    assert here["median_px"] < 1 and here["median_mm"] < 5 and here["auc"] > 0.95
    assert here["pck"][1] > 0.9  # within 2 px of a picture of 640x480


def test_the_command_refuses_in_one_line(files: Path, finished: tuple[Path, Any]) -> None:
    out = finished[0]
    for arguments, reason in (
        ((), "holds a run already"),
        (("--resume", "--min-score", "0.5"), "its registered were"),
        (("--end", "-1"), "is not after"),
        (("--truth", files / "clicks.yaml"), "clicks.yaml: there must be"),
    ):
        code, printed, said = call(files, out, *arguments)
        assert (code, printed) == (2, "") and reason in said
        assert len(said.splitlines()) == 1


CLICK = {"here": Click(0, POINT)}
STRAIGHT = PipelineSettings(method="straight")


def report(config: ReplayConfig, out: Path, model: DescriptorModel, **truth: Any) -> Any:
    store = replay(model, config, out)
    return write_replay_report(config, out, store.names(), truth, {})


def test_several_bags_and_references_made_before(
    files: Path, model: DescriptorModel, tmp_path: Path
) -> None:
    made = ReferenceStore(tmp_path / "made", model.fingerprint)
    GraspPipeline(model, made).register(RECORDED[0], "there", OTHER)
    before = (tmp_path / "made" / "there.safetensors").read_bytes()
    bags = (files / "bag", files / "ros1.bag")
    config = ReplayConfig(bags, tmp_path / "made", CLICK, settings=STRAIGHT)
    config = replace(config, selection=replace(config.selection, end=0.8, every=4))
    results = report(config, tmp_path / "out", model)
    lines = untimed(tmp_path / "out")
    assert [(line["bag"], line["frame"]) for line in lines] == [(0, 0), (0, 4), (1, 0), (1, 4)]
    for line in lines:
        line.pop("bag")
    assert lines[:2] == lines[2:]  # whatever the format
    assert {*results["references"]} == {"here", "there"} and len(results["topics"]) == 2
    assert (tmp_path / "made" / "there.safetensors").read_bytes() == before
    assert not (tmp_path / "made" / "here.safetensors").exists()


def test_a_torn_bag_is_evaluated_and_said_to_be_partial(
    model: DescriptorModel, tmp_path: Path
) -> None:
    bag = write_ros2(tmp_path / "bag", [*whole(RECORDED), color(scene())])
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    config = ReplayConfig((bag,), clicks=CLICK, settings=STRAIGHT)
    results = report(config, tmp_path / "out", model)
    assert 2 <= results["frames"] < 24 and not results["is_whole"]
    assert "only a part could be read" in results["notes"][0]
    assert results["notes"][0] in (tmp_path / "out" / "index.html").read_text()


def test_what_cannot_be_replayed(files: Path, model: DescriptorModel, tmp_path: Path) -> None:
    def refuse(error: type[Exception], reason: str, config: ReplayConfig, **how: bool) -> None:
        with pytest.raises(error, match=reason):
            replay(model, config, tmp_path / "out", **how)

    bags = (files / "bag",)
    good = ReplayConfig(bags, clicks=CLICK, settings=STRAIGHT)
    refuse(DataError, "nothing to resume", good, resume=True)
    refuse(InvalidInputError, "no reference to find", ReplayConfig(bags))
    refuse(DataError, "no folder of references", ReplayConfig(bags, tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    refuse(DataError, "here: bag has no frame 24", replace(good, clicks={"here": Click(24, POINT)}))
    refuse(DataError, "here on frame 0: ", replace(good, clicks={"here": Click(0, (999, 0))}))
    apart = [color(RECORDED[0]), depth(RECORDED[1]), info(CAMERA, 1)]
    lonely = write_ros2(tmp_path / "lonely", apart)
    folder = tmp_path / "own" / "references"
    GraspPipeline(model, ReferenceStore(folder, model.fingerprint)).register(
        RECORDED[0], "mine", POINT
    )
    refuse(DataError, "lonely: 1 colour without depth", ReplayConfig((lonely,), folder))
    with pytest.raises(DataError, match="references already"):
        replay(model, good, tmp_path / "own")
    assert [each.name for each in folder.iterdir()] == ["mine.safetensors"]
