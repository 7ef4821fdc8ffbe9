"""Progress bars on stderr; imported only where there is a terminal."""

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
    """Shows how many frames are made in a second. unit: what else may be counted."""

    def __init__(self, unit: str = "frames") -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Write the rate, once there is one."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")


class FrameCountColumn(ProgressColumn):
    """Shows how many frames are done, of how many."""

    def render(self, task: Task) -> Text:
        """Write the count; of an unknown number only what is done."""
        if not task.completed:
            return Text("")
        return Text(f"{task.completed:.0f}/{task.total:.0f}" if task.total else f"{task.completed:.0f}")


class Bars:
    """Bars with a name, the counts that a kind of bar chooses, and the time that remains; they vanish at the end."""

    def __init__(self, *counts: ProgressColumn) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts, TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line above the bars, brackets and all."""
        self._progress.console.print(Text(text), soft_wrap=True)


class FrameBar(Bars):
    """One bar, with the frames done and frames a second. unit: what is counted instead of frames, such as bytes."""

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
            self._progress.reset(self._task, description=self._unit)  # loading is no part of the rate
        # A count foreseen too low must not show 101 of 100.
        whole = None if total is None else max(done, total)
        self._progress.update(self._task, completed=done, total=whole)
