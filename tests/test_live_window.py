"""The window shows the picture whole, takes keys, says what happens, and ends the run when it is closed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.display import Display, screen, seen_within
from tests.support.processes import start, wait_for
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError
from vid2vid_cli.live import overlay, window
from vid2vid_cli.live.outputs import ClosedError, LiveStatus
from vid2vid_cli.live.overlay import Overlay, change_of
from vid2vid_cli.media.probe import probe_video
from vid2vid_cli.pipeline.live_controls import LiveControls

Frame = npt.NDArray[np.uint8]
PORTRAIT = Path(__file__).resolve().parents[1] / "examples" / "portrait.jpg"
SOURCES = ("anna.png", "folder/bob.png")


class Deck:
    """Remembers what a window asks for."""

    source_count = 2

    def __init__(self) -> None:
        self.held, self.references, self.quits = LiveControls(), 0, 0

    @property
    def controls(self) -> LiveControls:
        return self.held

    @controls.setter
    def controls(self, controls: LiveControls) -> None:
        if controls.background == "white":
            raise UsageError("no white today")
        self.held = controls

    def take_reference(self) -> None:
        self.references += 1

    def quit(self) -> None:
        self.quits += 1


@pytest.fixture(scope="module")
def picture() -> Frame:
    """A picture (240, 320, 3) in which every place has a colour of its own."""
    rows, columns = np.mgrid[0:240, 0:320]
    return np.stack([rows, columns * 0.75, (rows + columns) / 3], axis=-1).astype(np.uint8)


@pytest.fixture
def deck() -> Deck:
    return Deck()


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch, deck: Deck) -> Iterator[window.Window]:
    """A window on no screen: SDL draws it into memory."""
    pytest.importorskip("pygame", reason="needs pygame-ce, the extra live")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened = window.Window(deck, (240, 320), SOURCES)
    yield opened
    opened.close()


def pygame() -> Any:
    return window.load_pygame()


def pixels() -> Frame:
    """Return what the window holds (H, W, 3)."""
    return np.asarray(pygame().surfarray.array3d(pygame().display.get_surface()).transpose(1, 0, 2))


def press(key: str, *, mod: int = 0, is_down: bool = True) -> None:
    """Press or release a key."""
    code = pygame().key.key_code(key)
    kind = pygame().KEYDOWN if is_down else pygame().KEYUP
    written = key if len(key) == 1 else ""
    pygame().event.post(pygame().event.Event(kind, key=code, mod=mod, unicode=written))


# --- pictures ---


def test_the_window_has_the_size_of_the_picture_and_shows_it_as_it_is(
    unseen: window.Window, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_s = time.monotonic() + 60  # when the first line is gone
    monkeypatch.setattr(window.time, "monotonic", lambda: shown_s)
    unseen.write(picture, LiveStatus())
    assert np.array_equal(pixels(), picture)
    unseen.write(picture[:, ::-1], LiveStatus())
    assert np.array_equal(pixels(), picture[:, ::-1])


@pytest.mark.parametrize(
    ("size", "shown"), [((480, 900), (480, 640)), ((600, 400), (300, 400)), ((120, 160), (120, 160))]
)
def test_another_size_keeps_the_shape(
    unseen: window.Window, size: tuple[int, int], shown: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_s = time.monotonic() + 60
    monkeypatch.setattr(window.time, "monotonic", lambda: shown_s)
    pygame().display.set_mode(size[::-1], pygame().RESIZABLE)
    unseen.write(np.full((240, 320, 3), (200, 100, 50), np.uint8), LiveStatus())
    rows, columns = np.nonzero(pixels().any(axis=-1))
    assert pixels().shape[:2] == size
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == shown
    assert abs(rows.min() - (size[0] - shown[0]) // 2) <= 1 and abs(columns.min() - (size[1] - shown[1]) // 2) <= 1


def test_a_large_picture_opens_within_the_desktop(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame", reason="needs pygame-ce, the extra live")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened = window.Window(deck, (4000, 3000), SOURCES)
    width, height = pygame().display.get_desktop_sizes()[0]
    shown = pygame().display.get_surface().get_size()
    opened.close()
    assert shown[0] <= width and shown[1] <= height and shown[0] / shown[1] == pytest.approx(0.75, abs=0.01)


# --- keys ---


def test_keys_change_the_controls_and_the_title(unseen: window.Window, deck: Deck, picture: Frame) -> None:
    for key in ("2", "m", "r", "+", "left", "up", ".", "b", "f", "p"):
        press(key)
    unseen.write(picture, LiveStatus())
    wanted = LiveControls(1, relative=False, strength=1.1, mirror=True, background="blur", yaw=-3, pitch=3, roll=3)
    assert deck.held == replace(wanted, is_frozen=True, is_paused=True)
    press("9")  # there are two portraits
    press("c")
    unseen.write(picture, LiveStatus(controls=deck.held))
    assert deck.held.source == 1 and deck.references == 1
    assert pygame().display.get_caption()[0] == "bob.png - vid2vid live"


def test_a_key_that_is_held_switches_once_but_turns_on(unseen: window.Window, deck: Deck, picture: Frame) -> None:
    for key in ("m", "m", "left", "left", "left"):  # without a release between
        press(key)
    unseen.write(picture, LiveStatus())
    assert deck.held.mirror and deck.held.yaw == -9
    press("m", is_down=False)
    press("m")
    press("f", mod=pygame().KMOD_CTRL)  # is another program's
    unseen.write(picture, LiveStatus())
    assert not deck.held.mirror and not deck.held.is_frozen


def test_q_ends_all_and_closing_the_window_ends_that(unseen: window.Window, deck: Deck, picture: Frame) -> None:
    press("q")
    unseen.write(picture, LiveStatus())
    assert deck.quits == 1
    pygame().event.post(pygame().event.Event(pygame().QUIT))
    with pytest.raises(ClosedError):
        unseen.write(picture, LiveStatus())
    assert deck.quits == 1


# --- what lies over the picture ---


def test_h_lays_panels_over_the_picture_and_takes_them_away(
    unseen: window.Window, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_s = time.monotonic() + 60
    monkeypatch.setattr(window.time, "monotonic", lambda: shown_s)
    grey = np.full((600, 800, 3), 200, np.uint8)
    pygame().display.set_mode((800, 600), pygame().RESIZABLE)
    unseen.write(grey, LiveStatus())
    assert (pixels() == 200).all()
    press("h")
    unseen.write(grey, LiveStatus(fps=24.9, camera=picture))
    covered = (pixels() != 200).any(axis=-1)
    assert covered[20:200, 20:200].all() and covered[20:200, -150:-20].all() and not covered[-100:].any()
    press("h", is_down=False)
    press("h")
    unseen.write(grey, LiveStatus())
    assert (pixels() == 200).all()


def test_what_happens_is_said_without_panels_for_some_seconds(
    unseen: window.Window, deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic() + 60]
    monkeypatch.setattr(window.time, "monotonic", lambda: now[0])
    grey = np.full((600, 800, 3), 200, np.uint8)
    pygame().display.set_mode((800, 600), pygame().RESIZABLE)

    def is_told(status: LiveStatus, after_s: float = 0.0) -> bool:
        now[0] += after_s
        unseen.write(grey, status)
        return bool((pixels()[400:] != 200).any())

    assert is_told(LiveStatus(message="no face in the picture"))
    assert is_told(LiveStatus(), 1) and not is_told(LiveStatus(), 5)
    press("m")
    assert is_told(LiveStatus()) and not is_told(LiveStatus(), 5)
    deck.held = replace(deck.held, background="blur")
    press("b")  # the next one is white, which the deck refuses
    assert is_told(LiveStatus()) and deck.held.background == "blur"


def test_panels_show_the_numbers_and_stay_apart() -> None:
    for size in ((512, 512), (1080, 1080), (720, 1280), (360, 360)):
        over = Overlay(SOURCES)
        over.is_shown = True
        camera = np.zeros((480, 640, 3), np.uint8)
        facts, preview, keys, text = over.layers(size, LiveStatus(25, 70, message="no face", camera=camera), 1.0)
        boxes = [(each.left, each.top, *each.picture.shape[1::-1]) for each in (facts, preview, keys, text)]
        assert all(left >= 0 and left + width <= size[1] for left, _, width, _ in boxes), size
        assert all(top >= 0 and top + height <= size[0] for _, top, _, height in boxes), size
        assert boxes[0][0] + boxes[0][2] <= boxes[2][0] and boxes[0][1] + boxes[0][3] <= boxes[1][1], size
        assert np.abs(preview.picture.shape[1] / preview.picture.shape[0] - 4 / 3) < 0.05


def test_a_window_of_a_few_pixels_is_no_error(unseen: window.Window, deck: Deck, picture: Frame) -> None:
    pygame().display.set_mode((2, 3), pygame().RESIZABLE)
    press("h")
    unseen.write(picture, LiveStatus(message="no face in the picture", camera=picture))
    assert pixels().shape == (3, 2, 3)


def test_a_display_that_fails_ends_the_window_in_a_line(
    unseen: window.Window, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flip() -> None:
        raise pygame().error("the display\nis gone")

    monkeypatch.setattr(pygame().display, "flip", flip)
    with pytest.raises(window.MediaError, match=r"^-o window: the display is gone$"):
        unseen.write(picture, LiveStatus())


def test_numbers_are_kept_long_enough_to_be_read() -> None:
    over = Overlay(SOURCES)
    over.is_shown = True
    first = over.layers((512, 512), LiveStatus(25.0, 70), 1.0)[0]
    assert over.layers((512, 512), LiveStatus(30.0, 60), 1.1)[0].picture is first.picture
    later = over.layers((512, 512), LiveStatus(30.0, 60), 1.3)[0]
    assert not np.array_equal(later.picture, first.picture)
    changed = LiveStatus(30.0, 60, controls=LiveControls(mirror=True))
    assert not np.array_equal(over.layers((512, 512), changed, 1.31)[0].picture, later.picture)  # a key shows at once


def test_facts_and_changes_are_words() -> None:
    status = LiveStatus(24.96, 71.4, is_held=True, dropped=3, faces=2, controls=LiveControls(1, yaw=-6, roll=3))
    assert overlay.facts_of(status, SOURCES) == (
        *(("frames/s", "25.0"), ("delay", "71 ms"), ("left out", "3"), ("face", "lost, motion held, 2 seen")),
        *(("portrait", "2/2 bob.png"), ("motion", "relative, strength 1.0"), ("turned", "yaw -6°, roll +3°")),
        *(("mirror", "off"), ("background", "keep"), ("picture", "live")),
    )
    assert change_of(LiveControls(), LiveControls(mirror=True, is_paused=True), SOURCES) == "mirror on, picture paused"
    assert change_of(LiveControls(), LiveControls(), SOURCES) == ""


# --- where there is no window ---


@pytest.mark.usefixtures("own_folder")
def test_without_a_display_a_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pygame", reason="needs pygame-ce, the extra live")
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a display")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["live", str(PORTRAIT), "--camera", str(PORTRAIT)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no display (neither DISPLAY nor WAYLAND_DISPLAY is set)" in line and "-o camera" in line
    monkeypatch.setenv("DISPLAY", ":987")  # which nobody serves
    with pytest.raises(window.MediaError, match=r"^-o window: no display \(.+\); leave the window out"):
        window.Window(Deck(), (240, 320), SOURCES)


@pytest.mark.usefixtures("own_folder")
def test_without_pygame_the_extra_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(window.metadata, "version", version)
    assert main(["live", str(PORTRAIT), "--camera", str(PORTRAIT)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'vid2vid[live]'" in line and "pygame-ce does not load" in line


# --- a real window on a real screen ---


@pytest.fixture(scope="module")
def display() -> Iterator[Display]:
    pytest.importorskip("pygame", reason="needs pygame-ce, the extra live")
    with screen() as started:
        yield started


def until(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def difference(seen: Frame, portrait: Frame) -> float:
    """Return the mean difference of what is seen and a portrait, in small: a turned head counts little."""
    small = [np.asarray(Image.fromarray(each).resize((32, 32)), float) for each in (seen, portrait)]
    return float(np.abs(small[0] - small[1]).mean())


def shaped(path: Path, side: int) -> Frame:
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((side, side))
    return np.asarray(picture)


def test_a_portrait_lives_in_a_window_until_that_is_closed(display: Display, media_dir: Path) -> None:
    woman, man = media_dir / "sources" / "s27_ai_woman.png", media_dir / "sources" / "s16_man_smiling.jpg"
    clip = media_dir / "drivings" / "d14_actor_left_turn_256.mp4"
    words = ("live", woman, man, "--camera", clip, "--loop", "--size", "256", "--duration", "400")
    child = start(*words, **display.environment, OMP_NUM_THREADS="1")
    seen_within(display, child)
    try:
        portraits = shaped(woman, 256), shaped(man, 256)
        assert until(lambda: display.title() == "s27_ai_woman.png - vid2vid live")
        assert until(lambda: difference(display.window_picture(), portraits[0]) < 25)
        assert difference(display.window_picture(), portraits[1]) > 40
        before = display.window_picture()
        assert until(lambda: not np.array_equal(before, display.window_picture()))  # it moves
        display.press("2")
        assert until(lambda: display.title() == "s16_man_smiling.jpg - vid2vid live")
        assert until(lambda: difference(display.window_picture(), portraits[1]) < 25)
        display.press("p")  # so that only the panels differ
        plain = corner(steady(display))
        display.press("h")
        assert until(lambda: np.abs(corner(display.window_picture()) - plain).mean() > 20)
        display.press("h", "p")
        display.resize((300, 600))
        assert until(lambda: display.window_picture().shape[:2] == (300, 600))
        assert until(lambda: not display.window_picture()[:, :140].any())  # 300 by 300 in the middle of 600
        assert display.window_picture()[:, 160:440].any(axis=(0, 2)).all()
        display.close_window()
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 0, err
    assert out.startswith("window: ") and "Traceback" not in err


def corner(picture: Frame) -> npt.NDArray[np.int64]:
    """Return a part of the upper left corner, where panels lie."""
    return picture[20:60, 20:60].astype(int)


def steady(display: Display) -> Frame:
    """Wait until the picture stands still, and return it."""
    pictures = [display.window_picture()]

    def stands() -> bool:
        pictures.append(display.window_picture())
        time.sleep(0.5)
        return np.array_equal(pictures[-1], display.window_picture())

    assert until(stands)
    return pictures[-1]


def test_what_is_recorded_goes_on_without_the_window_until_a_signal(
    display: Display, media_dir: Path, own_folder: Path
) -> None:
    clip = media_dir / "drivings" / "d14_actor_left_turn_256.mp4"
    outputs = ("-o", "window", "-o", "take.mp4", "--stats", "stats.jsonl")
    child = start("live", PORTRAIT, "--camera", clip, "--loop", "--size", "256", *outputs, **display.environment)
    seen_within(display, child)
    display.close_window()
    assert child.stderr is not None
    assert any("window: closed; the other outputs go on" in line for line in child.stderr)
    assert not display.window() and child.poll() is None
    before = pictures_in(Path("stats.jsonl"))
    wait_for(lambda: pictures_in(Path("stats.jsonl")) > before + 10, child)  # it goes on, however slowly
    child.terminate()
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert probe_video(Path("take.mp4")).frame_count > 5


def pictures_in(stats: Path) -> int:
    """Return how many pictures have been shown."""
    return stats.read_text().count("\n") if stats.exists() else 0
