"""Make the pictures of the page of `vid2vid serve`: python -m docs.images.make_screenshots, from the repository's root.

From the bundled examples alone, with a browser as the tests use it: a job that is done on a desktop, and a camera
that drives the portrait on a phone.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.support.browser import browsing, opened
from tests.support.clips import ffmpeg
from tests.support.servers import serving

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
SMILE_S = 1.6
MOST_BYTES = 250_000
COLOURS = 256


def main() -> None:
    """Write serve.png and serve_phone.png beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.y4m"
        ffmpeg("-ss", str(SMILE_S - 0.2), "-i", DRIVING, "-frames:v", "8", "-pix_fmt", "yuv420p", camera)
        with serving(Path(folder) / "server") as server, browsing(camera) as browser:
            with opened(browser, server.address, "light", 1280, 900) as page:
                save(show_result(page), HERE / "serve.png")
            with opened(browser, server.address, "dark", 390, 844) as page:
                save(show_live(page), HERE / "serve_phone.png")


def show_result(page: Page) -> bytes:
    """Make the portrait move, and stop where it smiles."""
    page.set_input_files("#portrait-file", PORTRAIT)
    page.set_input_files("#driving-file", DRIVING)
    page.wait_for_selector("#driving .drop.filled")
    page.wait_for_selector("#portrait .drop.filled")
    page.click("#go")
    film = page.wait_for_selector("#compare-result video")
    film.evaluate(f"film => {{ film.controls = false; film.currentTime = {SMILE_S}; }}")
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(2000)
    return page.screenshot()


def show_live(page: Page) -> bytes:
    """Let the camera drive the portrait for a moment."""
    page.set_input_files("#portrait-file", PORTRAIT)
    page.wait_for_selector("#canvas[data-pictures]")
    page.click("[data-view=live]")
    page.click("#live-camera")
    page.wait_for_timeout(4000)
    page.evaluate("window.scrollTo(0, document.querySelector('#stage').offsetTop - 8)")
    page.wait_for_timeout(500)
    return page.screenshot()


def save(screenshot: bytes, path: Path) -> None:
    """Save a screenshot, with no more colours than a palette has where it would be too large."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        picture.quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path}: larger than {MOST_BYTES} bytes")


if __name__ == "__main__":
    main()
