"""The command line: what it says, what it answers, what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import dense_desc

from dense_desc_ros.commands.options import show
from dense_desc_ros.data.images import read_image, write_image

DENSE_DESC = Path(sys.executable).with_name("dense-desc")


def installed(*arguments):
    """The command as it is installed, in a process of its own."""
    command = [DENSE_DESC, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def assert_refused(result, reason):
    assert result.returncode == 2, result.stderr
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stdout == ""


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_model):
    """Weights, a picture, and the same picture with its content moved by (32, 64) pixels."""
    folder = tmp_path_factory.mktemp("files")
    tiny_model.save(folder / "weights.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (384, 288), interpolation=cv2.INTER_CUBIC)
    write_image(folder / "a.png", picture)
    write_image(folder / "b.png", np.roll(picture, (64, 32), axis=(0, 1)))
    return folder


def match(files, *arguments, pixel="150,130", run=dense_desc):
    return run(
        "match",
        *("--weights", files / "weights.safetensors", "--reference", files / "a.png"),
        *("--pixel", pixel, "--target", files / "a.png", "--target", files / "b.png"),
        *arguments,
    )


def test_help_names_every_command():
    shown = installed("--help").stdout
    for command in ("train", "match", "record", "play", "replay", "benchmark", "demo"):
        assert command in shown
    assert "no labels" in dense_desc("train", "--help").stdout


def test_match_finds_a_point_where_the_picture_moved(files, tmp_path):
    asked = ("--pixel", "90.5,100", "--json", "--out", tmp_path / "overlay.png")
    result = match(files, *asked, run=installed)
    assert result.returncode == 0, result.stderr
    same, other, moved, _ = json.loads(result.stdout)["matches"]
    assert same["target"] == str(files / "a.png")
    assert same["pixel"] == [150, 130] and same["score"] == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(np.subtract(moved["pixel"], [182, 194])) < 16
    assert (same["point"], other["point"]) == (1, 2)
    assert np.linalg.norm(np.subtract(other["pixel"], [90.5, 100])) < 1
    assert read_image(tmp_path / "overlay.png").shape == (2 * 288, 2 * 384, 3)


def test_what_cannot_be_matched_ends_in_one_line(files, tmp_path):
    refused = match(files, pixel="500,10", run=installed)  # and libraries say nothing either
    assert_refused(refused, "outside the 384x288 image")
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes((files / "weights.safetensors").read_bytes()[:1000])
    (tmp_path / "a.png").write_text("no picture")
    picture = ("--reference", files / "a.png", "--pixel", "1,1", "--target")
    refused = dense_desc("match", "--weights", broken, *picture, files / "b.png")
    assert_refused(refused, "cannot read weights")
    weights = files / "weights.safetensors"
    refused = dense_desc("match", "--weights", weights, *picture, tmp_path / "a.png")
    assert_refused(refused, "cannot read picture")
    assert_refused(match(files, pixel="150 130"), "'150 130' is not U,V")


def test_commands_refuse_what_is_not_there(tmp_path):
    for reason, arguments in (
        ("no colour", ("train", "--images", tmp_path, "--out", tmp_path / "run")),
        ("has no frames", ("record", tmp_path, tmp_path / "bag")),
        (str(tmp_path / "bag"), ("play", tmp_path / "bag")),
        ("has no frames", ("demo-learning", "--data", tmp_path, "--out", tmp_path)),
    ):
        assert_refused(dense_desc(*arguments), reason)


def test_tables_are_whole_however_narrow_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    one = {f"a_rather_long_name_{i}": f"value_{i}" for i in range(5)}
    for rows in ([one], [one, one]):
        show({}, rows, as_json=False)
        printed = capsys.readouterr().out
        for key, value in one.items():
            assert printed.count(key) == 1 and printed.count(value) == len(rows)


def test_benchmark_matching_prints_what_others_rely_on():
    asked = ("--dim", 8, "--references", 3, "--repeats", 1, "--json")
    result = dense_desc("benchmark", "matching", *asked)
    (row,) = json.loads(result.stdout)["results"]
    assert row["d"] == 8 and row["references"] == 3 and row["speedup"] > 0
    assert row["max_pixel_difference"] <= 1 and row["max_similarity_difference"] < 1e-4
