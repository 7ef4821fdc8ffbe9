"""How a pipeline tells its caller what it is doing, and what came out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


def _ignore(*_: object) -> None:
    """Take anything, do nothing."""


@dataclass(frozen=True)
class Hooks:
    """What a pipeline calls while it runs.

    progress: frames done, frames in all or None. warn: one line about something the user should know.
    """

    progress: Callable[[int, int | None], None] = _ignore
    warn: Callable[[str], None] = _ignore


def counted(hooks: Hooks, total: int) -> Callable[[], None]:
    """Return what is to be called once for each of `total` things that are done."""
    done = itertools.count(1)
    return lambda: hooks.progress(next(done), total)


@dataclass(frozen=True)
class Result:
    """What was made.

    held: frames without a face, shown with the last motion. skipped: frames without a face, left out.
    fps: of the output. size: (height, width) in px. seconds: from the start of the work to the whole file.
    """

    output: Path
    frames: int
    held: int
    skipped: int
    seconds: float
    fps: Fraction
    size: tuple[int, int]
    warnings: tuple[str, ...]

    @property
    def frames_per_second(self) -> float:
        """Frames made per second of work."""
        return self.frames / self.seconds if self.seconds else 0.0


class WarningLog:
    """Passes warnings on, each once, and keeps them for the result."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Report a warning that was not reported before."""
        if text not in self.warnings:
            self.warnings.append(text)
            self._hooks.warn(text)
