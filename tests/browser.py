"""A page in a real browser: Debian's chromium, driven by Playwright."""

import contextlib
import os
import shutil
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def browser():
    """A tab of a headless Chromium, for one page after the other: starting one takes longest.

    Without a Chromium the test is skipped, and says so.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="install t1c[dev]")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    # Root has no user namespace to put the sandbox into.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=as_root)
        yield started.new_page(viewport={"width": 1280, "height": 800})
        started.close()


class Opened:
    """A page, and what went wrong on it: errors, and whatever it asked the network for."""

    def __init__(self, tab, path, color_scheme="light"):
        self.page = tab
        self.wrong = []
        self._noted = {
            "console": lambda message: self.wrong.append(message.text),
            "pageerror": lambda error: self.wrong.append(str(error)),
            "request": self._request,
        }
        for event, note in self._noted.items():
            tab.on(event, note)
        tab.emulate_media(color_scheme=color_scheme)
        tab.mouse.move(0, 0)
        tab.goto(path.as_uri())
        self.until("performance.getEntriesByName('t1c-shown').length > 0")

    def leave(self):
        """That nothing went wrong; the tab is free for another page."""
        for event, note in self._noted.items():
            self.page.remove_listener(event, note)
        assert self.wrong == []

    def _request(self, request):
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.wrong.append(f"asked for {request.url}")

    def until(self, condition):
        """Waits for JavaScript to be true (the page's policy forbids Playwright's own way)."""
        deadline = time.monotonic() + 20
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(20)

    def panel(self):
        return self.page.locator("#panel").inner_text()

    def boxes(self):
        """What is placed, by name."""
        return {box["id"]: box for box in self.page.evaluate("t1c.boxes()")}

    def selected(self):
        return self.page.evaluate("t1c.selected()")

    def click(self, name):
        """Clicks on a node or folded group; on the upper line of an open one."""
        box, view = self.boxes()[name], self.page.evaluate("t1c.view()")
        place = self.page.locator("#canvas").bounding_box()
        x = box["x"] + box["width"] / 2
        y = box["y"] + (4 if box["open"] else box["height"] / 2)
        self.page.mouse.click(
            place["x"] + view["x"] + x * view["scale"], place["y"] + view["y"] + y * view["scale"]
        )

    def pixels(self):
        """The canvas as bytes of a PNG."""
        return self.page.locator("#canvas").screenshot()
