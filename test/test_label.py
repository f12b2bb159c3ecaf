"""Points clicked in a browser, as a user does it."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import WatchedPage, browser_fixture, watched_fixture  # noqa: F401
from labelled_scene import bag_fixture, server_fixture  # noqa: F401
from replayed_scene import FRAMES

from dense_desc_ros.evaluation.replay.inputs import read_clicks, read_truth
from dense_desc_ros.labelling.server import LabelServer

DENSE_DESC = Path(sys.executable).with_name("dense-desc")


class User:
    """Somebody with a mouse and a keyboard."""

    def __init__(self, watched: WatchedPage, url: str) -> None:
        self.page = watched.page
        self.page.goto(url)
        self.is_shown()

    def is_shown(self) -> None:
        self.page.wait_for_selector("#view[aria-busy=false]")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.is_shown()

    def add(self, name: str) -> None:
        self.page.fill("#name", name)
        self.page.keyboard.press("Enter")

    def screen(self, u: float, v: float) -> tuple[float, float]:
        """Where a pixel is on the screen while the whole frame, 256x192, is shown."""
        box = self.page.locator("#view").bounding_box()
        scale = min(box["width"] / 256, box["height"] / 192)
        left = box["x"] + (box["width"] - 255 * scale) / 2
        top = box["y"] + (box["height"] - 191 * scale) / 2
        return left + u * scale, top + v * scale

    def click(self, u: float, v: float) -> None:
        self.page.mouse.click(*self.screen(u, v))

    def reads(self, selector: str, text: str) -> None:
        """Wait until something says this."""
        self.page.locator(selector, has_text=text).wait_for()

    def where(self) -> list[float]:
        """The pixel of the chosen point, as the list tells it."""
        text = self.page.locator("#points .chosen .where").inner_text()
        return [float(number) for number in re.findall(r"[\d.]+", text)[:2]]

    def drag(self, begin: tuple[float, float], end: tuple[float, float], beside: float) -> None:
        """Something on the screen, taken hold of so many px to the right of it."""
        self.page.mouse.move(begin[0] + beside, begin[1])
        self.page.mouse.down()
        self.page.mouse.move(end[0] + beside, end[1], steps=3)
        self.page.mouse.up()

    def saved(self) -> None:
        self.page.locator("#saved", has_text=re.compile("^saved$")).wait_for()


def assert_labels(path: Path, expected: dict[str, dict[Any, Any]]) -> None:
    """What is in a file, by pixels within 0.3: the mouse moves by whole pixels of the screen."""
    content = yaml.safe_load(path.read_text())
    assert [*content] == [*expected]
    for name, label in expected.items():
        assert [*content[name]] == [*label]
        for key, value in label.items():
            known = content[name][key]
            assert known == (value if type(value) is not list else pytest.approx(value, abs=0.3))


def test_a_user_labels_two_frames(watched: WatchedPage, bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.yaml"
    words = [DENSE_DESC, "label", bag, "--out", out, "--no-open", "--every", "3"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        user = User(watched, process.stdout.readline().strip())
        user.reads("#frame", f"frame 0 (1 of {(FRAMES + 2) // 3})")
        user.click(100, 80)  # asks for a name first
        user.add("mug")
        user.click(100, 80)
        user.reads("#points .chosen", "0.800 m, registered here")
        before = user.where()
        user.press("ArrowRight", "ArrowRight", "Shift+ArrowDown")
        assert user.where() == pytest.approx([before[0] + 0.2, before[1] + 1])
        user.add("cap")
        user.click(30, 100)
        user.reads("#points .chosen", "no depth")
        user.page.mouse.wheel(0, -600)
        user.page.mouse.wheel(0, -600)
        user.click(30, 100)  # what the mouse is at stays where it is
        assert user.where() == pytest.approx([30, 100], abs=0.3)
        user.drag(
            user.screen(30, 100), user.screen(40, 100), beside=20
        )  # the picture, not the point
        assert user.where() == pytest.approx([30, 100], abs=0.3)
        user.press("0")
        user.click(60, 50)
        user.press("n")
        user.reads("#frame", "frame 3 (2 of")
        user.press("h", "1")
        user.click(150, 120)
        user.drag(user.screen(150, 120), user.screen(110, 90), beside=3)
        user.click(200, 30)
        user.press("u", "r")
        user.saved()
        cap = {"frame": 0, "pixel": [60, 50], 0: [60, 50]}
        mug = {"frame": 3, "pixel": [110, 90], 0: [100.2, 81], 3: [110, 90]}
        assert_labels(out, {"mug": mug, "cap": cap | {3: None}})
        user.page.reload()
        user.is_shown()
        user.reads("#points li:nth-child(2)", "cap")
        user.press("n", "2")
        user.reads("#points .chosen", "hidden")
        user.press("h")  # not hidden after all
        user.reads("#points .chosen", "no label here")
        user.saved()
        assert watched.problems == []
        assert all(url.startswith(user.page.url) for url in watched.requests)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and f"the points are in {out}" in said
    assert_labels(out, {"mug": mug, "cap": cap})
    assert {name: click.frame for name, click in read_clicks(out).items()} == {"mug": 3, "cap": 0}
    assert {n: [*track] for n, track in read_truth(out).items()} == {"mug": [0, 3], "cap": [0]}


def test_what_others_wrote_is_not_lost(watched: WatchedPage, server: LabelServer) -> None:
    user, path = User(watched, server.url), server.file.path
    user.add("mug")
    user.click(100, 80)
    user.saved()
    theirs = "mug: {frame: 0, pixel: [1, 2], 0: [1, 2]}\ncup: {7: null}\n"
    path.write_text(theirs)
    user.click(50, 50)
    user.reads("#problem", "was changed by another program")
    user.reads("#saved", "not saved")
    assert path.read_text() == theirs
    user.page.click("#load")
    user.saved()
    user.reads("#points .chosen", "1.0, 2.0")
    user.press("n")
    user.click(60, 60)
    user.saved()
    assert_labels(path, {"mug": yaml.safe_load(theirs)["mug"] | {1: [60, 60]}, "cup": {7: None}})
    path.write_text("{}")
    user.press("h")
    user.reads("#problem", "was changed by another program")
    user.page.click("#overwrite")
    user.saved()
    assert yaml.safe_load(path.read_text())["mug"][1] is None
    # A page that cannot save says so, and does when it can.
    path.unlink()
    path.mkdir()
    user.press("u")
    user.reads("#problem", "cannot read")
    path.rmdir()
    user.page.click("#retry")
    user.reads("#problem", "was changed by another program")
    user.page.click("#overwrite")
    user.saved()
    assert user.page.locator("#problem").is_hidden()
    assert yaml.safe_load(path.read_text())["mug"][1] == pytest.approx([60, 60], abs=0.3)


def test_a_name_that_is_none_is_refused(watched: WatchedPage, server: LabelServer) -> None:
    user = User(watched, server.url)
    user.add("../mug")
    assert user.page.locator("#name").evaluate("(field) => field.validationMessage") != ""
    assert user.page.locator("#points li").count() == 0
    assert watched.problems == []
