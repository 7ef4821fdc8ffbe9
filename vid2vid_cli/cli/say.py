"""The command `vid2vid say`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.pipeline.say_options import SayOptions


@takes_options
@guarded
def say(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Picture or video of the person who is to speak.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads it from standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Video (.mp4 .mov .mkv .webm .gif .webp) or folder of frames; default ./SOURCE--says.mp4.",
        ),
    ] = None,
    *,
    options: SayOptions,
    verbosity: Verbosity,
) -> int:
    """Make SOURCE say TEXT, in the voice of a program on this machine."""
    with Reporter(verbosity) as reporter:
        with signals_held():  # torch takes seconds to import, and must not be interrupted
            from vid2vid_cli.pipeline.say import say as run
            from vid2vid_cli.pipeline.transcript import STANDARD, read_standard

        said = read_standard() if text == STANDARD else text
        result = run(source, said, output, options, hooks=reporter.hooks)
    return reporter.print_summary(result)
