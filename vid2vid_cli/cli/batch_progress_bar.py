"""The progress bars of a batch on stderr: one for all jobs, and one for each worker."""

from __future__ import annotations

from rich.progress import TaskID

from vid2vid_cli.cli.progress_bar import Bars, FrameCountColumn


class BatchBar(Bars):
    """The bars of one batch."""

    def __init__(self, jobs: int) -> None:
        super().__init__(FrameCountColumn())
        self._all = self._progress.add_task("jobs", total=jobs)
        self._workers: dict[int, TaskID] = {}

    def show(self, worker: int, name: str, done: int, total: int | None) -> None:
        """Move a worker's bar."""
        if worker not in self._workers:
            self._workers[worker] = self._progress.add_task(name, total=None)
        task = self._workers[worker]
        # A worker keeps its bar: with its next job it starts again.
        if done == 0:
            self._progress.reset(task, description=name, total=None)
        # The total may be too small for a damaged clip; a bar never runs over its end.
        self._progress.update(task, completed=done, total=None if total is None else max(done, total))

    def ended(self, jobs: int) -> None:
        """Show how many jobs have ended, failed ones included."""
        self._progress.update(self._all, completed=jobs)
