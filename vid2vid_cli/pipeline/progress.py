"""How a pipeline reports what it is doing, and what came out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vid2vid_cli.errors import PARTLY_DONE

if TYPE_CHECKING:
    from vid2vid_cli.arrays import Frame  # numpy, which the command line starts without


def _ignore(*_: object) -> None:
    """Ignore all arguments."""


@dataclass(frozen=True)
class Hooks:
    """What a pipeline calls while it runs.

    progress: frames done, and frames in total or None. warn: one line that the user should see. show: a frame of the
    output (H, W, 3 or 4), uint8 RGB, as soon as it is written.
    """

    # Functions by default, so that no caller has to ask whether a hook is there.
    progress: Callable[[int, int | None], None] = _ignore
    warn: Callable[[str], None] = _ignore
    show: Callable[[Frame], None] = _ignore


def counted(hooks: Hooks, total: int) -> Callable[[], None]:
    """Return a function to call after each of `total` things."""
    done = itertools.count(1)
    return lambda: hooks.progress(next(done), total)


@dataclass(frozen=True)
class Result:
    """What was made.

    held: frames without a face, shown with the last motion. skipped: frames without a face, left out.
    fps: of the output. size: (height, width) in px. seconds: from the start of the work to the whole file.
    reference: what counted in the driving as the source's rest; empty where motion was not relative to any.
    is_partial: whether something is missing in the output, which a warning names.
    """

    output: Path
    frames: int
    held: int
    skipped: int
    seconds: float
    fps: Fraction
    size: tuple[int, int]
    warnings: tuple[str, ...]
    reference: str = field(default="", kw_only=True)
    is_partial: bool = field(default=False, kw_only=True)

    @property
    def exit_code(self) -> int:
        """The exit code of a command that made this."""
        return PARTLY_DONE if self.is_partial else 0

    @property
    def frames_per_second(self) -> float:
        """Frames made per second of work."""
        return self.frames / self.seconds if self.seconds else 0.0


class WarningLog:
    """Passes warnings on, each one once, and keeps them for the result. is_partial: see `Result`."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.warnings: list[str] = []
        self.is_partial = False

    def lose(self, text: str) -> None:
        """Report that something is missing in the output."""
        self.is_partial = True
        self.warn(text)

    def warn(self, text: str) -> None:
        """Report a warning unless it was reported before."""
        # A damaged clip that is read more than once would be reported each time.
        if text not in self.warnings:
            self.warnings.append(text)
            self._hooks.warn(text)
