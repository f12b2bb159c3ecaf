"""Replays held against each other, whose differences are known."""

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from replayed_scene import HIDDEN, OTHER, POINT, call, run, truth_of, write_bag
from scipy.signal import lfilter

from dense_desc_ros.evaluation import block_bootstrap
from dense_desc_ros.evaluation.block_bootstrap import MEAN, MEDIAN, paired_difference, resample
from dense_desc_ros.grasping.settings import PipelineSettings

SHIFT = 4  # px beside the point, which is a feature
CLICKS = {"here": POINT, "there": OTHER}
TRUTH = truth_of(**CLICKS)
FRAMES = 12
STRICT = 0.98  # score
# 0.8 m away with a focal length of 240 px; of 640x480 pixels these four are ten.
SHIFT_MM, AUC_LOST = 1e3 * SHIFT * 0.8 / 240, -0.09


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A right run, one that is wrong about one reference, and one of a third of the frames."""
    folder = tmp_path_factory.mktemp("runs")
    bag = write_bag(folder / "bag", FRAMES)
    run(bag, folder / "right", CLICKS, TRUTH)
    beside = {"here": (POINT[0] + SHIFT, POINT[1]), "there": OTHER}
    run(bag, folder / "wrong", beside, TRUTH, "--min-score", STRICT)
    run(bag, folder / "third", beside | {"more": (60, 60)}, TRUTH, "--every", 3)
    return folder


def compare(*runs: Path, out: Path) -> tuple[Any, str]:
    """What comparing runs gives, and says."""
    code, printed, said = call("compare", *runs, "--out", out, "--json")
    assert code == 0, said
    comparison = json.loads(printed)
    assert json.loads((out / "comparison.json").read_text()) == comparison
    return comparison, said


@pytest.fixture(scope="module")
def compared(folder: Path) -> tuple[Any, Path]:
    """The comparison of the right and the wrong run, and its folder."""
    out = folder / "compared"
    return compare(folder / "right", folder / "wrong", out=out)[0], out


def test_runs_are_compared_on_what_they_share(folder: Path, tmp_path: Path) -> None:
    runs = [folder / name for name in ("right", "wrong", "third")]
    comparison, said = compare(*runs, out=tmp_path)
    assert comparison["frames"] == FRAMES / 3 and comparison["references"] == ["here", "there"]
    moved = "here is {'frame': 0, 'pixel': [120.0, 100.0]}"
    for note in (
        f"only in some runs, not compared: more of {runs[2]}",
        f"{FRAMES * 2 // 3} of {FRAMES} frames of {runs[0]} are not in all runs",
        f"{FRAMES * 2 // 3} of {FRAMES} frames of {runs[1]} are not in all runs",
        f"settings differ: min_score is {PipelineSettings.min_score} in {runs[0]}, {STRICT} in "
        f"{runs[1]}",
        f"registered differ: {moved} in {runs[0]}, {{'frame': 0, 'pixel': [124.0, 100.0]}} in "
        f"{runs[1]}",
    ):
        assert note in comparison["notes"] and note in said
    assert len(comparison["notes"]) == 6
    assert [each["run"] for each in comparison["comparisons"]] == list(map(str, runs[1:]))
    # Four frames are too few for an interval, so that nobody is called better.
    auc = comparison["comparisons"][1]["differences"]["here"]["auc"]
    assert auc["value"] == pytest.approx(AUC_LOST) and auc["low"] is auc["verdict"] is None
    code, printed, _ = call("compare", *runs)
    assert code == 0 and str(FRAMES // 3) in printed


def test_differences_are_those_that_were_made(compared: tuple[Any, Path]) -> None:
    (entry,) = compared[0]["comparisons"]
    here, there = entry["differences"]["here"], entry["differences"]["there"]
    for figure, value in (("error_px", SHIFT), ("error_mm", SHIFT_MM)):
        assert here[figure]["value"] == pytest.approx(value, abs=1e-2)
        assert here[figure]["first"] == pytest.approx(0, abs=1e-2)
        assert there[figure]["value"] == pytest.approx(0, abs=1e-2)
    assert here["auc"]["value"] == pytest.approx(AUC_LOST)
    assert here["auc"]["verdict"] == here["error_px"]["verdict"] == "worse"
    assert here["near_rate"]["verdict"] == "equal" and here["score"]["verdict"] is None
    assert entry["differences"]["all references"]["auc"]["verdict"] == "worse"
    # Not of the frame on which it was registered, nor of the one in which it is hidden.
    assert here["error_px"]["frames"] == FRAMES - 2
    assert entry["apart"]["here"]["median_mm"] == pytest.approx(SHIFT_MM, abs=1e-2)
    assert entry["apart"]["there"]["median_mm"] == pytest.approx(0, abs=1e-2)


def test_it_says_in_which_frames_runs_differ(folder: Path, compared: tuple[Any, Path]) -> None:
    (entry,) = compared[0]["comparisons"]
    for name in CLICKS:
        found = [found_frames(folder / each, name) for each in ("right", "wrong")]
        assert entry["found"][name] == {
            "both": len(found[0] & found[1]),
            "only_first": len(found[0] - found[1]),
            "only_this": len(found[1] - found[0]),
            "neither": FRAMES - len(found[0] | found[1]),
        }
    # Something was found in the noise, and by the strict one it was not.
    assert entry["found"]["here"]["only_first"] == 1
    shown = entry["most_different"]
    assert (shown[0]["frame"], shown[0]["disagreement"]) == (HIDDEN, 1)
    # Where the truth is not held against them, how far they are apart; and not all of one second.
    apart = SHIFT_MM / (SHIFT_MM + 30)
    assert [each["disagreement"] for each in shown[1:]] == pytest.approx([apart, -AUC_LOST], 1e-3)
    assert [shown[1]["frame"], shown[2]["frame"]] == [0, 10]
    page = (compared[1] / "index.html").read_text()
    assert page.count("data:image/jpeg") == 6 and "rightly: it is hidden" in page


def found_frames(folder: Path, name: str) -> set[int]:
    lines = map(json.loads, (folder / "frames.jsonl").read_text().splitlines())
    return {line["frame"] for line in lines if name in {g["name"] for g in line["grasps"]}}


def test_what_cannot_be_compared_ends_in_one_line(folder: Path, tmp_path: Path) -> None:
    right = folder / "right"

    def broken(name: str, file: str, content: bytes | None) -> Path:
        copy = shutil.copytree(right, tmp_path / name)
        (copy / file).unlink() if content is None else (copy / file).write_bytes(content)
        return copy

    lines = (right / "frames.jsonl").read_bytes().splitlines(keepends=True)
    description = json.loads((right / "run.json").read_text())
    description["bags"][0]["name"] = "another"
    results = json.loads((right / "results.json").read_text())
    results["references"] = {"else": {}}
    for other, reason in (
        (right, "two different runs"),
        (tmp_path / "none", "there is no folder"),
        (tmp_path, "is no run of `dense-desc replay`"),
        (broken("a", "results.json", None), "is not finished"),
        (broken("b", "results.json", b"{}"), "of something else"),
        (broken("c", "frames.jsonl", b"".join(lines[:5])), "is not finished"),
        (broken("d", "frames.jsonl", b"".join(lines[:5]) + lines[5][:40]), "cannot read"),
        (broken("e", "measures.jsonl", b"[1]\n" * FRAMES), "measures.jsonl"),
        (broken("f", "run.json", json.dumps(description).encode()), "no frame in common"),
        (broken("g", "results.json", json.dumps(results).encode()), "cannot read"),
    ):
        code, printed, said = call("compare", right, other)
        assert (code, printed) == (2, "") and reason in said, (other, said)
        assert len(said.splitlines()) == 1


def correlated(count: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """A film of one value, of variance 1, each `memory` times the one before and something new."""
    new = np.sqrt(1 - memory**2) * rng.normal(size=count + 100)
    return lfilter([1], [1, -memory], new)[100:, None]


@pytest.mark.parametrize("statistic", [MEAN, MEDIAN], ids=["mean", "median"])
def test_intervals_cover_the_truth(statistic: Any) -> None:
    """As often as they say, for errors of one frame that are those of the next by 60 %."""
    rng, recordings = np.random.default_rng(0), np.repeat([0, 1], 200)
    first, truth = np.zeros((400, 1)), 0.5

    def is_covered(seed: int) -> bool:
        second = truth + correlated(400, 0.6, rng)
        found = paired_difference(first, second, recordings, statistic, seed)
        return found.low < truth < found.high

    with mock.patch.object(block_bootstrap, "REPLICATES", 100):
        assert 0.9 <= np.mean([is_covered(n) for n in range(120)]) <= 0.99
        with mock.patch.object(block_bootstrap, "LEAST_BLOCKS", 400):  # blocks of single frames
            assert np.mean([is_covered(n) for n in range(40)]) < 0.82


def test_blocks_stay_in_their_recording() -> None:
    rng = np.random.default_rng(0)
    for block in (1, 3, 7, 20):
        drawn = resample([5, 12], block, rng)
        assert len(drawn) == 17 and (drawn >= 0).all() and (drawn < 17).all()
        for begin in range(0, 17, block):
            assert len(set(drawn[begin : begin + block] < 5)) == 1
    steps = np.diff(resample([1000], 50, rng))
    assert np.mean((steps == 1) | (steps == -999)) > 0.97


def test_what_only_one_has_is_no_difference() -> None:
    first, second = np.zeros((20, 2)), np.ones((20, 2))
    first[:10, 0] = second[15:, 1] = np.nan
    second[:15, 1] = 3
    found = paired_difference(first, second, np.zeros(20, int), MEAN)
    assert found is not None and found.frames == 20
    assert found.value == pytest.approx((10 * 1 + 15 * 3) / 25)
    assert paired_difference(first, np.full((20, 2), np.nan), np.zeros(20, int), MEAN) is None
