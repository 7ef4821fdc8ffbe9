"""The command `vid2vid speak`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.pipeline.options import SpeakOptions


@takes_options
@guarded
def speak(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Picture or video of the person who is to speak.")],
    sound: Annotated[
        str, typer.Argument(metavar="SOUND", help="Sound in any format, or a film, whose sound is taken.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Video (.mp4 .mov .mkv .webm .gif .webp) or folder of frames; default ./SOURCE--SOUND.mp4.",
        ),
    ] = None,
    *,
    options: SpeakOptions,
    verbosity: Verbosity,
) -> int:
    """Make SOURCE speak SOUND: lips follow the speech, eyes blink, the head moves a little."""
    with Reporter(verbosity) as reporter:
        with signals_held():  # torch takes seconds to import, and must not be interrupted
            from vid2vid_cli.pipeline.speak import speak as run

        result = run(source, sound, output, options, hooks=reporter.hooks)
    return reporter.print_summary(result)
