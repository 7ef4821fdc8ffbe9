"""The command `vid2vid reenact`."""

from __future__ import annotations

from typing import Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import UsageError
from vid2vid_cli.pipeline.options import ReenactOptions


@takes_options
@guarded
def reenact(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [DRIVING]",
            help="SOURCE: picture, video or person file to animate; several of one person with --driving. "
            "DRIVING: video, GIF, picture, call, motion file or take (.csv) with the motion.",
        ),
    ],
    driving: Annotated[
        str | None,
        typer.Option("--driving", help="DRIVING, where several files show the person of SOURCE.", metavar="FILE"),
    ] = None,
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
    """Make SOURCE move like DRIVING.

    Of several pictures of SOURCE the first one moves; the others show what it does not.
    """
    sources, moving = _sides(inputs, driving)
    with Reporter(verbosity) as reporter:
        with signals_held():  # torch takes seconds to import, and must not be interrupted
            from vid2vid_cli.pipeline.reenact import reenact as run

        result = run(sources, moving, output, options, hooks=reporter.hooks)
    return reporter.print_summary(result)


def _sides(inputs: list[str], driving: str | None) -> tuple[list[str], str]:
    """Return the sources, and the driving: the last of two files unless --driving names it."""
    if driving is not None:
        return inputs, driving
    if len(inputs) == 1:
        raise UsageError(f"reenact: missing argument 'DRIVING'; {inputs[0]} is SOURCE, write what moves it after it")
    if len(inputs) > 2:
        raise UsageError(
            f"reenact: {len(inputs)} files; with more than one SOURCE name the driving by --driving: "
            f"vid2vid reenact {' '.join(inputs[:-1])} --driving {inputs[-1]}"
        )
    return inputs[:1], inputs[1]
