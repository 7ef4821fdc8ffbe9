"""The command `vid2vid live`."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import one_line
from vid2vid_cli.pipeline.live_options import LiveOptions

if TYPE_CHECKING:
    from vid2vid_cli.live.run import LiveResult


@takes_options
@guarded
def live(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Pictures of the persons to animate; keys 1 to 9 choose.")
    ],
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="Where it is shown, several times for several: window (default), camera, camera:/dev/videoN, "
            "a video (.mp4 .mov .mkv .webm), a call (.v2v), or - for standard output.",
        ),
    ] = None,
    *,
    options: LiveOptions,
    verbosity: Verbosity,
) -> int:
    """Be SOURCE: a camera moves it, live."""
    outputs = output or ["window"]
    options = _with_consent(options)
    with BarlessReporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.live.run import run_live

        result = run_live(sources, outputs, options, hooks=reporter.hooks)
    if "-" in outputs:  # standard output holds the pictures themselves
        reporter.log(describe(result))
    else:
        reporter.print_result(one_line(describe(result)), asdict(result))
    return 0


class BarlessReporter(Reporter):
    """Prints lines without a bar: nobody knows how long it lasts, and drawing one takes time from the pictures."""

    def __enter__(self) -> BarlessReporter:
        return self


def _with_consent(options: LiveOptions) -> LiveOptions:
    """Ask for the consent that --no-label takes, where somebody sits at a terminal."""
    if options.label or options.consent is not None or options.camera == "-" or not sys.stdin.isatty():
        return options
    agrees = typer.confirm("Pictures without the word synthetic: does the person shown agree to that?", err=True)
    return replace(options, consent="consent given at the terminal" if agrees else None)


def describe(result: LiveResult) -> str:
    """Say in one line what has happened."""
    rate = result.shown / result.seconds if result.seconds else 0.0
    return (
        f"{', '.join(result.outputs)}: {result.shown} pictures in {result.seconds:.1f} s ({rate:.1f} a second), "
        f"{result.held} of them without a face, {result.dropped} of {result.seen} left out, "
        f"delay {result.delay_ms:.0f} ms, 95 of 100 below {result.delay_95_ms:.0f} ms"
    )
