"""The benchmark of the node: it runs, its figures fit together, it leaves nothing behind."""

import os
from pathlib import Path

import pytest

from dense_desc_ros.errors import WeightsError
from dense_desc_ros.evaluation.benchmark_node import benchmark_node
from dense_desc_ros.network import NetworkConfig


def test_figures_fit_together() -> None:
    domain = os.environ["ROS_DOMAIN_ID"]
    network = NetworkConfig("resnet18", 8, 16)
    result = benchmark_node(None, references=3, frames=12, network=network, size=(240, 320))
    stages = [result[f"{stage}_ms"] for stage in ("forward", "matching", "grasp", "messages")]
    assert all(milliseconds > 0 for milliseconds in stages)
    assert result["forward_ms"] < result["total_ms"]
    assert result["round_trip_ms"] > 0
    assert result["overhead"] == pytest.approx(result["total_ms"] / result["forward_ms"] - 1)
    assert 50 < result["memory_mb_start"] < 1.2 * result["memory_mb_end"]
    assert (result["frames"], result["references"]) == (12, 3)
    assert result["precision"] in ("float32", "bfloat16")
    assert result["grasps"] > 2.7  # or else what they take is not measured
    assert os.environ["ROS_DOMAIN_ID"] == domain


def test_unusable_weights_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read weights"):
        benchmark_node(tmp_path / "missing.safetensors", frames=1)
