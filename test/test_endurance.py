"""Soak, storm and kills in small, with the real node; and that they would notice what they are for.

At full length: `dense-desc benchmark soak`, `storm` and `kills`, see docs/endurance.md.
"""

import csv
from pathlib import Path

import pytest

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.endurance import soak as soak_module
from dense_desc_ros.evaluation.endurance.accounts import Accounts
from dense_desc_ros.evaluation.endurance.kills import kills
from dense_desc_ros.evaluation.endurance.ledger import Ledger
from dense_desc_ros.evaluation.endurance.log import complaints
from dense_desc_ros.evaluation.endurance.memory import Sample, drift
from dense_desc_ros.evaluation.endurance.storm import storm


def test_soak_goes_without_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_module, "RESTART_EVERY", 30)
    monkeypatch.setattr(soak_module, "LOOK_EVERY", 25)
    result = soak_module.soak(frames=60, references=4, out=tmp_path)
    assert result["errors"] == 0, (result["failures"], result["log"])
    assert result["references"] == 4
    assert result["processed"] >= 60 and result["dropped"] + result["unread"] > 0  # the bursts
    lost = result["dropped"] + result["unread"]
    assert result["frames_sent"] - lost <= result["processed"] <= result["frames_sent"]
    assert result["grasps"] > 0 and result["refusals"] > 0
    assert {name for name, count in result["calls"].items() if count} == {
        "register_reference",
        "list_references",
        "remove_reference",
        "compute_grasp",
        "set_parameters",
        "lifecycle",
    }
    assert 100 < result["memory_mb_end"] <= result["memory_mb_peak"]
    rows = list(csv.DictReader((tmp_path / "memory.csv").open()))
    assert int(rows[-1]["processed"]) == result["processed"]
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_storm_is_survived_and_accounted_for() -> None:
    result = storm(messages=100)
    told = {key: value for key, value in result.items() if key != "sent"}
    assert result["unexplained"] == [], told
    assert result["answered"] == result["good_frames"] > 3
    assert not result["wrong"] and not result["outside"], told
    assert sum(result["requests_refused"].values()) > 70
    assert sum(value for key, value in result["reported"].items() if key != "processed") > 30
    assert result["log_lines"] < len(result["sent"])


def test_kills_lose_nothing() -> None:
    result = kills(times=4)
    assert result["passed"], result
    assert result["kills"] == 4 and result["acknowledged"] >= 4
    assert result["during_writes"] > 0


def sample(frames: int, memory_mb: float) -> Sample:
    return Sample(frames / 10, frames, frames, 50, memory_mb)


def test_growth_after_the_warm_up_is_noticed() -> None:
    warming = [sample(n, 500 + n) for n in range(0, 100, 10)]
    growing = warming + [sample(n, 600 + n / 10) for n in range(100, 1001, 10)]
    change = drift(growing, 1000)
    assert (change.start_mb, change.end_mb, change.peak_mb) == pytest.approx((615, 695, 700))
    assert change.percent == pytest.approx(100 * 80 / 615)
    steady = warming + [sample(n, 600) for n in range(100, 1001, 10)]
    assert drift(steady, 1000).percent == 0
    with pytest.raises(InvalidInputError, match="take more frames"):
        drift(steady[:11], 1000)


def test_what_is_lost_or_of_another_version_is_noticed() -> None:
    ledger = Ledger()
    for name in ("a", "b", "c", "d"):
        ledger.ask(name, 1)
        ledger.promise(name, 1)
    for name in ("b", "c", "e", "f"):
        ledger.ask(name, 2)  # without an answer
    ledger.look({"b": 2, "c": 1, "d": 7, "e": 2})
    assert dict(ledger.outcomes) == {"lost": 1, "wrong": 1, "kept": 2, "gone": 2}
    ledger.look({"b": 2, "c": 1, "d": 7, "e": 2})  # which is what there is from then on
    ledger.look({"b": 2, "c": 1, "d": 7})
    assert ledger.outcomes["lost"] == 2


GOOD = {
    "received": "9",
    "received_depth": "10",
    "paired": "8",
    "dropped": "1",
    "unsynchronised": "3",
    "processed": "5",
    "refused": "3",
    "refused.color": "2",
    "refused.malformed": "1",
    "requests": "4",
    "requests_refused": "2",
    "requests_refused.click": "2",
}


@pytest.mark.parametrize(
    ("change", "unexplained"),
    [
        ({}, []),
        ({"refused.color": "1"}, ["missing frames", "complete frames"]),
        ({"refused.color": "1", "refused.depth": "1"}, ["counted more often than sent"]),
        ({"dropped": "0", "paired": "7"}, ["missing frames", "images"]),
        ({"unsynchronised": "2"}, ["images"]),
        ({"requests": "3"}, ["requests"]),
        ({"requests_refused.click": "1"}, ["refused requests"]),
    ],
)
def test_what_is_not_counted_is_noticed(change: dict[str, str], unexplained: list[str]) -> None:
    accounts = Accounts(color=9, depth=10, requests=4)
    accounts.expected.update({"processed": 5, "refused.color": 3, "refused.malformed": 1})
    accounts.refused.update({"click": 2, "register": 0})
    assert accounts.verdict({**GOOD, **change})["unexplained"] == unexplained


def test_complaints_are_the_first_lines_of_warnings_and_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "[INFO] [1.0] [node]: ready\n[WARN] [2.0] [node]: a\nmore\n[ERROR] [3.0] [n]: b\n"
    )
    assert complaints(log) == ["[WARN] [2.0] [node]: a", "[ERROR] [3.0] [n]: b"]
