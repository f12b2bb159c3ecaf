"""The benchmark of strategies: its grid, its table, and a tiny one, killed and resumed."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from posed_scene import Spheres, sphere
from test_twins import Tiles
from torch.utils.data import default_collate
from typer.testing import CliRunner

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.cli import app
from dense_desc_ros.data.bop_writer import Annotation, BopWriter
from dense_desc_ros.data.generate_scene import SceneJob
from dense_desc_ros.data.images import read_image, write_image
from dense_desc_ros.data.rendering.cycles import CyclesConfig
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.benchmark_strategies import DATA, RUNS, benchmark_strategies
from dense_desc_ros.evaluation.splits import SPLITS
from dense_desc_ros.evaluation.strategies.grid import (
    RATE,
    SIZES,
    TURNED,
    Case,
    cases,
    data_sets,
    strategies,
    training_config,
)
from dense_desc_ros.evaluation.strategies.summary import flatten, summarize, to_markdown
from dense_desc_ros.files import write_atomically
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training import module as training_module
from dense_desc_ros.training.config import PicturesConfig, TrainingConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.pairs import AugmentedPairs
from dense_desc_ros.training.train import WEIGHTS
from dense_desc_ros.training.twins import TwinPairs

TINY = replace(
    SIZES["cpu"],
    instances=2,
    views=4,
    test_views=5,
    steps=30,
    batch_size=1,
    dims=(4,),
    seeds=1,
    pairs=2,
)
CAMERA = PinholeCamera(150.0, 150.0, 79.5, 59.5, 160, 120)
RUN_TINY = """
import sys
from pathlib import Path
from test_strategies import TINY
from dense_desc_ros.evaluation.benchmark_strategies import benchmark_strategies
from dense_desc_ros.training import data
data.EPOCH_STEPS = 5
benchmark_strategies(Path(sys.argv[1]), TINY, ["ntxent"], True, workers=0, device="cpu")
"""


@pytest.mark.parametrize("size", SIZES)
def test_all_trainings_of_a_grid_are_alike_but_for_what_is_compared(size):
    grid = cases(SIZES[size])
    assert len(set(grid)) == len(grid) == len(strategies(SIZES[size])) * 3 * 3
    configs = [training_config(SIZES[size], case, Path("data")) for case in grid]
    alike = {
        (replace(c.optimisation, learning_rate=1), c.twins.path, c.twins.crop, c.network.backbone)
        for c in configs
    }
    assert len(alike) == 1
    for name, strategy in strategies(SIZES[size]).items():  # each has one rate, at every D
        own = [c for c, case in zip(configs, grid, strict=True) if case.strategy == name]
        assert {c.optimisation.learning_rate for c in own} == {strategy.learning_rate}
    gentle = [n for n, s in strategies(SIZES[size]).items() if s.learning_rate < RATE]
    assert gentle == (["keypoint"] if SIZES[size].initial_weights else [])
    first = grid[: len(strategies(SIZES[size]))]
    assert {case.strategy for case in first} == set(strategies(SIZES[size]))
    assert {(case.dim, case.seed) for case in first} == {(16, 0)}
    with pytest.raises(InvalidInputError, match="no strategy 'magic'; there are contrastive"):
        cases(SIZES[size], ["magic"])


@pytest.mark.parametrize("strategy", strategies(TINY))
def test_every_strategy_takes_a_step(strategy, monkeypatch):
    surface = np.random.default_rng(0).random((50, 3))
    monkeypatch.setattr(training_module, "surface_points", lambda path: surface)
    config = training_config(TINY, Case(strategy, 8, 0), Path("memory"))
    pairs = TwinPairs(Tiles(objects=2), [], config, 0, 2)
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    before = {name: p.detach().clone() for name, p in module.network.named_parameters()}
    optimizer = module.configure_optimizers()["optimizer"]
    loss = module.training_step(default_collate([pairs[0], pairs[1]]), 0)
    loss.backward()
    optimizer.step()
    assert loss.isfinite() and loss > 0
    same = [n for n, p in module.network.named_parameters() if before[n].equal(p.detach())]
    assert not same
    assert module.snapshot().config.metric == config.metric


@pytest.mark.parametrize("strategy", ["contrastive", "distribution"])
def test_plain_pictures_are_a_source_of_correspondences_too(strategy, tmp_path):
    path = tmp_path / "0.png"
    write_image(path, np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    config = training_config(TINY, Case(strategy, 8, 0), tmp_path)
    config = replace(config, twins=None, pictures=PicturesConfig(str(tmp_path), (64, 96)))
    batch = default_collate([AugmentedPairs([path], config, 0, 1)[0]])
    loss = DescriptorTraining(DescriptorNetwork(config.network), config).training_step(batch, 0)
    assert loss.isfinite() and loss > 0
    turned = replace(config.network, turns=4)
    with pytest.raises(InvalidInputError, match="network.turns: crop .* multiples of 32"):
        replace(config, network=turned, pictures=PicturesConfig(str(tmp_path), (64, 100)))
    with pytest.raises(InvalidInputError, match="class_aware needs twins"):
        replace(config, **{strategy: None}, **strategies(TINY)["class-soft"].objectives)


def result(strategy, dim, seed, auc):
    figures = {"auc": auc, "auc_cosine": 0.9, "median_px": 10.0}
    splits = {split: dict(figures) for split in SPLITS}
    splits["absent"]["auroc"] = 0.8
    costs = {"training_s": 60.0, "step_s": 0.1, "peak_bytes": 5_000_000, "match_ms": 2.0}
    turned = dict.fromkeys(TURNED, auc + 0.1)
    trained = {"strategy": strategy, "d": dim, "seed": seed}
    return {**trained, "splits": splits, "turned": turned, **costs}


def test_seeds_are_summed_up_and_the_best_comes_first():
    results = [result("a", 16, 0, 0.5), result("b", 16, 0, 0.7), result("a", 16, 1, 0.6)]
    rows = summarize(results)
    assert [(row["strategy"], row["seeds"]) for row in rows] == [("b", 1), ("a", 2)]
    a = rows[1]["splits"]["novel-view"]
    assert a["auc"] == pytest.approx(0.55) and a["auc_std"] == pytest.approx(0.05)
    assert rows[0]["splits"]["clutter"]["auc_std"] is None
    line = flatten(rows[1])
    assert line["novel-view"] == "0.550 ± 0.050"
    assert (
        line["cross-instance, turned"] == "0.650 ± 0.050" and line["min"] == 1.0 and line["MB"] == 5
    )
    table = to_markdown(rows).splitlines()
    assert table[0].startswith("| strategy | D |") and table[2].startswith("| b | 16 | 1 | 0.700 |")


def write_spheres(folder, config):
    """A data set of spheres, with pictures without one, as if `generate` had finished it."""
    write_atomically(folder / "generate.json", json.dumps(asdict(config)).encode())
    numbers = range(config.first_instance, config.first_instance + config.instances)
    for seed, number in enumerate(numbers):
        scene_number = SceneJob(config, folder, CyclesConfig(), number, 0).number
        frames = Spheres((0.08,), config.views - 1, 1, CAMERA, seed).frames
        with BopWriter(folder, "train").scene(scene_number) as scene:
            for view, frame in enumerate(frames):
                seen = []
                if frame.mask.any():
                    whole = sphere(0.08, frame.T_object_camera, camera=CAMERA).mask
                    T_camera_object = np.linalg.inv(frame.T_object_camera)
                    layers = whole, frame.mask, frame.canonical
                    seen = [Annotation(number + 1, T_camera_object, *layers)]
                scene.add(view, frame.image, frame.depth, CAMERA, np.eye(4), seen)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A benchmark that was killed within a training, after its first checkpoint."""
    out = tmp_path_factory.mktemp("strategies") / "out"
    for name, config in data_sets(TINY).items():
        write_spheres(out / DATA / name, config)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with (out.parent / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN_TINY, str(out)], env=environment, stderr=errors
        )
    checkpoint = out / RUNS / "ntxent_d4_s0" / "checkpoints" / "last.ckpt"
    limit = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    alive = process.poll() is None
    process.kill()
    process.wait()
    assert alive and checkpoint.exists(), (out.parent / "errors.txt").read_text()[-2000:]
    assert not (checkpoint.parent.parent / WEIGHTS).exists(), "it was over before it was killed"
    return out


def test_a_killed_benchmark_goes_on_where_it_was(killed, caplog):
    with pytest.raises(DataError, match="holds a benchmark: go on with --resume"):
        benchmark_strategies(killed, TINY, ["ntxent"])
    with pytest.raises(InvalidInputError, match="another size"):
        benchmark_strategies(killed, replace(TINY, steps=31), ["ntxent"], resume=True)
    rendered = {p: p.stat().st_mtime_ns for p in (killed / DATA).rglob("*.png")}
    with caplog.at_level("INFO"):
        found = benchmark_strategies(killed, TINY, ["ntxent"], True, workers=0, device="cpu")
    assert "going on from" in caplog.text
    assert rendered == {p: p.stat().st_mtime_ns for p in (killed / DATA).rglob("*.png")}
    (row,) = found["results"]
    assert (row["strategy"], row["d"], row["seeds"]) == ("ntxent", 4, 1)
    assert set(row["splits"]) == set(SPLITS)
    assert all(0 < row["splits"][split]["auc"] < 1 for split in SPLITS)
    assert all(0 < row["turned"][split]["auc"] < 1 for split in TURNED)
    assert 0 <= row["splits"]["absent"]["auroc"] <= 1
    assert row["training_s"] == pytest.approx(30 * row["step_s"])
    assert 50e6 < row["peak_bytes"] < 2e9  # ResNet-18 has 45 MB of weights, and Adam's state
    assert json.loads((killed / "results.json").read_text()) == found
    assert "| ntxent | 4 |" in (killed / "table.md").read_text()
    assert read_image(killed / "auc.png").ndim == 3
    notes = DescriptorModel.load(killed / RUNS / "ntxent_d4_s0" / WEIGHTS, "cpu").notes
    assert notes["steps"] == "30"
    trained = {p: p.stat().st_mtime_ns for p in (killed / RUNS).rglob("*")}
    assert benchmark_strategies(killed, TINY, ["ntxent"], True) == found
    assert trained == {p: p.stat().st_mtime_ns for p in (killed / RUNS).rglob("*")}  # not twice


def test_the_command_tells_sizes_and_strategies_that_there_are(tmp_path):
    def run(*options):
        arguments = ["benchmark", "strategies", "--out", str(tmp_path / "out"), *options]
        return CliRunner().invoke(app, arguments).exception

    assert "unknown size 'huge': use one of cpu, gpu" in str(run("--size", "huge"))
    assert "no strategy 'magic'" in str(run("--only", "magic"))
    assert not (tmp_path / "out").exists()


def test_a_configuration_of_every_strategy_survives_its_file(tmp_path):
    for name in strategies(TINY):
        config = training_config(TINY, Case(name, 8, 1), Path("data"))
        config.save(tmp_path / f"{name}.json")
        assert asdict(TrainingConfig.load(tmp_path / f"{name}.json")) == asdict(config)


def test_objectives_that_compare_differently_are_not_summed():
    cosine, l2 = (strategies(TINY)[name].objectives for name in ("canonical", "contrastive"))
    config = training_config(TINY, Case("canonical", 8, 0), Path("data"))
    with pytest.raises(InvalidInputError, match="compare descriptors in different ways"):
        replace(config, **cosine, **l2)
    with pytest.raises(InvalidInputError, match="network.learned_scale is for contrastive"):
        replace(config, canonical=None, **l2)
