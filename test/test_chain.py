"""The whole chain of docs/training.md as a user types it, small: generate, train, evaluate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import dense_desc

CONFIG = {
    "twins": {"crop": [96, 128], "path": "elsewhere"},
    "network": {"backbone": "resnet18", "descriptor_dim": 8, "keypoints": 8},
    "keypoint": {"weights": {"consistency": 10.0}},
    "optimisation": {"steps": 4, "batch_size": 1},
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dense_desc_ros.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=170)


def test_from_nothing_to_figures(tmp_path):
    for name, options in {
        "train": ("--instances", "2", "--views", "4"),
        "clutter": ("--instances", "1", "--views", "10", "--clutter", "--seed", "1"),
    }.items():
        size = ("--size", "160", "120")
        done = dense_desc("generate", "--out", f"data/{name}", *size, *options)
        assert done.returncode == 0, done.stderr

    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    asked = ("--config", "small.yaml", "--data", "data/train", "--device", "cpu")
    done = in_a_process("train", *asked)
    assert done.returncode == 0, done.stderr
    weights = "runs/small/weights.safetensors"
    assert (tmp_path / weights).exists()

    evaluated = {}
    for split, data in {
        "novel-view": "data/train",
        "cross-instance": "data/train",
        "absent": "data/clutter",
    }.items():
        asked = ("--split", split, "--data", data, "--pairs", "2", "--seeds", "0")
        done = dense_desc("evaluate", "--weights", weights, *asked, "--out", split, "--json")
        assert done.returncode == 0, done.stderr
        figures = json.loads(done.stdout)
        assert figures["split"] == split and len(figures["pck"]) == 100
        assert 0 <= figures["auc"] <= 1 and "auc_cosine" in figures and "median_px" in figures
        assert ("auroc" in figures) == (split == "absent")
        assert (tmp_path / split / "index.html").stat().st_size > 10_000
        evaluated[split] = figures["auc"]

    done = dense_desc("benchmark", "accuracy", *reversed(evaluated), "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [(row["split"], row["auc"]) for row in rows] == list(evaluated.items())
    assert [row["paper_auc"] for row in rows] == [0.928, None, None]  # for D = 8
    assert all((row["objective"], row["steps"]) == ("keypoint", 4) for row in rows)
    (tmp_path / "absent/results.json").write_text('{"split": "absent"}')
    done = dense_desc("benchmark", "accuracy", "absent")
    assert done.returncode == 2 and "absent/results.json" in done.stderr


def test_wrong_keys_and_data_end_in_one_line(tmp_path):
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(CONFIG | {"keypiont": {}}))
    (tmp_path / "right.yaml").write_text(yaml.safe_dump(CONFIG))
    for arguments, said in (
        (("--config", "wrong.yaml"), "wrong.yaml: unknown key keypiont"),
        (("--config", "right.yaml", "--data", "nowhere"), "nowhere"),
        ((), "--config or --images"),
    ):
        done = dense_desc("train", *arguments)
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].startswith("error: ")
        assert said in done.stderr
