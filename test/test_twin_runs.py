"""Whole runs on a data set on disk: killed and resumed, validated, stopped early."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import torch
from posed_scene import Spheres
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.cli import app
from dense_desc_ros.data.bop_writer import Annotation, BopWriter
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.config import (
    OptimisationConfig,
    TrainingConfig,
    TwinsConfig,
    ValidationConfig,
)
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.train import CHECKPOINT, WEIGHTS, train

CAMERA = PinholeCamera(120.0, 120.0, 63.5, 47.5, 128, 96)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("spheres")
    with BopWriter(root, "train").scene(0) as scene:
        for number, frame in enumerate(Spheres(camera=CAMERA).frames):
            T_camera_object = np.linalg.inv(frame.T_object_camera)
            seen = Annotation(
                frame.object_id + 1, T_camera_object, frame.mask, frame.mask, frame.canonical
            )
            scene.add(number, frame.image, frame.depth, CAMERA, np.eye(4), [seen])
    return root


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    for name in ("EPOCH_STEPS", "EPOCH_STEPS_ON_DEVICE"):
        monkeypatch.setattr(f"dense_desc_ros.training.data.{name}", 2)


def small_run(data, steps, on_device=False):
    return TrainingConfig(
        twins=TwinsConfig(str(data), crop=(64, 96), on_device=on_device),
        keypoint=KeypointConfig(),
        network=NetworkConfig("resnet18", 32, 8, keypoints=4),
        optimisation=OptimisationConfig(steps, 1),
    )


def features(weights):
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return DescriptorModel.load(weights, "cpu").describe(picture).features


TRAIN_IN_SHORT_EPOCHS = """
import sys
from pathlib import Path
from dense_desc_ros.training import data, train
data.EPOCH_STEPS = data.EPOCH_STEPS_ON_DEVICE = 2
config = train.TrainingConfig.load(Path(sys.argv[1]))
train.train(config, Path(sys.argv[2]), workers=0, device="cpu")
"""


@pytest.mark.parametrize("on_device", [False, True])
def test_a_killed_run_ends_as_if_it_had_not_been(data, tmp_path, on_device):
    config = small_run(data, 12, on_device)
    whole = train(config, tmp_path / "whole", workers=0, device="cpu")

    run = tmp_path / "killed"
    config.save(tmp_path / "config.json")
    arguments = [TRAIN_IN_SHORT_EPOCHS, str(tmp_path / "config.json"), str(run)]
    with subprocess.Popen([sys.executable, "-c", *arguments]) as process:
        while process.poll() is None and not (run / CHECKPOINT).exists():
            time.sleep(0.01)
        process.kill()
    assert not (run / WEIGHTS).exists()
    resumed = train(config, run, resume=True, workers=0, device="cpu")
    torch.testing.assert_close(features(whole), features(resumed), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_run_without_progress_stops_and_keeps_its_best_weights(data, tmp_path, on_device):
    config = replace(
        small_run(data, 40, on_device),
        optimisation=OptimisationConfig(40, 1, learning_rate=1e-9),
        validation=ValidationConfig(str(data), pairs=2, every=2, patience=1),
    )
    weights = train(config, tmp_path, workers=0, device="cpu")
    last, best = (
        torch.load(tmp_path / f"checkpoints/{name}.ckpt", weights_only=True)
        for name in ("last", "best")
    )
    assert best["global_step"] < last["global_step"] < 40
    saved = DescriptorModel.load(weights).network.state_dict()
    torch.testing.assert_close(
        saved["stem.1.running_mean"], best["state_dict"]["network.stem.1.running_mean"]
    )
    assert (
        "validation_auc" in EventAccumulator(str(tmp_path / "tensorboard")).Reload().scalars.Keys()
    )


def test_the_command_trains_and_says_what_it_started_from(data, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(replace(small_run("elsewhere", 100), pretrained=True).to_json())
    options = ["--data", data, "--steps", "2", "--workers", "0", "--device", "cpu", "--out", run]
    result = CliRunner().invoke(
        app, ["train", "--config", str(file), *map(str, options)], catch_exceptions=False
    )
    assert result.exit_code == 0
    log = caplog.text
    assert "ImageNet weights cannot be had" in log and "start from scratch" in log
    assert "waiting for data" in log and "8 frames of 2 objects" in log
    with safetensors.safe_open(run / "weights.safetensors", "pt") as weights:
        kept = json.loads(weights.metadata()["training"])
    assert kept == json.loads((run / "config.json").read_text())
    assert kept["optimisation"]["steps"] == 2 and kept["twins"]["path"] == str(data)
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"pairs", "descriptors", "keypoints"} <= set(board.Tags()["images"])


def test_statistics_are_left_as_they_were_where_they_are_fixed(data, tmp_path):
    """Through validations and a resumed run, while weights and descriptors' own change."""
    start = train(small_run(data, 2), tmp_path / "start", workers=0, device="cpu")
    config = replace(
        small_run(data, 8),
        initial_weights=str(start),
        fixed_statistics=True,
        validation=ValidationConfig(str(data), pairs=1, every=2),
    )
    run = tmp_path / "run"
    train(config, run, workers=0, device="cpu", max_minutes=1e-4)
    train(config, run, workers=0, device="cpu", resume=True)
    before = DescriptorModel.load(start).network.state_dict()
    last = torch.load(run / CHECKPOINT, weights_only=True)
    assert last["global_step"] == 8
    changed = {
        name
        for name, values in before.items()
        if not torch.equal(values, last["state_dict"][f"network.{name}"])
    }
    statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
    own = {"projection.1.running_mean", "projection.1.running_var"}
    assert changed & statistics == own
    assert {"stem.0.weight", "stem.1.weight", "projection.0.weight"} <= changed


def test_a_deeper_network_starts_as_the_one_it_grows_from(data, tmp_path, caplog):
    start = train(small_run(data, 2), tmp_path / "start", workers=0, device="cpu")
    config = small_run(data, 1)
    config = replace(
        config,
        network=replace(config.network, backbone="resnet34"),
        initial_weights=str(start),
        optimisation=replace(config.optimisation, learning_rate=1e-9),
    )
    with caplog.at_level("INFO"):
        grown = load_file(train(config, tmp_path / "grown", workers=0, device="cpu"))
    assert "; from scratch: stages.0.2, stages.1.2, stages.1.3, stages.2.2, " in caplog.text
    for name, values in load_file(start).items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(grown[name], values, atol=1e-6, rtol=0)
    for block in ("0.2", "1.2", "1.3", "2.2", "2.5", "3.2"):
        assert grown[f"stages.{block}.bn2.weight"].abs().max() < 1e-6
