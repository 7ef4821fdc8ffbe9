"""The options of `say`, and how all commands choose a voice."""

from __future__ import annotations

from dataclasses import dataclass

from vid2vid_cli.pipeline.options import SpeakOptions, option


@dataclass(frozen=True)
class VoiceOptions:
    """Which program reads texts aloud."""

    voice: str | None = option(
        None, "Program that speaks: flite or espeak-ng; default: the first that is installed.", panel="Voice"
    )
    voice_command: str | None = option(
        None, "Any other program: 'prog {text} {out}', which writes a sound file.", panel="Voice", metavar="COMMAND"
    )


@dataclass(frozen=True)
class SayOptions(VoiceOptions, SpeakOptions):
    """The options of `say`, besides its files and the text."""
