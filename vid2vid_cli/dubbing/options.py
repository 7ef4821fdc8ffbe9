"""The options of `dub`."""

from __future__ import annotations

from dataclasses import dataclass

from vid2vid_cli.pipeline.options import EncodingOptions, EngineOptions, PictureOptions, option
from vid2vid_cli.pipeline.say_options import VoiceOptions
from vid2vid_cli.pipeline.transcript_options import TextOptions

_WORDS = {"panel": "Words"}


@dataclass(frozen=True)
class DubOptions(VoiceOptions, TextOptions, EncodingOptions, PictureOptions, EngineOptions):
    """The options of `dub`, besides its files."""

    replace: list[str] | None = option(
        None, "Let other words be said: OLD=NEW; OLD may be several words, or word#2.", metavar="OLD=NEW", **_WORDS
    )
    delete: list[str] | None = option(None, "Leave words out.", metavar="WORD", **_WORDS)
    insert: list[str] | None = option(
        None, "Say more after a word; =TEXT is at the beginning.", metavar="AFTER=TEXT", **_WORDS
    )
    transcript: str | None = option(
        None, "What is said, as `transcript` wrote it; words with `new` in it change.", metavar="FILE", **_WORDS
    )
    footage: list[str] | None = option(
        None,
        "Another clip of the same person to take words from, with its transcript (.json, .vtt) or text (.txt) beside.",
        metavar="CLIP",
        **_WORDS,
    )
    new_words: str | None = option(
        None,
        "A recording of the new words in their order, for those that the person never says.",
        "--sound",
        panel="Voice",
        metavar="FILE",
    )
    strength: float = option(1.0, "How far the mouth moves: 0 not at all, 1 as heard.", panel="Motion")
