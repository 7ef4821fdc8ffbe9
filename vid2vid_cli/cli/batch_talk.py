"""What `vid2vid batch` says while it runs: bars on a terminal, else a line a job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vid2vid_cli.cli.failure import write_line
from vid2vid_cli.cli.talk import Reporter, Talk
from vid2vid_cli.errors import one_line

if TYPE_CHECKING:
    from vid2vid_cli.cli.batch_bar import BatchBar
    from vid2vid_cli.pipeline.batch.jobs import Job
    from vid2vid_cli.pipeline.batch.report import Outcome
    from vid2vid_cli.pipeline.batch.run import BatchHooks


class BatchReporter:
    """Shows how all jobs go while its `with` block runs, and the result at the end."""

    def __init__(self, talk: Talk, jobs: int) -> None:
        self._talk, self._jobs = talk, jobs
        self._bar: BatchBar | None = None
        self._open = ExitStack()

    @property
    def hooks(self) -> BatchHooks:
        """What the batch shall call."""
        from vid2vid_cli.pipeline.batch.run import BatchHooks

        return BatchHooks(self._progress, self._ended)

    def __enter__(self) -> BatchReporter:
        if sys.stderr.isatty() and not (self._talk.quiet or self._talk.json):
            from vid2vid_cli.cli.batch_bar import BatchBar

            self._bar = self._open.enter_context(BatchBar(self._jobs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar = None
        self._open.close()

    def note(self, text: str) -> None:
        """Say something to people on stderr."""
        if self._talk.quiet:
            return
        if self._bar is not None:
            self._bar.say(one_line(text))
        else:
            write_line(text)

    def tell(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write the result to stdout."""
        Reporter(self._talk).tell(text, facts)

    def _progress(self, worker: int, job: Job, done: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar.show(worker, one_line(job.output.name), done, total)

    def _ended(self, job: Job, outcome: Outcome, ended: int, jobs: int) -> None:
        if self._bar is not None:
            self._bar.ended(ended)
        if outcome.error is not None:
            self.note(f"[{ended}/{jobs}] {job.output}: {outcome.state}: {outcome.error}")
        elif self._bar is None:
            self.note(f"[{ended}/{jobs}] {job.output}: {outcome.frames} frames in {outcome.seconds:.1f} s")
