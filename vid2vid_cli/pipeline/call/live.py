"""A driving that comes in by a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.face.crop import Frame
from vid2vid_cli.media.pipe import NAME, PipedVideo, open_pipe
from vid2vid_cli.pipeline.driving import Driving, Look


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


def open_live(descriptor: int, look: Look, warn: Callable[[str], None]) -> LiveDriving:
    """Open a video on a descriptor; waits for its first frame."""
    pipe = open_pipe(descriptor, look.max_pixels)
    if pipe.has_audio:
        warn(f"{NAME}: its sound is left out, a live call carries motion only; send sound on a channel of its own")
    return LiveDriving(Path(NAME), pipe.fps, 0, False, picture_size=pipe.size, _look=look, _pipe=pipe)
