"""The options of `transcript`, and how all commands take a text."""

from __future__ import annotations

from dataclasses import dataclass

from vid2vid_cli.pipeline.options import option


@dataclass(frozen=True)
class TextOptions:
    """What is said in a film or a sound."""

    text: str | None = option(None, "What is said, in English; - reads it from standard input.", panel="Words")
    text_file: str | None = option(
        None, "The same in a text file, or in subtitles (.srt, .vtt), of which the words count.", panel="Words"
    )
    model: str | None = option(
        None, "Without a text: a folder with a model of faster-whisper, which recognises the words.", panel="Words"
    )


@dataclass(frozen=True)
class TranscriptOptions(TextOptions):
    """The options of `transcript`, besides its two files."""

    force: bool = option(False, "Overwrite an existing output.", panel="Output")
