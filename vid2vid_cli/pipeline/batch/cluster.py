"""Do jobs on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vid2vid_cli.pipeline.batch.jobs import Job
from vid2vid_cli.pipeline.batch.local import Crew
from vid2vid_cli.pipeline.batch.report import Outcome


def do_jobs_on_cluster(jobs: Sequence[Job], crew: Crew, address: str, *, ship: bool) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome as soon as it ends."""
    raise NotImplementedError
