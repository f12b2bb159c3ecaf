"""Reports as a reader opens them: in a browser, from the disk, without a network."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import WatchedPage, browser_fixture, watched_fixture  # noqa: F401
from replayed_scene import OTHER, POINT, STEP_NS, call, recorded, run, truth_of, write_bag

CLICKS = {"here": POINT, "there": OTHER}
FRAMES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replays and their comparison."""
    folder = tmp_path_factory.mktemp("reports")
    bag = write_bag(folder / "bag", FRAMES)
    run(bag, folder / "a", CLICKS, truth_of(**CLICKS))
    run(bag, folder / "b", CLICKS, truth_of(**CLICKS), "--min-score", 0.98)
    code, _, said = call("compare", folder / "a", folder / "b", "--out", folder / "a_b")
    assert code == 0, said
    return folder


def open_report(watched: WatchedPage, folder: Path, *beside: str) -> Any:
    """The page, of which every picture can be seen, and which asked only for what is beside it."""
    page = watched.page
    page.goto((folder / "index.html").as_uri())
    for n in range(page.locator("img").count()):  # those further down are loaded when looked at
        page.locator("img").nth(n).scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert widths and min(widths) > 0
    asked = [(folder / name).as_uri() for name in ("index.html", *beside)]
    assert watched.problems == [] and {*watched.requests} == {*asked}
    # No table sticks out of the page.
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    return page


def cells(table: Any) -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tr").all()]


def test_a_replay(watched: WatchedPage, folder: Path) -> None:
    page = open_report(watched, folder / "a", "overlay.mp4")
    results = json.loads((folder / "a" / "results.json").read_text())
    facts = dict(cells(page.locator("table").nth(0)))
    assert facts["frames"] == str(FRAMES) and facts["fingerprint"] == results["fingerprint"]
    heading, *rows = cells(page.locator("table").nth(1))
    assert [row[0] for row in rows] == list(results["references"])
    for row in rows:
        shown = dict(zip(heading, row, strict=True))
        for figure, value in results["references"][shown["reference"]].items():
            if isinstance(value, int | float) and figure in shown:
                assert float(shown[figure]) == pytest.approx(value, rel=1e-3), figure
    for figure in ("found_rate", "auc", "median_px", "visible", "position_spread_mm"):
        assert figure in heading
    heading, *rows = cells(page.locator("table").nth(2))
    for part, *percentiles in rows:
        known = [results["latency_ms"][part][percentile] for percentile in heading[1:]]
        assert [*map(float, percentiles)] == pytest.approx(known, abs=0.051)
    page.wait_for_function("document.querySelector('video').readyState >= 2")  # has a picture
    film = page.locator("video").evaluate("v => [v.duration, v.videoWidth, v.videoHeight]")
    height, width = recorded()[0].depth.shape
    assert film == [pytest.approx(FRAMES * STEP_NS / 1e9, abs=0.1), width, height]
    assert page.locator("h2").all_inner_texts() == ["References", "here", "there"]


def test_a_comparison(watched: WatchedPage, folder: Path) -> None:
    page = open_report(watched, folder / "a_b")
    comparison = json.loads((folder / "a_b" / "comparison.json").read_text())
    (entry,) = comparison["comparisons"]
    differences = entry["differences"]
    rows = cells(page.locator("table.differences"))[1:]
    assert len(rows) == sum(map(len, differences.values()))
    for name, figure, first, this, difference, interval, frames, verdict in rows:
        known = differences[name][figure]
        for text, key in ((first, "first"), (this, "second"), (difference, "value")):
            assert float(text) == pytest.approx(known[key], rel=1e-2, abs=1e-12)
        if known["low"] is not None:
            ends = [float(end) for end in interval.split(" to ")]
            assert ends == pytest.approx([known["low"], known["high"]], rel=1e-2, abs=1e-12)
        assert frames == str(known["frames"]) and verdict == (known["verdict"] or "")
    shown = entry["most_different"]
    assert shown and page.locator(".pictures").count() == len(shown)
    pairs = page.locator(".pictures").first.locator("img")
    boxes = [pairs.nth(n).bounding_box() for n in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]  # side by side
    captions = page.locator("figcaption").all_inner_texts()
    assert re.search(r"refused \(rightly: it is hidden\)", " ".join(captions))
    assert "settings differ: min_score" in page.locator(".note").first.inner_text()
