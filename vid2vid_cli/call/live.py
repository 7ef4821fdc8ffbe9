"""What is live at the sender's end: a driving that comes in by a pipe. And what both ends count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.face.crop import Frame
from vid2vid_cli.media.pipe import NAME, PipedVideo, open_pipe
from vid2vid_cli.pipeline.driving import Driving, ReaderSetup

STANDARD = "-"
"""The name of standard input and standard output."""


@dataclass
class Delays:
    """How long frames took from their coming in to their going out, in ms. Sums, since a call may last for days."""

    count: int = 0
    sum_ms: float = 0.0
    longest_ms: float = 0.0

    def add_since(self, came_s: float) -> None:
        """Count a frame that goes out now. came_s: when it came in, by time.perf_counter."""
        delay_ms = 1000 * (time.perf_counter() - came_s)
        self.count, self.sum_ms = self.count + 1, self.sum_ms + delay_ms
        self.longest_ms = max(self.longest_ms, delay_ms)

    @property
    def told_ms(self) -> tuple[float, float] | None:
        """Return the mean and the longest; None where there were none."""
        return (self.sum_ms / self.count, self.longest_ms) if self.count else None


@dataclass
class LiveDriving(Driving):
    """Frames as they come, each once. count: 0, since nobody knows."""

    _pipe: PipedVideo | None = None
    came_s: float = 0.0
    """When the last frame came in, by time.perf_counter."""

    def _pictures(self, step: int) -> Iterator[Frame]:
        if self._pipe is None:
            raise ValueError("a live driving needs a pipe")
        for frame in self._pipe.frames():
            self.came_s = time.perf_counter()
            yield frame

    def close(self) -> None:
        """End the decoder."""
        if self._pipe is not None:
            self._pipe.__exit__(None, None, None)


def open_live(descriptor: int, look: ReaderSetup, warn: Callable[[str], None]) -> LiveDriving:
    """Open a video on a descriptor; waits for its first frame."""
    pipe = open_pipe(descriptor, look.max_pixels)
    if pipe.has_audio:
        warn(f"{NAME}: its sound is left out, a live call carries motion only; send sound on a channel of its own")
    return LiveDriving(Path(NAME), pipe.fps, 0, False, picture_size=pipe.size, _look=look, _pipe=pipe)
