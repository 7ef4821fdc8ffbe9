"""The commands `vid2vid evaluate self`, `cross` and `rotate`."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import PARTLY_DONE, one_line
from vid2vid_cli.evaluation.options import EvaluateClipsOptions, EvaluateTurnsOptions

if TYPE_CHECKING:
    from vid2vid_cli.evaluation.report import Evaluation, FigureRow, Metric

MAX_ROWS = 90  # of single results in a table; if there are more, it shows the means alone
MIN_WIDTH = 150  # columns; a narrow terminal or a log file would fold the table

Sources = Annotated[str, typer.Argument(metavar="SOURCES", help="A picture, or a folder of pictures.")]
Drivings = Annotated[str, typer.Argument(metavar="DRIVINGS", help="A clip, or a folder of clips.")]
Clips = Annotated[str, typer.Argument(metavar="CLIP|FOLDER", help="A clip, or a folder of clips.")]

evaluate = typer.Typer(
    no_args_is_help=True,
    help="Measure a checkpoint, and a copy of the source to compare with.",
)


@evaluate.command("self")
@takes_options
@guarded
def evaluate_self(clips: Clips, *, options: EvaluateClipsOptions, verbosity: Verbosity) -> int:
    """Animate the first frame of each clip with the clip itself, and compare the two."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.evaluation.self_reenactment import evaluate_self as run

        found = run(clips, options, hooks=reporter.hooks)
    return _print_scores(reporter, found, options)


@evaluate.command("cross")
@takes_options
@guarded
def evaluate_cross(sources: Sources, drivings: Drivings, *, options: EvaluateClipsOptions, verbosity: Verbosity) -> int:
    """Animate every picture with every clip; measure identity, pose and expression."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.evaluation.cross_reenactment import evaluate_cross as run

        found = run(sources, drivings, options, hooks=reporter.hooks)
    return _print_scores(reporter, found, options)


@evaluate.command("rotate")
@takes_options
@guarded
def evaluate_rotate(sources: Sources, *, options: EvaluateTurnsOptions, verbosity: Verbosity) -> int:
    """Turn every picture by every angle; measure pose and identity."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.evaluation.free_view import evaluate_rotate as run

        found = run(sources, options, hooks=reporter.hooks)
    return _print_scores(reporter, found, options)


def _print_scores(reporter: Reporter, found: Evaluation, options: EvaluateClipsOptions | EvaluateTurnsOptions) -> int:
    """Print the result; return the exit code."""
    written = [f"wrote {path}" for path in (options.csv, options.sheet) if path is not None]
    text = "\n".join([table(found), *map(one_line, written)])
    reporter.print_result(text, {**found.facts(), "csv": options.csv, "sheet": options.sheet})
    return PARTLY_DONE if found.skipped else 0


def table(found: Evaluation) -> str:
    """Format an evaluation as a table: the single results if they are few, then the means."""
    from rich.console import Console
    from rich.table import Table

    lines = Table(title=None, box=None, pad_edge=False, header_style="bold")
    names = [*found.keys, "method"]
    for name in names:
        lines.add_column(name, overflow="fold")
    for metric in found.metrics:
        lines.add_column(metric.title, justify="right")
    shown = [*(found.rows if len(found.rows) <= MAX_ROWS else ()), *found.means]
    for before, row in zip([None, *shown], shown, strict=False):
        if before is not None and before.subject != row.subject:
            lines.add_row()  # a blank line between subjects
        lines.add_row(*map(one_line, row.subject), row.method, *_cells(found.metrics, row))
    width = max(MIN_WIDTH, shutil.get_terminal_size().columns)
    paper = io.StringIO()  # not a terminal: rich writes no colours into it
    Console(file=paper, width=width, markup=False, highlight=False, emoji=False).print(lines)
    return "\n".join(line.rstrip() for line in paper.getvalue().rstrip("\n").split("\n"))


def _cells(metrics: tuple[Metric, ...], row: FigureRow) -> list[str]:
    values = ((row.scores.get(metric.name), metric.digits) for metric in metrics)
    return ["-" if value is None else f"{value:.{digits}f}" for value, digits in values]
