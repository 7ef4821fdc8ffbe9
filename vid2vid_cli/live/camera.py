"""The camera: a thread that keeps its newest picture, and opens it again when it was gone."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.live.newest import Newest
from vid2vid_cli.media.cameras import with_name
from vid2vid_cli.media.capture import FIRST_PICTURE_S, SILENCE_S, CaptureRequest, capture_arguments, inputs_of
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.pipe import PipedVideo, piped_video

AGAIN_S = 1.0
"""How long to wait before a camera that is gone is looked for again."""
JUMP_S = 3.0  # of the clock on the wall against one that stands still while a machine sleeps


@dataclass(frozen=True)
class Shot:
    """A picture (H, W, 3) of the camera, and when it came in, by time.perf_counter."""

    picture: Frame
    arrived_s: float


class Capture(Protocol):
    """An open camera."""

    def frames(self, silence_s: float | None = None) -> Iterator[Frame]:
        """Yield pictures as they come. MediaError if for so long none comes."""
        ...

    def ending(self) -> str:
        """Say in one line why no more pictures come."""
        ...

    def stop(self) -> None:
        """Let no more pictures come; from any thread."""
        ...

    def __exit__(self, kind: None, error: None, trace: None) -> None:
        """Release it."""
        ...


def open_capture(request: CaptureRequest, max_pixels: int, pipe_patience_s: float = math.inf) -> PipedVideo:
    """Open a camera, or what stands for one. Waits for its first picture. MediaError in one line if none comes.

    pipe_patience_s: how long a pipe may take to begin; nobody knows when whoever fills it does.
    """
    failure = MediaError(f"{request.subject}: cannot be opened")
    for given in inputs_of(with_name(request)):
        descriptor = sys.stdin.fileno() if request.kind == "pipe" else None
        child = Child(capture_arguments(request, given), request.subject, has_stdout=True, stdin_fd=descriptor)
        try:
            patience_s = pipe_patience_s if request.kind == "pipe" else FIRST_PICTURE_S
            return piped_video(child, request.subject, max_pixels, patience_s)
        except MediaError as error:
            failure = error
    cure = {"camera": "; vid2vid cameras lists those that are there", "stream": "; check its address"}
    raise MediaError(f"{failure}{cure.get(request.kind, '')}") from failure


class Camera:
    """Puts the pictures of a camera into a place for the newest, in a thread of its own."""

    def __init__(
        self,
        open_again: Callable[[], Capture],
        shots: Newest[Shot],
        tell: Callable[[str | None], None],
        *,
        note: Callable[[str], None] = lambda text: None,
        name: str = "the camera",
        comes_back: bool = True,
    ) -> None:
        """Open the camera: a MediaError now is the user's to mend, one later is waited for.

        shots: finished when the camera has ended for good. tell: takes a line about what is wrong, None once it is not.
        note: takes a line about what has happened. comes_back: whether it is opened again when it has ended.
        """
        self._open, self._shots, self._tell, self._note = open_again, shots, tell, note
        self._name, self._comes_back = name, comes_back
        self._capture = open_again()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vid2vid-camera", daemon=True)
        self.failure: BaseException | None = None
        """A fault of ours that ended the thread."""
        self.seen = 0
        """How many pictures have come in."""

    def start(self) -> None:
        """Begin to take pictures."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more pictures, and release the camera."""
        self._stopping.set()
        self._capture.stop()
        if self._thread.ident is not None:
            self._thread.join(SILENCE_S)
        else:
            self._capture.__exit__(None, None, None)

    def _run(self) -> None:
        try:
            while True:
                reason = self._take_all()
                if self._stopping.is_set() or not self._comes_back:
                    return
                self._tell(f"{self._name}: gone ({reason}); it is looked for again every second")
                if not self._open_again():
                    return
                self._tell(None)
        except BaseException as error:  # noqa: BLE001  handed to whoever runs the loop
            self.failure = error
        finally:
            self._shots.finish()

    def _take_all(self) -> str:
        """Take pictures until no more come, and say why."""
        clock = WallClock()
        silence_s = SILENCE_S if self._comes_back else None
        try:
            for picture in self._capture.frames(silence_s):
                self.seen += 1
                self._shots.put(Shot(picture, time.perf_counter()))
                if (jump_s := clock.jump_s()) is not None:
                    self._note(f"the clock jumped by {jump_s:.0f} s, as when the machine has slept; it goes on")
                if self._stopping.is_set():
                    break
            return self._capture.ending()
        except MediaError as error:
            return str(error).removeprefix(f"{self._name}: ")
        finally:
            self._capture.__exit__(None, None, None)

    def _open_again(self) -> bool:
        """Wait until the camera is there again. Return whether it is still wanted."""
        while not self._stopping.wait(AGAIN_S):
            try:
                capture = self._open()
            except MediaError:
                continue
            self._capture = capture
            if self._stopping.is_set():  # `stop` may have come too early for this one
                capture.stop()
            return True
        return False


class WallClock:
    """Notices when the clock on the wall goes on without us, as while a machine sleeps."""

    def __init__(self) -> None:
        self._apart_s = time.time() - time.monotonic()

    def jump_s(self) -> float | None:
        """Return by how many seconds it has jumped since the last call; None for none worth a word."""
        before_s, self._apart_s = self._apart_s, time.time() - time.monotonic()
        jump_s = self._apart_s - before_s
        return jump_s if abs(jump_s) > JUMP_S else None
