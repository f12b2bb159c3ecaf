"""The benchmark of picks in the simulated cell, with a network that knows nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dense_desc_ros.data.images import read_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.picks import benchmark_picks as module
from dense_desc_ros.evaluation.picks.benchmark_picks import benchmark_picks


def test_it_goes_on_where_it_was_with_more_scenes(
    tiny_model: DescriptorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTINGS", replace(module.SETTINGS, looks=1))
    first = benchmark_picks(tiny_model, tmp_path, scenes=1)
    assert first["success_rate"] == 0 and sum(first["failures"].values()) == 1
    file = tmp_path / "unseen" / "0001.json"
    written, trial = file.stat().st_mtime_ns, json.loads(file.read_text())
    assert first["failures"] == {trial["failure"]: 1} and trial["message"]
    with pytest.raises(DataError, match="--resume"):
        benchmark_picks(tiny_model, tmp_path, scenes=2)
    with pytest.raises(InvalidInputError, match="another seed"):
        benchmark_picks(tiny_model, tmp_path, scenes=2, seed=1, resume=True)
    both = benchmark_picks(tiny_model, tmp_path, scenes=2, resume=True)
    assert both["conditions"][0]["picks"] == 2
    assert file.stat().st_mtime_ns == written
    assert both == json.loads((tmp_path / "results.json").read_text())
    for number in (1, 2):
        assert read_image(tmp_path / "unseen" / f"{number:04d}.png").shape == (240, 320, 3)
    assert read_image(tmp_path / "picks.png").shape == (240, 6 * 320, 3)


def test_what_cannot_be_measured_is_refused(tiny_model: DescriptorModel, tmp_path: Path) -> None:
    for said, asked in {
        "at least one scene": {"scenes": 0},
        "no grasp is taught": {"category": "spoons"},
        "no condition 'dark'": {"conditions": ["dark"]},
        "keypoints": {"conditions": ["aligned"]},
    }.items():
        with pytest.raises(InvalidInputError, match=said):
            benchmark_picks(tiny_model, tmp_path, **asked)
    assert not list(tmp_path.iterdir())
