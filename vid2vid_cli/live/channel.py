"""An output and the thread that feeds it: a slow or broken one holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.live.newest import Newest, OverError
from vid2vid_cli.live.outputs import ClosedError, LiveOutput, LiveStatus

CLOSING_S = 60.0
"""How long an output may take to finish what it has begun."""


@dataclass(frozen=True)
class Shown:
    """A picture that is ready to go out, and what was known of it by then."""

    frame: Frame
    status: LiveStatus


class Channel:
    """Writes pictures to one output, the newest first."""

    def __init__(self, output: LiveOutput, current: Callable[[LiveStatus], LiveStatus], name: str) -> None:
        """current: brings a status up to date just before a picture goes out. name: for messages."""
        self.output, self.name = output, name
        self._current = current
        self._pictures: Newest[Shown] = Newest()
        self._last: Shown | None = None
        self._thread = threading.Thread(target=self._run, name=f"vid2vid-{name}", daemon=True)
        self.is_over = threading.Event()
        self.error: BaseException | None = None
        """What ended it, unless the user closed it or it was told to finish."""

    def start(self) -> None:
        """Begin to write, unless that is up to the main thread, which calls `step`."""
        if not self.output.needs_main_thread:
            self._thread.start()

    def put(self, shown: Shown) -> None:
        """Offer a picture in place of any older one that has not gone out."""
        self._pictures.put(shown)

    def finish(self) -> None:
        """Let the last picture go out, and then no more."""
        self._pictures.finish()

    def join(self) -> None:
        """Wait until the output is closed. What takes too long is left alone."""
        if self._thread.ident is not None:
            self._thread.join(CLOSING_S)
        else:
            self._end()

    def _run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Write the next picture, or the last one again if none comes. Return whether there may be more."""
        try:
            shown = self._pictures.take(self.output.idle_s)
            is_repeat = shown is None
            self._last = shown or self._last
            if self._last is not None:
                self._write(self._last, is_repeat=is_repeat)
        except (OverError, ClosedError):
            self._end()
        except BaseException as error:  # noqa: BLE001  handed to whoever runs the loop
            self._end(error)
        return not self.is_over.is_set()

    def _write(self, shown: Shown, *, is_repeat: bool) -> None:
        status = shown.status
        if is_repeat:
            status = replace(status, is_repeat=True, arrived_s=time.perf_counter())
        self.output.write(shown.frame, self._current(status))

    def _end(self, error: BaseException | None = None) -> None:
        if self.is_over.is_set():
            return
        self.error = error
        try:
            self.output.close()
        except Vid2VidError as failure:
            self.error = self.error or failure
        self._pictures.finish(at_once=True)
        self.is_over.set()


class Outputs:
    """All outputs of a loop."""

    def __init__(self, current: Callable[[LiveStatus], LiveStatus], note: Callable[[str], None]) -> None:
        """current: see `Channel`. note: takes a line about an output that has failed while others go on."""
        self._current, self._note = current, note
        self._running: list[Channel] = []
        self.failures: list[BaseException] = []
        """What ended the outputs that have failed."""

    def add(self, output: LiveOutput, name: str) -> None:
        """Let an output take part."""
        self._running.append(Channel(output, self._current, name))

    def __len__(self) -> int:
        return len(self._running)

    def start(self) -> None:
        """Begin to write."""
        for channel in self._running:
            channel.start()

    def put(self, shown: Shown) -> None:
        """Offer a picture to all."""
        for channel in list(self._running):
            channel.put(shown)

    def step(self) -> bool:
        """Serve the outputs of the main thread once. Return whether there are any."""
        own = [channel for channel in self._running if channel.output.needs_main_thread]
        for channel in own:
            channel.step()
        return bool(own)

    def drop_ended(self) -> None:
        """Forget the outputs that have ended, and say why, unless that was the last one."""
        ended = [channel for channel in self._running if channel.is_over.is_set()]
        self._running = [channel for channel in self._running if channel not in ended]
        for channel in ended:
            if channel.error is not None:
                self.failures.append(channel.error)
            if self._running:
                self._note(f"{channel.error or f'{channel.name}: closed'}; the other outputs go on")

    def finish(self) -> None:
        """Let all go out that was begun, and wait for it."""
        for channel in self._running:
            channel.finish()
        for channel in self._running:
            channel.join()
        self.drop_ended()
