"""A live driving: each frame comes once, the length is unknown, and rendering may be too slow."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.media.pipe import NAME, PipedVideo, open_pipe
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.watching import FaceWatcher

STANDARD = "-"  # what a user writes for standard input and standard output
LATE_S = 0.2  # how far behind its time a frame may be before it gives way to a newer one


@dataclass(kw_only=True, eq=False)
class LiveDriving(Driving):
    """Frames as they arrive, each once. Nobody knows how many there will be."""

    count: int | None = field(default=None, init=False)
    _has_begun: bool = field(default=False, init=False)

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the frames as they arrive. ValueError the second time: what is past cannot be played again."""
        if self._has_begun:
            # Said here and not by the iterator: the caller's mistake is in this call.
            raise ValueError(f"{self.path}: a live driving cannot be rewound; call frames() once")
        self._has_begun = True
        return self.arriving()

    @abstractmethod
    def arriving(self) -> Iterator[DrivenFrame]:
        """Yield each frame as soon as it is there."""


@dataclass(kw_only=True, eq=False)
class LiveVideo(LiveDriving):
    """A video that comes in by a pipe."""

    pipe: PipedVideo
    watcher: FaceWatcher
    _arrived_s: float = field(default=0.0, init=False)

    def arriving(self) -> Iterator[DrivenFrame]:
        """Yield each frame with the time when it came in."""
        # Nothing is prefetched, so the frame that is yielded is always the one that came in last.
        for driven in self.watcher.watch(self._pictures()):
            yield replace(driven, arrived_s=self._arrived_s)

    def _pictures(self) -> Iterator[Frame]:
        for picture in self.pipe.frames():
            self._arrived_s = time.perf_counter()
            yield picture

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Refuse: to look at a frame would use it up, and a better one may come later."""
        raise UsageError(f"--reference-frame {frame}: the frames of {self.path} are live, not known beforehand")

    def no_face(self) -> Vid2VidError:
        """Return the error for a video in which no face, or not the chosen one, was ever seen."""
        return self.watcher.no_such_face(self.path) or super().no_face()

    def close(self) -> None:
        """End the decoder."""
        self.pipe.__exit__(None, None, None)


def open_live(descriptor: int, setup: ReaderSetup, warn: Callable[[str], None]) -> LiveVideo:
    """Open a video on a file descriptor. Waits for its first frame."""
    pipe = open_pipe(descriptor, setup.max_pixels)
    if pipe.has_audio:
        warn(f"{NAME}: its sound is left out, a live call carries motion only; send sound on a channel of its own")
    return LiveVideo(path=Path(NAME), fps=pipe.fps, picture_size=pipe.size, pipe=pipe, watcher=FaceWatcher(setup))


class Clock:
    """Tells which frames of a live driving are too late to be worth rendering.

    is_late: whether the last observed frame is too far behind its time while a newer one is already there. A driving
    that is faster than its frame rate, such as a file in a pipe, is never late.
    """

    def __init__(self, fps: Fraction, limit_s: float) -> None:
        """Wait for the first frame. limit_s: how far behind its time a frame may be."""
        self._fps, self._limit_s = float(fps), limit_s
        self._began_s, self._count = math.inf, 0
        self.is_late = False

    def observe(self, *, is_last: bool) -> None:
        """Note that the next frame's turn is now. is_last: whether nothing newer has arrived."""
        # When frame 0 was due if this frame were on time. The earliest such time is taken for the true one.
        began_s = time.perf_counter() - self._count / self._fps
        self._began_s, self._count = min(self._began_s, began_s), self._count + 1
        self.is_late = not is_last and began_s - self._began_s > self._limit_s
