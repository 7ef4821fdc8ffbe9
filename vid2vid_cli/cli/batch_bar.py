"""The progress bars of a batch on stderr: one for all jobs, one for each worker."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from vid2vid_cli.cli.bar import FrameCountColumn


class BatchBar:
    """Bars that vanish at the end."""

    def __init__(self, jobs: int) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            FrameCountColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        self._all = self._progress.add_task("jobs", total=jobs)
        self._workers: dict[int, TaskID] = {}

    def __enter__(self) -> BatchBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, worker: int, name: str, done: int, total: int | None) -> None:
        """Move a worker's bar."""
        if worker not in self._workers:
            self._workers[worker] = self._progress.add_task(name, total=None)
        task = self._workers[worker]
        if done == 0:
            self._progress.reset(task, description=name, total=None)
        self._progress.update(task, completed=done, total=None if total is None else max(done, total))

    def ended(self, jobs: int) -> None:
        """Show how many jobs have ended."""
        self._progress.update(self._all, completed=jobs)

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(Text(text), soft_wrap=True)
