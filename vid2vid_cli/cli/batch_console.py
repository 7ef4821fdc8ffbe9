"""What `vid2vid batch` shows while it runs: bars on a terminal, otherwise one line per job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vid2vid_cli.cli.console import Console, Verbosity
from vid2vid_cli.errors import one_line

if TYPE_CHECKING:
    from vid2vid_cli.batch.jobs import Job
    from vid2vid_cli.batch.report import Outcome
    from vid2vid_cli.batch.run import BatchHooks
    from vid2vid_cli.cli.batch_progress_bar import BatchBar


class BatchReporter(Console["BatchBar"]):
    """Shows the progress of all jobs while its `with` block runs, and the result at the end."""

    def __init__(self, verbosity: Verbosity, jobs: int) -> None:
        super().__init__(verbosity)
        self._jobs = jobs
        self._told: set[str] = set()

    @property
    def hooks(self) -> BatchHooks:
        """What the batch calls while it runs."""
        from vid2vid_cli.batch.run import BatchHooks

        return BatchHooks(self._progress, self._ended)

    def _make_bar(self) -> BatchBar:
        from vid2vid_cli.cli.batch_progress_bar import BatchBar

        return BatchBar(self._jobs)

    def _progress(self, worker: int, job: Job, done: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar.show(worker, one_line(job.output.name), done, total)

    def _ended(self, job: Job, outcome: Outcome, ended: int, jobs: int) -> None:
        if self._bar is not None:
            self._bar.ended(ended)
        self._warn(outcome)
        if outcome.error is not None:
            self.log(f"[{ended}/{jobs}] {job.output}: {outcome.state}: {outcome.error}")
        elif self._bar is None:
            self.log(f"[{ended}/{jobs}] {job.output}: {outcome.frames} frames in {outcome.seconds:.1f} s")

    def _warn(self, outcome: Outcome) -> None:
        """Tell what the jobs were warned of, each thing once; the report says of which job each was said."""
        for warning in outcome.warnings:
            if warning not in self._told:
                self._told.add(warning)
                self.log(f"warning: {warning}")
