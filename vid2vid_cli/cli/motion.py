"""The command `vid2vid motion`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.pipeline.options import MotionOptions


@takes_options
@guarded
def motion(
    driving: Annotated[
        str, typer.Argument(metavar="DRIVING", help="Video, GIF, picture, call, motion file or take (.csv).")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="The motion file, such as smile.safetensors, or take.csv for Live Link Face."
        ),
    ],
    *,
    options: MotionOptions,
    verbosity: Verbosity,
) -> None:
    """Save the motion of DRIVING in a small file that `reenact` takes as DRIVING."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.extract_motion import extract_motion

        result = extract_motion(driving, output, options, hooks=reporter.hooks)
    reporter.print_summary(result)
