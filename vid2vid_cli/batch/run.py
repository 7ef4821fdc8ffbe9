"""Run a batch: make the jobs, skip what is done, do the rest, write the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from vid2vid_cli.batch.jobs import Job, Sides, check_background, check_clashes, jobs_of_folders
from vid2vid_cli.batch.local import Crew, do_jobs, threads_each
from vid2vid_cli.batch.manifest import jobs_of_manifest
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.report import REPORT, Outcome, Report
from vid2vid_cli.errors import PARTLY_DONE, MediaError, UsageError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.process.scratch import sweep


def _ignore(*_: object) -> None:
    """Accept anything and do nothing."""


@dataclass(frozen=True)
class BatchHooks:
    """What a batch calls while it runs.

    progress: with a worker's number, its job, frames done, and frames in all or None.
    ended: with a job, its outcome, jobs ended, and jobs in all.
    """

    progress: Callable[[int, Job, int, int | None], None] = _ignore
    ended: Callable[[Job, Outcome, int, int], None] = _ignore


@dataclass
class BatchResult:
    """The result of a batch. kept: jobs that an earlier run had done. failures: jobs with their outcomes.

    partial: how many jobs were done now whose outputs lack something, such as their sound.
    """

    report: Path
    jobs: int
    kept: int = 0
    done: int = 0
    partial: int = 0
    frames: int = 0
    held: int = 0
    seconds: float = 0.0
    failures: list[tuple[Job, Outcome]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The jobs of a batch, sorted by what happens to them."""

    kept: list[Job]
    refused: list[tuple[Job, Outcome]]
    to_do: list[Job]


def make_jobs(sides: Sides | None, folder: str | Path, options: ReenactOptions, batch: BatchOptions) -> list[Job]:
    """Make the jobs of SOURCES and DRIVINGS, or of the manifest, and check their outputs. Decodes no media."""
    if (sides is None) == (batch.manifest is None):
        raise UsageError("batch: give SOURCES and DRIVINGS, or --manifest alone")
    home = Path(folder)
    if sides is None:
        jobs = jobs_of_manifest(Path(str(batch.manifest)), home, options, batch)
    else:
        jobs = jobs_of_folders(sides, home, options, batch)
    # On a cluster a job asks for as many cores as it has threads, so it takes one unless told otherwise.
    threads = threads_each(batch.jobs, options.threads) if batch.cluster is None else 1
    jobs = [replace(job, options=replace(job.options, threads=job.options.threads or threads)) for job in jobs]
    for job in jobs:
        check_background(job, ships=batch.ship_inputs)
    check_clashes(jobs)  # before any work: two jobs must not overwrite each other's output in turn
    return jobs


def count_skipped(sides: Sides) -> int:
    """Count the files in the folders of both sides that are not media by their names."""
    return sum(side.skipped for side in sides.find())


def run_batch(
    jobs: Sequence[Job], folder: str | Path, batch: BatchOptions, hooks: BatchHooks | None = None
) -> BatchResult:
    """Do the jobs and write `report.jsonl` into the folder. A failure never stops the rest.

    An output of an earlier batch is kept if it is whole and was made from the same files with the same options, unless
    `batch.resume` is off. A file that no batch made is replaced only if the job's options say force.
    """
    began, home, hooks = time.perf_counter(), Path(folder), hooks or BatchHooks()
    _make_folder(home)
    result = BatchResult(home / REPORT, len(jobs))
    with Report(home, jobs) as report:
        plan = make_plan(jobs, report, resume=batch.resume)
        result.kept = len(plan.kept)
        for job in plan.kept:
            report.keep(job)
        outcomes = _outcomes(plan, report, batch, home, hooks)
        with closing(outcomes):  # whatever ends this block early also ends the workers
            for job, outcome in outcomes:
                report.note(job, outcome)
                _count(result, job, outcome)
                hooks.ended(job, outcome, result.kept + result.done + len(result.failures), len(jobs))
    result.seconds = time.perf_counter() - began
    return result


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{home}: cannot be created: {error.strerror}") from error
    check_output(home / REPORT, force=True, is_file=True)


def make_plan(jobs: Sequence[Job], report: Report, *, resume: bool) -> Plan:
    """Sort the jobs by what happens to them, and remove what killed runs left in the output folders."""
    plan = Plan([], [], [])
    for folder in {job.output.parent for job in jobs}:
        sweep(folder, again=True)
    for job in jobs:
        refusal = report.refusal(job)
        if resume and report.is_done(job):
            plan.kept.append(job)
        elif refusal is not None:
            plan.refused.append((job, refusal))
        else:
            # `refusal` has decided that the output may be replaced: the job itself need not ask again.
            plan.to_do.append(replace(job, options=replace(job.options, force=True)))
    return plan


def _outcomes(
    plan: Plan, report: Report, batch: BatchOptions, home: Path, hooks: BatchHooks
) -> Generator[tuple[Job, Outcome], None, None]:
    yield from plan.refused
    cache = Path(batch.cache) if batch.cache is not None else home / ".cache"
    sweep(cache, again=True)
    crew = Crew(batch.jobs, batch.retry, batch.timeout, cache, report.begin, hooks.progress)
    if batch.cluster is None:
        yield from do_jobs(plan.to_do, crew)
        return
    # Ray is needed only here; most users do not have it.
    from vid2vid_cli.batch.cluster import do_jobs_on_cluster

    yield from do_jobs_on_cluster(plan.to_do, crew, batch.cluster, ship=batch.ship_inputs)


def _count(result: BatchResult, job: Job, outcome: Outcome) -> None:
    if outcome.state != "done":
        result.failures.append((job, outcome))
        return
    result.done += 1
    result.partial += outcome.exit_code == PARTLY_DONE
    result.frames += outcome.frames
    result.held += outcome.held
