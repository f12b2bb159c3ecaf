"""Pages in a real browser, watched for everything that should not happen.

Tests import the fixtures, `browser_fixture` too, which is what `watched` is made of.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 800}


class WatchedPage:
    """A page of a browser, and what went on in it.

    Attributes:
        page: as playwright has it.
        problems: errors of scripts, of the console, and answers that are none.
        requests: addresses of all that was asked for, but for data in the page itself.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: m.type in ("error", "warning") and self._add(m.text))
        page.on("pageerror", lambda error: self._add(str(error)))
        page.on("requestfailed", lambda request: self._add(f"failed: {request.url}"))
        page.on("request", self._asked)

    def _add(self, problem: str) -> None:
        self.problems.append(problem)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith("data:"):
            self.requests.append(request.url)


@pytest.fixture(name="browser", scope="module")
def browser_fixture() -> Iterator[Any]:
    """Chromium without a window."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUM)} is installed")
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield chromium
        chromium.close()


@pytest.fixture(name="watched")
def watched_fixture(browser: Any) -> Iterator[WatchedPage]:
    """A page of its own."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(20_000)
    yield WatchedPage(context.new_page())
    context.close()
