"""The benchmark of ways to run a network, as its command prints it."""

import json

import pytest
from typer.testing import CliRunner

from dense_desc_ros.cli import app
from dense_desc_ros.evaluation.benchmark_forward import BASELINE, PLAIN


def test_every_way_gives_the_same_features_and_its_time():
    options = ["--backbone", "resnet18", "--output-stride", "32", "--threads", "1"]
    arguments = ["benchmark", "forward", *options, "--repeats", "1", "--json"]
    ran = CliRunner().invoke(app, arguments, catch_exceptions=False)
    result = json.loads(ran.stdout)
    ways = {row["way"]: row for row in result["results"]}
    difference = {name: row["largest_difference"] for name, row in ways.items()}
    assert difference.pop(BASELINE) == 0
    assert difference.pop("torch, channels first") < 1e-4
    assert difference.pop("torch.compile") < 1e-4
    assert 1e-4 < difference.pop("torch, bfloat16") < 0.2  # another precision, not another network
    for name in (PLAIN, f"{PLAIN}, autocast", f"{PLAIN}, bfloat16"):
        assert difference.pop(name) is None
    assert all(value < 1e-3 for value in difference.values())  # ONNX's, where they are installed
    assert {row["threads"] for row in ways.values()} == {1}
    assert all(row["ms"] > 0 and row["cpu_ms"] > 0 for row in ways.values())
    plain = ways[PLAIN]
    assert plain["speedup"] == pytest.approx(ways[BASELINE]["ms"] / plain["ms"])
    assert result["preprocessing_ms"] > 0
