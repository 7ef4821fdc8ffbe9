"""Progress bars on stderr; imported only if that is a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class FrameRateColumn(ProgressColumn):
    """Shows the frames made per second. unit: what is counted, if not frames."""

    def __init__(self, unit: str = "frames") -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before it is known."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")


class FrameCountColumn(ProgressColumn):
    """Shows how many frames are done, and the total if it is known."""

    def render(self, task: Task) -> Text:
        """Return the count, such as 12/90, or 12 if the total is unknown."""
        if not task.completed:
            return Text("")
        return Text(f"{task.completed:.0f}/{task.total:.0f}" if task.total else f"{task.completed:.0f}")


class Bars:
    """Bars with a name, columns that a subclass chooses, and the time that remains; they vanish at the end."""

    def __init__(self, *counts: ProgressColumn) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts, TimeRemainingColumn())
        # stdout may be a pipe that carries the result or raw video: rich must not touch it.
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line above the bars; brackets are text, not markup."""
        self._progress.console.print(Text(text), soft_wrap=True)


class FrameBar(Bars):
    """One bar with the frames done and the frames per second. unit: what is counted, if not frames, such as bytes."""

    def __init__(self, unit: str = "frames") -> None:
        if unit == "bytes":
            super().__init__(DownloadColumn(), TransferSpeedColumn())
        else:
            super().__init__(FrameCountColumn(), FrameRateColumn(unit))
        self._unit = unit
        self._task = self._progress.add_task("loading", total=None)

    def show(self, done: int, total: int | None) -> None:
        """Move the bar."""
        if self._progress.tasks[0].completed == 0:
            self._progress.reset(self._task, description=self._unit)  # loading must not count in the rate
        # The total of a clip is an estimate: never show 101/100.
        whole = None if total is None else max(done, total)
        self._progress.update(self._task, completed=done, total=whole)
