"""A headless Chromium for tests of pages. Without one the test is skipped, or fails where WORLDBENCH_NEEDS_BROWSER is
set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, started."""
    program = next((p for p in map(shutil.which, NAMES) if p), None)
    if program is None:
        give_up = pytest.fail if os.environ.get("WORLDBENCH_NEEDS_BROWSER") else pytest.skip
        give_up(f"no browser to look at the page with ({', '.join(NAMES)}; Debian and Ubuntu: apt install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1200, height: int = 800, **options: Any) -> Iterator[Page]:
    """The page of a file. At the end it may not have complained, asked for another file, or opened a dialog."""
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    yield page
    assert complaints == []
    context.close()


def settled(page: Page) -> None:
    """Wait until the page is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
