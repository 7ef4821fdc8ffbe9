"""The command `vid2vid controls`."""

from __future__ import annotations

import io
import shutil
from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.expressions import NAMES, describe

MIN_WIDTH = 80


@takes_options
@guarded
def controls(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Picture to show them on, with -o; default: the example.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Write a sheet of pictures, each expression at full strength.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing sheet.")] = False,
    credentials: Annotated[
        bool | None, typer.Option("--credentials/--no-credentials", help="Sign the sheet (on by default).")
    ] = None,
    watermark: Annotated[
        bool | None, typer.Option("--watermark/--no-watermark", help="Mark the sheet invisibly (on by default).")
    ] = None,
    *,
    verbosity: Verbosity,
) -> None:
    """List the expressions that --expression of reenact and rotate takes, or show them on a portrait (-o)."""
    with Reporter(verbosity, "expressions") as reporter:
        if output is None:
            if source is not None:
                raise UsageError("controls SOURCE: say where to write the sheet with -o")
            reporter.print_result(_table(), {"expressions": {name: describe(name) for name in NAMES}})
            return
        with signals_held():
            from vid2vid_cli.pipeline.controls import draw_controls
            from vid2vid_cli.pipeline.options import RotateOptions

        options = RotateOptions(force=force, credentials=credentials, watermark=watermark)
        result = draw_controls(source, output, options, hooks=reporter.hooks)
    reporter.print_summary(result)


def _table() -> str:
    """Format the names and what they do as a table."""
    from rich.console import Console
    from rich.table import Table

    lines = Table(box=None, pad_edge=False, header_style="bold")
    lines.add_column("expression", no_wrap=True)
    lines.add_column("what it does, from 0 to 1", overflow="fold")
    for name in NAMES:
        lines.add_row(name, describe(name))
    paper = io.StringIO()  # not a terminal: rich writes no colours into it
    width = max(MIN_WIDTH, shutil.get_terminal_size().columns)
    Console(file=paper, width=width, markup=False, highlight=False, emoji=False).print(lines)
    return "\n".join(line.rstrip() for line in paper.getvalue().rstrip("\n").split("\n"))
