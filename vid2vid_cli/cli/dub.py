"""The command `vid2vid dub`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.dubbing.options import DubOptions


@takes_options
@guarded
def dub(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Film of the person who is to say something else.")],
    sound: Annotated[
        str | None,
        typer.Argument(metavar="[SOUND]", help="Another sound for all of it; leave it out to change single words."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Video (.mp4 .mov .mkv .webm .gif .webp) or folder of frames; default ./VIDEO--dubbed.mp4.",
        ),
    ] = None,
    *,
    options: DubOptions,
    verbosity: Verbosity,
) -> int:
    """Let the person in VIDEO say SOUND, or other words: only the mouth changes."""
    with Reporter(verbosity) as reporter:
        with signals_held():  # torch takes seconds to import, and must not be interrupted
            from vid2vid_cli.dubbing.dub import dub as run

        result = run(video, sound, output, options, hooks=reporter.hooks)
    return reporter.print_summary(result)
