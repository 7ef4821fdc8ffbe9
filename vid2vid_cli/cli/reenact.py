"""The command `vid2vid reenact`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.pipeline.options import ReenactOptions


@takes_options
@guarded
def reenact(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Picture or video of the person to animate.")],
    driving: Annotated[
        str,
        typer.Argument(
            metavar="DRIVING", help="Video, GIF, picture, call, motion file or take (.csv) with the motion."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Video (.mp4 .mov .mkv .webm .gif .webp), folder of frames or picture; default ./SOURCE--DRIVING.mp4.",
        ),
    ] = None,
    *,
    options: ReenactOptions,
    verbosity: Verbosity,
) -> int:
    """Make SOURCE move like DRIVING."""
    with Reporter(verbosity) as reporter:
        with signals_held():  # torch takes seconds to import, and must not be interrupted
            from vid2vid_cli.pipeline.reenact import reenact as run

        result = run(source, driving, output, options, hooks=reporter.hooks)
    return reporter.print_summary(result)
