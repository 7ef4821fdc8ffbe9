"""The command `vid2vid transcript`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import one_line
from vid2vid_cli.pipeline.transcript_options import TranscriptOptions

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.transcript import TranscriptResult


@takes_options
@guarded
def transcript(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="Film or sound in which somebody speaks.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The transcript: .json, .srt or .vtt.")],
    *,
    options: TranscriptOptions,
    verbosity: Verbosity,
) -> None:
    """Write down when each word of CLIP is said, for subtitles or for `dub`."""
    with Reporter(verbosity, unit="seconds") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.transcript import make_transcript

        result = make_transcript(clip, output, options, hooks=reporter.hooks)
    text = f"{result.output}: {result.words} words in {result.duration_s:.1f} s of sound, {result.seconds:.1f} s"
    reporter.print_result(one_line(text), _facts(result))


def _facts(result: TranscriptResult) -> dict[str, Any]:
    return {
        "output": str(result.output),
        "words": result.words,
        "duration_s": round(result.duration_s, 3),
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }
