"""The loop: camera, reading, rendering and outputs, each in a thread of its own, none of them ever behind.

Between two stages only the newest item counts. So a picture waits for at most one picture's time before each stage,
however slow the stage is, and nothing piles up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError, Vid2VidError
from vid2vid_cli.face.compositing import contain
from vid2vid_cli.live.camera import Camera, Capture, Shot
from vid2vid_cli.live.channel import Outputs, Shown
from vid2vid_cli.live.messages import Messages
from vid2vid_cli.live.newest import Newest, OverError
from vid2vid_cli.live.outputs import LiveOutput, LiveStatus
from vid2vid_cli.media.capture import FIRST_PICTURE_S
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.live_label import with_label
from vid2vid_cli.pipeline.live_reader import LiveReading

TICK_S = 0.05  # how often whoever waits looks whether all is over
ENDING_S = 5.0  # how long a stage may take to notice that all is over
RATE_WINDOW_S = 2.0
SPARE_S, MOST_WAIT_S = 0.004, 1.0  # how much earlier than needed the next picture is read; how late at most


class Usual:
    """What a number usually is, from those that came lately."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, number: float) -> None:
        """Take another number."""
        self.value = number if not self.value else self.value + 0.2 * (number - self.value)


class Portrait(Protocol):
    """What the loop needs of `pipeline.live_portrait.LivePortrait`, which see."""

    controls: LiveControls

    @property
    def source_count(self) -> int: ...  # noqa: D102

    def read(self, picture: Frame, time_s: float | None = None) -> LiveReading: ...  # noqa: D102

    def render(self, reading: LiveReading) -> Frame: ...  # noqa: D102

    def still(self) -> Frame: ...  # noqa: D102

    def take_reference(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class LoopSettings:
    """How a loop runs.

    size: (height, width) of all pictures that go out. is_labelled: whether they say that they are synthetic.
    duration_s: how long to go on after the camera's first picture; None: without end. patience_s: how much longer the
    first picture may take, if there is an end. name: of the camera, for messages. comes_back: whether it is opened
    again when it has ended. renders: whether anybody looks.
    """

    size: tuple[int, int]
    is_labelled: bool = True
    duration_s: float | None = None
    patience_s: float = FIRST_PICTURE_S
    name: str = "the camera"
    comes_back: bool = True
    renders: bool = True


@dataclass
class LoopCounts:
    """How many pictures there were so far.

    seen: of the camera. read: those in which the face was looked for. shown: of the portrait. held: of these, with the
    last motion of a face that is lost. seconds: how long all went on.
    """

    seen: int = 0
    read: int = 0
    shown: int = 0
    held: int = 0
    seconds: float = 0.0


class LiveLoop:
    """Runs a live portrait until its camera ends, its time is over, its last output is closed or somebody quits.

    It is an `outputs.Deck` as well.
    """

    def __init__(self, portrait: Portrait, settings: LoopSettings, messages: Messages) -> None:
        self._portrait, self._settings, self.messages = portrait, settings, messages
        self._shots: Newest[Shot] = Newest()
        self._readings: Newest[tuple[LiveReading, Shot]] = Newest()
        self._outputs = Outputs(self._up_to_date, messages.note)
        self._listeners: list[Callable[[LiveReading], None]] = []
        self._times_s: deque[float] = deque(maxlen=256)  # when the last pictures were ready
        self._quit, self._ends_soon = threading.Event(), False
        self._errors: list[BaseException] = []
        self._read_s, self._render_s = Usual(), Usual()
        self._until_s: float | None = None
        self.counts = LoopCounts()
        self.on_shown: Callable[[LiveStatus], None] = lambda status: None
        """Called for each new picture when it is ready, in the thread that renders."""

    @property
    def controls(self) -> LiveControls:
        """See `outputs.Deck`."""
        return self._portrait.controls

    @controls.setter
    def controls(self, controls: LiveControls) -> None:
        self._portrait.controls = controls

    @property
    def source_count(self) -> int:
        """See `outputs.Deck`."""
        return self._portrait.source_count

    def take_reference(self) -> None:
        """See `outputs.Deck`."""
        self._portrait.take_reference()
        self.messages.note("the next face that is seen counts as the neutral one")

    def quit(self) -> None:
        """See `outputs.Deck`."""
        self._quit.set()
        self._shots.finish(at_once=True)

    def end_soon(self) -> None:
        """Let `run` quit within a moment. For handlers of signals, which must take no lock."""
        self._ends_soon = True

    def add_output(self, output: LiveOutput, name: str) -> None:
        """Let an output take part. name: for messages."""
        self._outputs.add(output, name)

    def add_listener(self, listener: Callable[[LiveReading], None]) -> None:
        """Let a function take each reading, in the thread that reads."""
        self._listeners.append(listener)

    @property
    def dropped(self) -> int:
        """How many pictures of the camera were never shown, since newer ones were there."""
        return self._shots.dropped + self._readings.dropped

    def run(self, open_camera: Callable[[], Capture]) -> None:
        """Run to the end, with the outputs that need it in the thread that calls. Raises what made it end early."""
        settings = self._settings
        camera = self._camera(open_camera)
        stages = [self._stage(self._read_all), *([self._stage(self._render_all)] if settings.renders else [])]
        began_s = time.perf_counter()
        if settings.duration_s is not None:  # counted anew from the first picture on
            self._until_s = began_s + settings.patience_s + settings.duration_s
        try:
            if settings.renders:
                self._show(self._portrait.still(), LiveStatus(controls=self.controls, is_repeat=True))
            self._outputs.start()
            camera.start()
            for stage in stages:
                stage.start()
            self._wait(stages)
        finally:
            self.quit()
            camera.stop()
            for stage in stages:
                if stage.ident is not None:
                    stage.join(ENDING_S)
            self._outputs.finish()
            self.counts.seen, self.counts.seconds = camera.seen, time.perf_counter() - began_s
        if self._is_late() and not camera.seen:
            raise MediaError(f"{settings.name}: gave no picture within {self.counts.seconds:.0f} s")
        errors = [*self._errors, *([camera.failure] if camera.failure is not None else []), *self._outputs.failures]
        if errors:
            raise errors[0]

    def _camera(self, open_camera: Callable[[], Capture]) -> Camera:
        messages, settings = self.messages, self._settings
        back = settings.comes_back
        return Camera(open_camera, self._shots, messages.tell, note=messages.note, name=settings.name, comes_back=back)

    def _wait(self, stages: list[threading.Thread]) -> None:
        """Serve the outputs of this thread, or just wait, until all is over."""
        while any(stage.is_alive() for stage in stages) and not self._quit.is_set():
            if not self._outputs.step():
                self._quit.wait(TICK_S)
            self._outputs.drop_ended()
            if self._is_late() or self._ends_soon or not (self._outputs or self._listeners):
                return

    def _is_late(self) -> bool:
        return self._until_s is not None and time.perf_counter() >= self._until_s

    def _stage(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except OverError:
                pass
            except BaseException as error:  # noqa: BLE001  raised by `run`
                self._errors.append(error)
                self.quit()
            finally:
                self._readings.finish()  # whichever stage ends, the other one must not wait for it

        return threading.Thread(target=guarded, name=f"vid2vid-{work.__name__}", daemon=True)

    def _read_all(self) -> None:
        """Read the newest picture of the camera, again and again."""
        while not self._quit.is_set():
            shot = self._shots.take()
            if shot is None or self.controls.is_paused:
                continue
            if not self.counts.read and self._settings.duration_s is not None:
                self._until_s = shot.arrived_s + self._settings.duration_s
            began_s = time.perf_counter()
            reading = self._portrait.read(shot.picture, shot.arrived_s)
            self._read_s.add(time.perf_counter() - began_s)
            self.counts.read += 1
            self._listen(reading)
            if self._settings.renders:
                self._readings.put((reading, shot))
                self._readings.wait_until_taken()
                # Read too early, the next picture would be old when its turn to be rendered comes.
                self._quit.wait(min(MOST_WAIT_S, max(0.0, self._render_s.value - self._read_s.value - SPARE_S)))

    def _listen(self, reading: LiveReading) -> None:
        for listener in list(self._listeners):
            try:
                listener(reading)
            except Vid2VidError as error:
                self._listeners.remove(listener)
                self._errors.append(error)
                if self._outputs or self._listeners:
                    self.messages.note(f"{error}; the other outputs go on")

    def _render_all(self) -> None:
        """Render the newest reading, again and again."""
        while True:
            taken = self._readings.take()
            if taken is None:
                continue
            reading, shot = taken
            began_s = time.perf_counter()
            try:
                frame = self._portrait.render(reading)
            except Vid2VidError as error:
                self.messages.note(str(error))
                continue
            self._times_s.append(time.perf_counter())
            self._render_s.add(self._times_s[-1] - began_s)
            self.counts.shown += 1
            self.counts.held += not reading.is_found
            self._show(frame, self._status_of(reading, shot))

    def _show(self, frame: Frame, status: LiveStatus) -> None:
        """Send a picture out, in the one size and with the word that it needs."""
        frame = fitted(frame, self._settings.size)
        shown = Shown(with_label(frame) if self._settings.is_labelled else frame, status)
        self._outputs.put(shown)
        if not status.is_repeat:
            self.on_shown(self._up_to_date(status))

    def _status_of(self, reading: LiveReading, shot: Shot) -> LiveStatus:
        return LiveStatus(
            is_held=not reading.is_found,
            faces=reading.faces,
            message=reading.message,
            controls=self.controls,
            camera=shot.picture,
            arrived_s=shot.arrived_s,
        )

    def _up_to_date(self, status: LiveStatus) -> LiveStatus:
        """Add to a status what is known only when its picture goes out."""
        now_s = time.perf_counter()
        controls = self.controls
        return replace(
            status,
            fps=self._fps(now_s),
            delay_ms=0.0 if status.is_repeat else 1000 * (now_s - status.arrived_s),
            dropped=self.dropped,
            message=self.messages.current() or stopped(controls) or status.message,
            controls=controls,
        )

    def _fps(self, now_s: float) -> float:
        lately = [time_s for time_s in list(self._times_s) if now_s - time_s < RATE_WINDOW_S]
        return (len(lately) - 1) / max(1e-6, lately[-1] - lately[0]) if len(lately) > 1 else 0.0


def stopped(controls: LiveControls) -> str | None:
    """Say why nothing moves, if somebody wanted it so."""
    return "paused" if controls.is_paused else "frozen" if controls.is_frozen else None


def even_size(frame: Frame) -> tuple[int, int]:
    """Return the size (height, width) of what goes out: even, as virtual cameras and most encoders want it."""
    return max(2, frame.shape[0] // 2 * 2), max(2, frame.shape[1] // 2 * 2)


def fitted(frame: Frame, size: tuple[int, int]) -> Frame:
    """Return a picture in a size (height, width): one pixel more is cut off, another shape gets black bars."""
    if all(0 <= side - wanted <= 1 for side, wanted in zip(frame.shape, size, strict=False)):
        return frame[: size[0], : size[1]]
    return contain(frame, size)
