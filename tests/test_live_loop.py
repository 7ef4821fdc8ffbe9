"""The loop between camera and outputs: newest first, bounded, in order, and on its feet again after whatever breaks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.live import camera as camera_module
from vid2vid_cli.live.camera import Camera, Shot, WallClock
from vid2vid_cli.live.commands import COMMANDS, DIGITS, Action, help_lines, press
from vid2vid_cli.live.loop import LiveLoop, LoopSettings, fitted
from vid2vid_cli.live.messages import Messages
from vid2vid_cli.live.newest import Newest, OverError
from vid2vid_cli.live.outputs import ClosedError, LiveStatus
from vid2vid_cli.live.recordings import Pacer
from vid2vid_cli.live.statistics import Statistics
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.live_reader import LiveReading

SIZE = (16, 24)
PATIENCE_S = 20.0


def numbered(number: int, size: tuple[int, int] = SIZE) -> Frame:
    return np.full((*size, 3), (number & 255, number >> 8 & 255, 0), np.uint8)


def number_of(frame: Frame) -> int:
    return int(frame[0, 0, 0]) + 256 * int(frame[0, 0, 1])


class FakeCapture:
    """Gives numbered pictures, one every step, then ends as it is told."""

    def __init__(self, count: int, step_s: float = 0.0, error: MediaError | None = None, first: int = 1) -> None:
        self._numbers, self._step_s, self._error = range(first, first + count), step_s, error
        self._is_stopped = threading.Event()
        self.is_closed = False

    def frames(self, silence_s: float | None = None) -> Iterator[Frame]:
        for number in self._numbers:
            if self._is_stopped.wait(self._step_s):
                return
            yield numbered(number)
        if self._error is not None:
            raise self._error

    def ending(self) -> str:
        return "No such device"

    def stop(self) -> None:
        self._is_stopped.set()

    def __exit__(self, kind: None, error: None, trace: None) -> None:
        self.is_closed = True


@dataclass
class FakePortrait:
    """Shows the number of the picture that drives it, as quickly or slowly as is asked for."""

    read_s: float = 0.0
    render_s: float = 0.0
    fails_at: int | None = None
    controls: LiveControls = field(default_factory=LiveControls)
    source_count: int = 3
    references: int = 0
    threads: set[str] = field(default_factory=set)

    def read(self, picture: Frame, time_s: float | None = None) -> LiveReading:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.read_s)
        return LiveReading(DrivenFrame(None, number_of(picture) % 2 == 0, picture), 1, None, time_s or 0.0)

    def render(self, reading: LiveReading) -> Frame:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.render_s)
        assert reading.driven.picture is not None
        if self.fails_at == number_of(reading.driven.picture):
            raise MediaError("this picture cannot be rendered")
        return reading.driven.picture

    def still(self) -> Frame:
        return numbered(0)

    def take_reference(self) -> None:
        self.references += 1


class FakeOutput:
    """Keeps what it is given. write_s: how long it takes. fails: what the picture of a number raises."""

    def __init__(self, write_s: float = 0.0, fails: dict[int, Exception] | None = None, *, main: bool = False) -> None:
        self._write_s, self._fails, self.needs_main_thread = write_s, fails or {}, main
        self.idle_s: float | None = 0.01 if main else None
        self.numbers: list[int] = []
        self.statuses: list[LiveStatus] = []
        self.threads: set[str] = set()
        self.closed = 0

    def write(self, frame: Frame, status: LiveStatus) -> None:
        number = number_of(frame)
        self.threads.add(threading.current_thread().name)
        if number in self._fails:
            raise self._fails[number]
        time.sleep(self._write_s)
        self.numbers.append(number)
        self.statuses.append(status)

    def close(self) -> None:
        self.closed += 1


def loop_of(portrait: FakePortrait, *outputs: FakeOutput, **settings: object) -> tuple[LiveLoop, list[str]]:
    said: list[str] = []
    usual = LoopSettings(SIZE, is_labelled=False, comes_back=False)
    loop = LiveLoop(portrait, replace(usual, **settings), Messages(said.append))
    for number, output in enumerate(outputs):
        loop.add_output(output, f"output {number}")
    return loop, said


def wait_for(is_there: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_there():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


# --- the place for the newest ---


def test_the_newest_replaces_what_nobody_took_and_is_counted() -> None:
    place: Newest[int] = Newest()
    for number in range(4):
        place.put(number)
    assert (place.take(), place.dropped) == (3, 3)
    assert place.take(patience_s=0.01) is None
    place.put(4)
    place.finish()
    place.put(5)
    assert place.take() == 4
    with pytest.raises(OverError):
        place.take()


def test_ending_at_once_takes_back_what_waits_and_wakes_whoever_does() -> None:
    place: Newest[int] = Newest()
    place.put(1)
    waiting = threading.Thread(target=place.wait_until_taken)
    waiting.start()
    place.finish(at_once=True)
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()
    with pytest.raises(OverError):
        place.take()


# --- a steady rate of unsteady pictures ---


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.9])
def test_a_camera_at_the_rate_of_the_film_is_written_once_each(jitter: float) -> None:
    pacer, random = Pacer(Fraction(25)), np.random.default_rng(0)
    times = np.arange(200) / 25 + jitter / 25 * (random.random(200) - 0.5)
    assert [pacer.copies(float(t)) for t in times] == [1] * 200


@pytest.mark.parametrize(("fps", "share"), [(50.0, 0.5), (10.0, 2.5), (24.0, 25 / 24)])
def test_another_rate_is_dropped_or_repeated_evenly(fps: float, share: float) -> None:
    pacer = Pacer(Fraction(25))
    copies = [pacer.copies(k / fps) for k in range(int(20 * fps))]
    assert sum(copies) == pytest.approx(20 * 25, abs=4)
    assert max(copies) - min(copies) <= 2 and abs(np.mean(copies) - share) < 0.02


def test_a_short_gap_is_filled_and_a_long_one_cut() -> None:
    pacer = Pacer(Fraction(10))
    pacer.copies(0.0)
    assert pacer.copies(1.0, is_repeat=True) == 9  # the last picture again, for as long as it has been seen
    assert pacer.copies(1.0) == 1
    assert pacer.copies(3600.0) == 1  # the machine has slept
    assert [pacer.copies(3600.1), pacer.copies(3600.2)] == [1, 1]


# --- the loop ---


def test_pictures_arrive_in_order_each_stage_in_its_own_thread() -> None:
    portrait, output = FakePortrait(), FakeOutput()
    loop, _ = loop_of(portrait, output)
    loop.run(lambda: FakeCapture(40, 0.004))
    assert output.numbers == sorted(output.numbers) and output.numbers[-1] == 40
    assert output.closed == 1
    assert loop.counts.seen == 40 and loop.counts.shown + loop.dropped == 40
    assert len(portrait.threads) == 2 and not portrait.threads & output.threads
    last = output.statuses[-1]
    assert last.faces == 1 and last.camera is not None and number_of(last.camera) == 40
    assert {status.is_held for status in output.statuses if status.camera is not None} == {True, False}


def test_a_slow_renderer_shows_the_newest_and_never_falls_behind() -> None:
    portrait, output = FakePortrait(read_s=0.002, render_s=0.06), FakeOutput()
    loop, _ = loop_of(portrait, output, duration_s=2.0)
    loop.run(lambda: FakeCapture(100_000, 0.005))
    delays = sorted(status.delay_ms for status in output.statuses if status.camera is not None)
    assert 15 < len(delays) < 40 and loop.dropped > len(delays)
    # One picture's time in the renderer, less than one before it; a busy machine adds some.
    assert delays[len(delays) // 2] < 2 * 60 and delays[-1] < 8 * 60
    assert output.numbers == sorted(output.numbers)
    assert loop.counts.read < loop.counts.shown + 5  # what nobody will show is not read either


def test_a_slow_output_holds_up_no_other() -> None:
    slow, quick = FakeOutput(write_s=0.2), FakeOutput()
    loop, _ = loop_of(FakePortrait(), slow, quick)
    loop.run(lambda: FakeCapture(60, 0.01))
    assert len(quick.numbers) > 4 * len(slow.numbers) > 4
    assert slow.numbers[-1] == quick.numbers[-1] == 60  # the last picture goes out everywhere


def test_a_broken_output_ends_alone_and_is_named() -> None:
    broken, whole = FakeOutput(fails={5: MediaError("talk.mp4: the disk is full")}), FakeOutput()
    loop, said = loop_of(FakePortrait(), broken, whole)
    with pytest.raises(MediaError, match="disk is full"):  # in the end, so that the exit code says it
        loop.run(lambda: FakeCapture(40, 0.01))
    assert whole.numbers[-1] == 40 and broken.closed == whole.closed == 1
    assert said == ["talk.mp4: the disk is full; the other outputs go on"]


def test_when_the_last_output_is_closed_all_ends_without_an_error() -> None:
    window, capture = FakeOutput(fails={3: ClosedError()}, main=True), FakeCapture(100_000, 0.01)
    loop, said = loop_of(FakePortrait(), window)
    loop.run(lambda: capture)
    assert window.closed == 1 and capture.is_closed and said == []
    assert window.threads == {threading.main_thread().name}


def test_a_window_is_there_before_the_first_picture_and_while_none_comes() -> None:
    window = FakeOutput(main=True)
    loop, _ = loop_of(FakePortrait(), window)
    loop.run(lambda: FakeCapture(2, 0.3))
    before = window.numbers.index(1)
    assert before > 3 and set(window.numbers[:before]) == {0}
    assert all(status.is_repeat and status.camera is None for status in window.statuses[:before])


def test_what_cannot_be_rendered_is_said_and_the_next_picture_is_shown() -> None:
    output = FakeOutput()
    loop, said = loop_of(FakePortrait(fails_at=7), output)
    loop.run(lambda: FakeCapture(20, 0.01))
    assert output.numbers[-1] == 20 and 7 not in output.numbers and said == ["this picture cannot be rendered"]


def test_a_fault_of_ours_ends_all_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    portrait, output = FakePortrait(), FakeOutput()
    monkeypatch.setattr(portrait, "read", lambda picture, time_s: 1 // 0)
    loop, _ = loop_of(portrait, output)
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: FakeCapture(100_000, 0.01))
    assert output.closed == 1


def test_a_paused_portrait_shows_nothing_new_until_it_goes_on() -> None:
    portrait, output = FakePortrait(), FakeOutput(main=True)
    loop, _ = loop_of(portrait, output)

    def pause() -> None:
        try:
            wait_for(lambda: 5 in output.numbers or len(output.numbers) > 50)
            loop.controls = replace(loop.controls, is_paused=True)
            wait_for(lambda: [status.message for status in output.statuses].count("paused") > 8)
            shown = output.numbers[-1]
            loop.controls = replace(loop.controls, is_paused=False)
            wait_for(lambda: output.numbers[-1] > shown)
        finally:
            loop.end_soon()

    pausing = threading.Thread(target=pause)
    pausing.start()
    loop.run(lambda: FakeCapture(100_000, 0.01))
    pausing.join()
    paused = [number for number, s in zip(output.numbers, output.statuses, strict=True) if s.message == "paused"]
    assert len(paused) > 5 and len(set(paused[2:])) == 1
    assert output.numbers[-1] > paused[-1]


def test_it_ends_soon_when_it_is_asked_to() -> None:
    output = FakeOutput()
    loop, _ = loop_of(FakePortrait(), output)
    threading.Timer(0.3, loop.end_soon).start()
    began_s = time.monotonic()
    loop.run(lambda: FakeCapture(100_000, 0.01))
    assert time.monotonic() - began_s < 60 and output.closed == 1  # the camera has enough for a quarter of an hour


def test_listeners_take_every_reading_and_one_that_breaks_is_left_alone() -> None:
    output, seen = FakeOutput(), list[float]()
    loop, said = loop_of(FakePortrait(), output)

    def breaks(reading: LiveReading) -> None:
        raise MediaError("talk.v2v: the disk is full")

    loop.add_listener(breaks)
    loop.add_listener(lambda reading: seen.append(reading.time_s))
    with pytest.raises(MediaError, match="disk is full"):
        loop.run(lambda: FakeCapture(20, 0.01))
    assert len(seen) == loop.counts.read and seen == sorted(seen)
    assert said == ["talk.v2v: the disk is full; the other outputs go on"]


def test_portraits_of_another_size_get_bars_and_an_odd_row_is_cut_off() -> None:
    assert fitted(numbered(9, (17, 25)), SIZE).shape == (*SIZE, 3)
    tall = fitted(numbered(9, (32, 12)), SIZE)
    assert tall.shape == (*SIZE, 3) and (tall[:, 12, 0] == 9).all() and not tall[:, [0, -1]].any()


# --- the camera ---


def test_a_camera_that_is_unplugged_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "AGAIN_S", 0.02)
    gone = MediaError("camera 0: ffmpeg stalled for 5 s and was stopped")
    openings: list[FakeCapture | MediaError] = [
        FakeCapture(3, 0.01, gone),
        gone,
        gone,
        FakeCapture(3, 0.01, first=11),
        FakeCapture(100_000, 0.01, first=21),
    ]

    def open_again() -> FakeCapture:
        opening = openings.pop(0)
        if isinstance(opening, MediaError):
            raise opening
        return opening

    output, messages = FakeOutput(), []
    loop, said = loop_of(FakePortrait(), output, comes_back=True, duration_s=1.5, name="camera 0")
    loop.on_shown = lambda status: messages.append(status.message)
    loop.run(open_again)
    assert any(number > 21 for number in output.numbers) and any(11 <= number <= 13 for number in output.numbers)
    assert said == [
        "camera 0: gone (ffmpeg stalled for 5 s and was stopped); it is looked for again every second",
        "camera 0: gone (No such device); it is looked for again every second",
    ]
    assert "gone" not in str(messages[-1])  # once it is back, nothing is wrong any more


def test_a_camera_that_is_not_there_at_all_is_an_error_at_once() -> None:
    def open_none() -> FakeCapture:
        raise MediaError("camera 7: no such device")

    with pytest.raises(MediaError, match="camera 7"):
        loop_of(FakePortrait(), FakeOutput(), comes_back=True)[0].run(open_none)


@pytest.mark.parametrize(("count", "step_s"), [(1, 1000.0), (0, 0.0)], ids=["silent", "gone before its first"])
@pytest.mark.parametrize("renders", [True, False])
def test_a_camera_that_never_gives_a_picture_ends_what_has_a_duration(count: int, step_s: float, renders: bool) -> None:
    settings = {"comes_back": True, "duration_s": 0.1, "patience_s": 0.2, "name": "camera 0", "renders": renders}
    loop, _ = loop_of(FakePortrait(), FakeOutput(main=True), **settings)
    with pytest.raises(MediaError, match=r"^camera 0: gave no picture within \d+ s$"):
        loop.run(lambda: FakeCapture(count, step_s))


def test_the_duration_is_counted_from_the_first_picture_on() -> None:
    output = FakeOutput()
    loop, _ = loop_of(FakePortrait(), output, duration_s=0.6, patience_s=0.0)
    loop.run(lambda: FakeCapture(1000, 0.4))
    assert loop.counts.seconds > 0.9 and output.numbers[-1] >= 2


def test_stopping_ends_a_camera_that_gives_nothing() -> None:
    shots: Newest[Shot] = Newest()
    camera = Camera(lambda: FakeCapture(1, 1000.0), shots, lambda text: None)
    camera.start()
    began_s = time.monotonic()
    camera.stop()
    assert time.monotonic() - began_s < 60
    with pytest.raises(OverError):
        shots.take()


def test_a_clock_that_jumps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WallClock()
    assert clock.jump_s() is None
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 3600)
    assert clock.jump_s() == pytest.approx(3600, abs=1)
    assert clock.jump_s() is None


def test_after_a_sleep_it_says_so_for_a_while_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter([None, None, 3600.0])
    monkeypatch.setattr(WallClock, "jump_s", lambda self: next(jumps, None))
    monkeypatch.setattr("vid2vid_cli.live.messages.NEWS_S", 0.1)
    output = FakeOutput()
    loop, said = loop_of(FakePortrait(), output)
    loop.run(lambda: FakeCapture(60, 0.01))
    assert said == ["the clock jumped by 3600 s, as when the machine has slept; it goes on"]
    messages = [status.message for status in output.statuses]
    assert said[0] in messages and messages[-1] != said[0] and output.numbers[-1] == 60


# --- statistics ---


def test_a_file_for_statistics_is_left_alone_until_there_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("of the user")
    for name in ("old.jsonl", "new/folder/s.jsonl"):
        Statistics(tmp_path / name).close()
    assert (tmp_path / "old.jsonl").read_text() == "of the user" and not (tmp_path / "new").exists()
    kept = Statistics(tmp_path / "new" / "folder" / "s.jsonl")
    kept.take(LiveStatus(controls=LiveControls(), delay_ms=7.0))
    assert json.loads((tmp_path / "new/folder/s.jsonl").read_text())["delay_ms"] == 7  # before it is closed
    kept.close()


# --- keys ---


def test_every_key_is_explained_once_and_does_something() -> None:
    keys = [key for command in COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys))
    assert {
        "n",
        "c",
        "m",
        "r",
        "+",
        "-",
        "left",
        "right",
        "up",
        "down",
        ",",
        ".",
        "b",
        "f",
        "p",
        "space",
        "h",
        "0",
        "q",
    } <= {*keys}
    helped = [key for shown, _ in help_lines() for key in shown]
    assert helped == list(dict.fromkeys("1-9" if key in DIGITS else key for key in keys if key != "="))
    controls = LiveControls(strength=0.5, yaw=9.0)
    changed = {key for key in keys if isinstance(made := press(key, controls, 9), LiveControls) and made != controls}
    actions = {press(key, controls, 9) for key in keys if isinstance(press(key, controls, 9), Action)}
    assert changed | {"1", "c", "h", "q"} == {*keys} and actions == set(Action)
    assert press("F12", controls, 9) is None


def test_keys_stay_within_what_is_allowed() -> None:
    controls = LiveControls()
    for _ in range(100):
        for key in ("right", "up", ".", "+"):
            made = press(key, controls, 1)
            assert isinstance(made, LiveControls)
            controls = made
    assert (controls.yaw, controls.pitch, controls.roll, controls.strength) == (45, 45, 45, 3)
    reset = press("0", replace(controls, mirror=True, source=1), 2)
    assert reset == LiveControls(mirror=True, source=1)
    assert press("9", LiveControls(source=1), 3) == LiveControls(source=1)  # there is no ninth
    assert press("n", LiveControls(source=2), 3) == LiveControls(source=0)
    assert press("b", LiveControls(background="own.png"), 1) == LiveControls(background="keep")
