"""A page as a real browser shows it, on a telephone and on a desk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (390, 1200)


def shown(path: Path, check: Callable[[Any], None]) -> list[str]:
    """Opens the page at each width, looks at what every page must have, then `check(tab)`; returns what it asked for.

    Skips where playwright or Chromium is missing: both are the system's, not the project's, and CI installs them.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    requests: list[str] = []
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in WIDTHS:
            tab = browser.new_page(viewport={"width": width, "height": 900}, java_script_enabled=True)
            tab.on("request", lambda request: requests.append(request.url))
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.goto(path.as_uri())
            assert tab.get_by_text("SYNTHETIC").first.is_visible()
            assert tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0
            assert tab.evaluate("document.documentElement.scrollWidth") <= width  # nothing runs out of the page
            check(tab)
        browser.close()
    assert complaints == []
    return requests


def tables_are_readable(tab: Any) -> None:
    """Sentences fit the page; a table of figures that does not fit scrolls, says so by a shade, and keeps its names."""
    assert tab.evaluate("[...document.querySelectorAll('.sentences')].every(e => e.scrollWidth <= e.clientWidth)")
    cut = [box for box in tab.locator(".scroll").all() if box.evaluate("e => e.scrollWidth > e.clientWidth")]
    for box in cut:
        assert box.evaluate("e => getComputedStyle(e).overflowX") == "auto"
        assert "gradient" in box.evaluate("e => getComputedStyle(e).backgroundImage")
        assert box.locator("tbody th").first.evaluate("e => getComputedStyle(e).position") == "sticky"
    if tab.viewport_size["width"] == min(WIDTHS):
        assert cut
        assert not any(box.locator("td.heat").count() and box.locator("th[scope=col]").count() < 7 for box in cut)
