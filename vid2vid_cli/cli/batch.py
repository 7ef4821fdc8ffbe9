"""The command `vid2vid batch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.cli.batch_console import BatchReporter
from vid2vid_cli.cli.console import Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import PARTLY_DONE, UsageError, one_line
from vid2vid_cli.pipeline.options import ReenactOptions

if TYPE_CHECKING:
    from vid2vid_cli.batch.jobs import Job
    from vid2vid_cli.batch.run import BatchResult

MOST_FAILURES_SHOWN = 20


@takes_options
@guarded
def batch(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCES DRIVINGS",
            help="Each a folder, a quoted pattern ('faces/*.jpg'), or a file. Leave both out with --manifest.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the outputs and report.jsonl.")] = "out",
    *,
    batching: BatchOptions,
    options: ReenactOptions,
    verbosity: Verbosity,
) -> int:
    """Run many jobs: each of SOURCES moves as each of DRIVINGS does. Options of reenact apply to all of them."""
    _check_inputs(inputs or [])
    with signals_held():
        from vid2vid_cli.batch.jobs import Sides
        from vid2vid_cli.batch.run import count_skipped, make_jobs, run_batch

    # Made before anything is shown: a mistake in a name ends the command without a bar.
    sides = Sides(*inputs) if inputs else None
    jobs = make_jobs(sides, output, options, batching)
    with BatchReporter(verbosity, len(jobs)) as reporter:
        skipped = count_skipped(sides) if sides is not None else 0
        if skipped:
            reporter.log(f"note: left out {skipped} files of these folders, which are not named as pictures or videos")
        if batching.dry_run:
            reporter.print_result("\n".join(map(_describe, jobs)), {"jobs": [job.to_json() for job in jobs]})
            return 0
        try:
            result = run_batch(jobs, output, batching, reporter.hooks)
        except (KeyboardInterrupt, SystemExit):
            if batching.resume:
                reporter.log("note: what is done is kept; the same command goes on from here")
            raise
    reporter.print_result(summary(result), result_facts(result))
    return PARTLY_DONE if result.failures or result.partial else 0


def _check_inputs(inputs: list[str]) -> None:
    # A pattern without quotes arrives as all the files that the shell found.
    if len(inputs) not in (0, 2):
        raise UsageError(
            f"batch takes SOURCES and DRIVINGS, not {len(inputs)} arguments; put a pattern in quotes: 'faces/*.jpg'"
        )


def _describe(job: Job) -> str:
    return one_line(f"{job.output}: {job.command} {' '.join(map(str, job.inputs))}")


def summary(result: BatchResult) -> str:
    """Describe the result of a batch in lines of text: the failures, then a table of numbers."""
    lines = [
        one_line(f"failed  {job.output}: {outcome.error}") for job, outcome in result.failures[:MOST_FAILURES_SHOWN]
    ]
    more = len(result.failures) - MOST_FAILURES_SHOWN
    if more > 0:
        lines.append(f"... and {more} more; see {result.report}")
    hours = result.seconds / 3600
    rate = f"{result.done / hours:.0f} jobs an hour" if result.done and hours else "no job done"
    columns = {
        "jobs": result.jobs,
        "done": result.done,
        "done before": result.kept,
        "failed": len(result.failures),
        **({"incomplete": result.partial} if result.partial else {}),
        "frames": result.frames,
        "held": result.held,
        "time": _clock(result.seconds),
    }
    widths = [max(len(name), len(str(value))) for name, value in columns.items()]
    lines.append("  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    lines.append("  ".join(f"{value!s:>{width}}" for value, width in zip(columns.values(), widths, strict=True)))
    lines.append(one_line(f"{result.report}: {rate}"))
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    """Format a time as hours, minutes and seconds."""
    # Hours are not folded into days: a batch of 30 hours shows 30:00:00.
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def result_facts(result: BatchResult) -> dict[str, Any]:
    """Return the result of a batch as plain values for JSON."""
    return {
        "report": str(result.report),
        "jobs": result.jobs,
        "done": result.done,
        "done_before": result.kept,
        "failed": len(result.failures),
        "partial": result.partial,
        "frames": result.frames,
        "held": result.held,
        "seconds": round(result.seconds, 3),
        "failures": [{"job": job.index, "output": str(job.output), "error": o.error} for job, o in result.failures],
    }
