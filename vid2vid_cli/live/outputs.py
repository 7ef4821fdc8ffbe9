"""What every output of a live portrait offers, and what it is told beside the pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from vid2vid_cli.arrays import Frame
from vid2vid_cli.pipeline.live_controls import LiveControls


@dataclass(frozen=True)
class LiveStatus:
    """What is known when a picture goes out.

    fps: new pictures a second. delay_ms: from the arrival of the camera's picture until now; 0 before the first.
    is_held: whether the face is lost and its last motion held. dropped: pictures of the camera that were never shown
    because newer ones were there. faces: in the camera's picture. message: one line for the user, None for none.
    controls: those that the picture was made with. camera: the picture of the camera that drives this one, (h, w, 3);
    None while there is none. arrived_s: when that came in, by time.perf_counter. is_repeat: whether this is the last
    picture once more.
    """

    fps: float = 0.0
    delay_ms: float = 0.0
    is_held: bool = False
    dropped: int = 0
    faces: int = 0
    message: str | None = None
    controls: LiveControls = field(default_factory=LiveControls)
    camera: Frame | None = field(default=None, repr=False, compare=False)
    arrived_s: float = 0.0
    is_repeat: bool = False


class ClosedError(Exception):
    """The user has closed an output, such as a window: no failure. Raised by `LiveOutput.write`."""


class LiveOutput(Protocol):
    """Takes pictures as they are made.

    All calls come from one thread: of its own, or the main one. needs_main_thread: whether it must be the main one, as
    for a window. idle_s: `write` is called again with the same picture if for so long there is no new one, as when the
    camera is gone or all is paused; None: never.
    """

    needs_main_thread: bool
    idle_s: float | None

    def write(self, frame: Frame, status: LiveStatus) -> None:
        """Show or send a picture (H, W, 3), uint8 RGB, always of the same, even size.

        A Vid2VidError ends this output and no other; ClosedError as well, without being a failure.
        """
        ...

    def close(self) -> None:
        """Finish what was begun, and release it. Called once, whatever has happened."""
        ...


class Deck(Protocol):
    """What an output with keys or buttons does to all. May be used from any thread."""

    controls: LiveControls
    """Assigning raises UsageError in one line for what makes no sense."""

    @property
    def source_count(self) -> int:
        """How many portraits there are to choose from."""
        ...

    def take_reference(self) -> None:
        """Let the next picture of the camera show the neutral face."""
        ...

    def quit(self) -> None:
        """End, in order: what is recorded is finished."""
        ...
