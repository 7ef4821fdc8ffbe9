"""A browser for the page of `vid2vid serve`, or the reason why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SOON_MS = 60_000  # for what takes a second on an idle machine


@contextmanager
def browsing(camera: Path) -> Iterator[Browser]:
    """Start a headless browser whose camera shows a Y4M clip again and again."""
    reason = "playwright, which drives a browser, is missing; install the extra dev"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(BROWSERS)}")
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=path, args=[*flags, f"--use-file-for-fake-video-capture={camera}"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, scheme: str = "light", width: int = 1280, height: int = 860
) -> Iterator[Page]:
    """Open the page in a window of its own, wait until it has begun, and see that it threw no error."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(SOON_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()
    assert not errors
