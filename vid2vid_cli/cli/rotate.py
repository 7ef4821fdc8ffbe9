"""The command `vid2vid rotate`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.pipeline.options import RotateOptions


@takes_options
@guarded
def rotate(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Picture or video; default: the bundled example.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Picture, video, GIF or folder of frames; default: ./SOURCE--rotated.png or .mp4."
        ),
    ] = None,
    *,
    options: RotateOptions,
    verbosity: Verbosity,
) -> int:
    """Turn the head of SOURCE: to one angle (--yaw 20), a sweep (--yaw -30:30:2) or the camera (--frontalize).

    --expression jawOpen=0.4 changes its face.
    """
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.rotate import rotate as run

        result = run(source, output, options, hooks=reporter.hooks)
    if source is None:  # after the work, so that it stands beside the name of the output
        reporter.log("note: no SOURCE given; this is the bundled example")
    return reporter.print_summary(result)
