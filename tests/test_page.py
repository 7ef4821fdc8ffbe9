"""The page of `vid2vid serve` in a real browser: what a person does with it, and what they then see."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.browser import SOON_MS, browsing, opened
from tests.support.clips import ffmpeg
from tests.support.servers import serving

pytest.importorskip(
    "playwright.sync_api", reason="playwright, which drives a browser, is missing; install the extra dev"
)

from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

expect.set_options(timeout=SOON_MS)

Pixels = NDArray[np.float32]  # (H, W, 3), 0 to 255

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIDE_PX, FRAMES = 256, 12
FPS = 4  # so slow that nothing is smoothed, and that a busy machine drops nothing
FACE = (slice(64, 192), slice(64, 192))  # of the portrait: away from the edges and from the label of live pictures
SAME = 6.0  # mean difference of the same picture after JPEG, of 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, a pair of which the right one is smaller, a short clip and a long one, the short one for a camera."""
    made = tmp_path_factory.mktemp("page")
    portrait = Image.open(EXAMPLES / "portrait.jpg").convert("RGB").resize((SIDE_PX, SIDE_PX))
    portrait.save(made / "portrait.png")
    pair = Image.new("RGB", (2 * SIDE_PX, SIDE_PX))
    pair.paste(portrait, (0, 0))
    pair.paste(portrait.resize((SIDE_PX * 3 // 4,) * 2), (SIDE_PX, SIDE_PX // 4))
    pair.save(made / "pair.png")
    shape = ["-vf", f"fps=12,setpts={12 / FPS}*PTS,scale={SIDE_PX}:{SIDE_PX}", "-r", str(FPS), "-pix_fmt", "yuv420p"]
    source = EXAMPLES / "driving.mp4"
    ffmpeg("-ss", "0.5", "-i", source, *shape, "-frames:v", str(FRAMES), "-crf", "12", "-an", made / "clip.mp4")
    ffmpeg("-i", made / "clip.mp4", made / "clip.y4m")
    ffmpeg("-stream_loop", "9", "-i", made / "clip.mp4", "-c", "copy", made / "long.mp4")
    (made / "notes.txt").write_text("only words\n")
    return made


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server.address


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with browsing(folder / "clip.y4m") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


def choose(page: Page, portrait: Path, driving: Path | None = None) -> None:
    page.set_input_files("#portrait-file", portrait)
    page.wait_for_selector("#portrait .drop.filled")
    if driving is not None:
        page.set_input_files("#driving-file", driving)
        page.wait_for_selector("#driving .drop.filled")


def pixels_of(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)


def canvas_of(page: Page) -> Pixels:
    address = page.evaluate("() => document.querySelector('#canvas').toDataURL('image/png')")
    return pixels_of(base64.b64decode(address.partition(",")[2]))


def pictures(page: Page) -> int:
    """Count the pictures that the server has sent for the canvas."""
    return int(page.locator("#canvas").get_attribute("data-pictures") or 0)


def wait_for_picture(page: Page, after: int = 0) -> None:
    for _ in range(600):
        if pictures(page) > after:
            return
        page.wait_for_timeout(50)
    raise AssertionError("no picture came")


def set_slider(slider: Locator, value: float) -> None:
    slider.evaluate("(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one[FACE] - other[FACE]).mean())


def download(page: Page) -> bytes:
    page.wait_for_selector("#job-download:not([hidden])")
    with page.expect_download() as saved:
        page.click("#job-download")
    return Path(saved.value.path()).read_bytes()


def frames_of(film: bytes, path: Path) -> list[Pixels]:
    path.write_bytes(film)
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    return list(np.frombuffer(raw, np.uint8).reshape(-1, SIDE_PX, SIDE_PX, 3).astype(np.float32))


def test_a_portrait_is_made_to_move(page: Page, folder: Path, tmp_path: Path) -> None:
    choose(page, folder / "portrait.png", folder / "clip.mp4")
    expect(page.locator("#portrait .chosen-facts")).to_have_text("Picture, 256×256, 1 face")
    expect(page.locator("#go")).to_have_text("Make it move")
    page.click("#go")
    page.wait_for_selector("#compare-result [data-name=Preview] img")
    film = frames_of(download(page), tmp_path / "film.mp4")
    assert len(film) == FRAMES
    assert max(difference(frame, film[0]) for frame in film) > SAME  # it moves
    portrait = pixels_of((folder / "portrait.png").read_bytes())
    assert np.abs(film[-1][:20] - portrait[:20]).mean() < SAME  # above her head all stays
    for role, media in (("source", "img"), ("driving", "video"), ("result", "video")):
        expect(page.locator(f"#compare-{role} {media}")).to_be_visible()
    page.evaluate("() => { document.querySelector('#compare-result video').currentTime = 0.6; }")
    expect(page.locator("#compare-driving video")).to_have_js_property("currentTime", 0.6)
    page.click("#job-list li:first-child button[aria-label^='Copy']")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "vid2vid reenact portrait.png clip.mp4"


def test_sliders_change_the_still_as_a_job_would(page: Page, folder: Path) -> None:
    choose(page, folder / "portrait.png")
    wait_for_picture(page)
    page.wait_for_timeout(200)
    still, seen = canvas_of(page), pictures(page)
    set_slider(page.locator("#yaw"), 20)
    wait_for_picture(page, seen)
    page.wait_for_timeout(300)
    turned = canvas_of(page)
    assert difference(turned, still) > 2 * SAME
    page.click("#go")
    made = pixels_of(download(page))
    assert difference(turned, made) < SAME
    assert "--yaw 20" in page.locator("#job-list code").first.inner_text()


def test_a_face_is_chosen_in_the_picture(page: Page, folder: Path) -> None:
    choose(page, folder / "pair.png")
    boxes = page.locator(".face-box input")
    expect(boxes).to_have_count(2)
    page.locator(".face-box").nth(1).click()
    expect(page.locator("#face")).to_have_value("1")
    boxes.nth(1).press("ArrowLeft")
    expect(boxes.nth(0)).to_be_checked()
    left, right = (page.locator(".face-box").nth(index).bounding_box() for index in (0, 1))
    picture = page.locator("#canvas").bounding_box()
    assert left and right and picture
    for box, portrait in ((left, (0, 0, 1)), (right, (1, 0.25, 0.75))):  # each box lies within its portrait
        x, y, side = (picture["height"] * part for part in portrait)
        assert picture["x"] + x < box["x"] and box["x"] + box["width"] < picture["x"] + x + side
        assert picture["y"] + y < box["y"] and box["y"] + box["height"] < picture["y"] + y + side


def test_errors_are_the_servers_lines(page: Page, folder: Path) -> None:
    page.set_input_files("#portrait-file", folder / "notes.txt")
    line = page.get_by_role("alert")
    expect(line).to_contain_text("notes.txt")
    page.get_by_role("button", name="Dismiss").click()
    expect(line).to_be_empty()
    choose(page, folder / "portrait.png")
    page.click("#go")  # no angle is set
    expect(line).to_contain_text("--yaw")


def test_a_reload_in_the_middle_loses_nothing_and_a_job_can_be_cancelled(page: Page, folder: Path) -> None:
    choose(page, folder / "portrait.png", folder / "long.mp4")
    set_slider(page.locator("#roll"), 7)
    page.click("#go")
    expect(page.locator("#job-words")).to_contain_text("of 120 frames")
    page.reload()
    expect(page.locator("#portrait .chosen-name")).to_have_text("portrait.png")
    expect(page.locator("#driving .chosen-name")).to_have_text("long.mp4")
    expect(page.locator("#roll")).to_have_value("7")
    expect(page.locator("#job-words")).to_contain_text("of 120 frames")
    expect(page.locator("#compare-driving video")).to_have_js_property("videoWidth", SIDE_PX)
    page.click("#job-cancel")
    expect(page.locator("#job-end")).to_have_text("Cancelled.", timeout=5000)
    expect(page.locator("#job-list li").first).to_contain_text("Cancelled")
    page.locator("#job-list li").first.get_by_role("button", name="Delete").click()
    expect(page.locator("#compare")).to_be_hidden()


def test_the_camera_drives_the_portrait_as_a_job_would(page: Page, folder: Path, tmp_path: Path) -> None:
    choose(page, folder / "portrait.png", folder / "clip.mp4")
    page.select_option("#relative", "no")  # where the motion begins does not matter then
    page.click("#go")
    film = frames_of(download(page), tmp_path / "film.mp4")
    page.click("[data-view=live]")
    page.uncheck("#live-mirror")
    page.click("#live-camera")
    wait_for_picture(page, pictures(page) + 4)
    errors = np.array([errors_now(page, film) for _ in range(12)])  # a row for each picture, a column for each frame
    assert np.median(errors.min(1)) < np.median(errors) / 2  # nearer to one of the frames than to the others
    steps = np.diff(errors.argmin(1)) % FRAMES
    assert steps.any() and np.mean(steps < FRAMES / 2) > 0.6  # and in their order
    expect(page.locator("#live-figures")).to_contain_text("frames/s")
    page.click("#live-camera")
    expect(page.locator("#self")).to_be_hidden()


def test_a_camera_asked_for_before_the_portrait_is_ready_starts_when_it_is(page: Page, folder: Path) -> None:
    held: list[tuple[WebSocketRoute, str | bytes]] = []  # what the server says, until the page may hear it
    may_hear = threading.Event()

    def hold(route: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            route.send(message) if may_hear.is_set() else held.append((route, message))

        route.connect_to_server().on_message(pass_on)

    page.route_web_socket("**/api/live**", hold)
    choose(page, folder / "portrait.png")
    page.click("[data-view=live]")
    button = page.locator("#live-camera")
    button.click()
    expect(button).to_have_text("Starting the camera…")
    button.click()
    expect(button).to_have_text("Start camera")
    button.click()
    may_hear.set()
    for route, message in held:
        route.send(message)
    expect(button).to_have_text("Stop camera")
    expect(page.get_by_role("alert")).to_be_empty()
    wait_for_picture(page, pictures(page) + 4)  # those are of the camera
    expect(page.locator("#live-figures")).to_contain_text("frames/s")


def errors_now(page: Page, film: list[Pixels]) -> list[float]:
    """Wait for the next picture of the canvas; how far each frame of a film is from it."""
    wait_for_picture(page, pictures(page))
    shown = canvas_of(page)
    return [difference(shown, frame) for frame in film]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_who_uses_it(browser: Browser, address: str, folder: Path, scheme: str) -> None:
    reason = "axe-core, which looks for barriers, is missing; install the extra dev"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()

    def barriers(page: Page) -> list[tuple[str, str]]:
        found = axe.run(page).response["violations"]
        return [(each["id"], each["nodes"][0]["html"]) for each in found]

    with opened(browser, address, scheme, width=1280 if scheme == "light" else 390) as page:
        assert barriers(page) == []
        choose(page, folder / "pair.png", folder / "clip.mp4")
        wait_for_picture(page)
        page.set_input_files("#driving-file", folder / "notes.txt")
        expect(page.get_by_role("alert")).to_contain_text("notes.txt")
        page.select_option("#background", "file")
        for fold in ("Expressions", "More options"):
            page.get_by_text(fold, exact=True).click()
        assert barriers(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
        page.get_by_role("button", name="Dismiss").click()
        page.click("[data-view=live]")
        assert barriers(page) == []
        page.click("#record-clip")
        expect(page.locator("#capture")).to_be_visible()
        assert barriers(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#capture")).to_be_hidden()


def test_all_of_it_works_from_the_keyboard(page: Page, folder: Path) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.locator(selector).evaluate("(wanted) => wanted === document.activeElement"):
                return
        raise AssertionError(f"{selector} is not reached")

    page.on("filechooser", lambda chooser: chooser.set_files(folder / "portrait.png"))
    tab_to("#theme")
    page.keyboard.press("Enter")  # from the system's colours to light ones
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    tab_to("#portrait-file")
    page.keyboard.press("Space")
    wait_for_picture(page)
    tab_to("#yaw")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#yaw")).to_have_value("5")
    tab_to("#go")
    page.keyboard.press("Enter")
    page.wait_for_selector("#job-download:not([hidden])")
    expect(page.get_by_role("status")).to_contain_text("Done in")
    tab_to("#job-list li:first-child .show")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-result img")).to_be_visible()
