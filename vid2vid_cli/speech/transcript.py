"""Transcripts: words with times, kept as JSON that a person may edit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vid2vid_cli.errors import TranscriptError

SCHEMA = "vid2vid-transcript"
VERSION = 1
LARGEST = 100_000_000
"""Bytes of a transcript that is read: some weeks of speech."""
_FIELDS, _OPTIONAL = {"text", "start_s", "end_s"}, {"new"}


@dataclass(frozen=True)
class Word:
    """A word as it is written, and when it is said, in seconds from the start of the sound."""

    text: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.text or self.text != self.text.strip():
            raise ValueError(f"a word needs letters and no space around them, not {self.text!r}")
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s) and 0 <= self.start_s < self.end_s):
            raise ValueError(f"{self.text!r} is said from {self.start_s:g} to {self.end_s:g} s, which is no time")


@dataclass(frozen=True)
class Transcript:
    """What is said in a sound, word by word in order. duration_s: of the whole sound; None if nobody knows."""

    words: tuple[Word, ...]
    duration_s: float | None = None

    def __post_init__(self) -> None:
        last_s = 0.0
        for word in self.words:
            if word.start_s < last_s - 1e-6:
                raise ValueError(f"{word.text!r} at {word.start_s:g} s begins before the word before it ends")
            last_s = word.end_s

    @property
    def text(self) -> str:
        """The words as one line."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class Revision:
    """What a person wrote into a transcript. word: which one; text: what stands there now, "" if it is deleted.

    is_insertion: the text comes after that word instead of it; -1 is before all words.
    """

    word: int
    text: str
    is_insertion: bool = False


@dataclass(frozen=True)
class RevisedTranscript:
    """A transcript as it was made, and what a person changed in it."""

    transcript: Transcript
    revisions: tuple[Revision, ...] = field(default=())


def to_json(transcript: Transcript) -> str:
    """Write a transcript as JSON, a word on a line."""
    lines = [json.dumps(_word_facts(word), ensure_ascii=False) for word in transcript.words]
    duration = "null" if transcript.duration_s is None else f"{transcript.duration_s:.3f}"
    head = f'{{\n "schema": "{SCHEMA}",\n "version": {VERSION},\n "duration_s": {duration},\n "words": ['
    return head + "".join(f"\n  {line}," for line in lines).removesuffix(",") + "\n ]\n}\n"


def _word_facts(word: Word) -> dict[str, Any]:
    return {"text": word.text, "start_s": round(word.start_s, 3), "end_s": round(word.end_s, 3)}


def from_json(text: str, name: str) -> RevisedTranscript:
    """Read what `to_json` wrote, with a person's edits. name: begins the line of a TranscriptError.

    A word gets `"new": "text"` to be said differently, `"new": ""` to be deleted; an entry that is nothing but
    `{"new": "text"}` is inserted where it stands.
    """
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TranscriptError(f"{name}: is no JSON: {error}; correct it, or make the transcript again") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise TranscriptError(f"{name}: is no transcript; vid2vid transcript makes one")
    if facts.get("version") != VERSION:
        raise TranscriptError(f"{name}: version {facts.get('version')!r} of transcripts is not known; update vid2vid")
    unknown = facts.keys() - {"schema", "version", "duration_s", "words"}
    if unknown or not isinstance(facts.get("words"), list):
        wrong = f"unknown field {min(unknown)!r}" if unknown else "words are missing"
        raise TranscriptError(f"{name}: {wrong}; correct it, or make the transcript again")
    return _read_entries(facts["words"], _duration(facts.get("duration_s"), name), name)


def _duration(value: object, name: str) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number <= 0:
        raise TranscriptError(f"{name}: duration_s is {value!r}; write seconds")
    return number


def _read_entries(entries: Sequence[object], duration_s: float | None, name: str) -> RevisedTranscript:
    words: list[Word] = []
    revisions: list[Revision] = []
    for number, entry in enumerate(entries, 1):
        where = f"{name}: word {number}"
        if not isinstance(entry, dict):
            raise TranscriptError(f"{where} is {entry!r}; write an object with text, start_s and end_s")
        new = entry.get("new")
        if "new" in entry and not isinstance(new, str):
            raise TranscriptError(f"{where}: new is {new!r}; write a text, or leave it out")
        if entry.keys() == {"new"}:
            if not str(new).strip():
                raise TranscriptError(f"{where}: nothing is inserted; write a text, or remove the entry")
            revisions.append(Revision(len(words) - 1, str(new).strip(), is_insertion=True))
            continue
        words.append(_read_word(entry, where))
        if new is not None and new.strip() != words[-1].text:
            revisions.append(Revision(len(words) - 1, new.strip()))
    try:
        return RevisedTranscript(Transcript(tuple(words), duration_s), tuple(revisions))
    except ValueError as error:
        raise TranscriptError(f"{name}: {error}; correct its times") from error


def _read_word(entry: dict[str, object], where: str) -> Word:
    wrong = sorted((entry.keys() ^ _FIELDS) - _OPTIONAL)
    if wrong:
        verb = "misses" if wrong[0] in _FIELDS else "has an unknown field"
        raise TranscriptError(f"{where} {verb} {wrong[0]!r}; it needs text, start_s and end_s, and may have new")
    text, start_s, end_s = entry["text"], _number(entry["start_s"]), _number(entry["end_s"])
    if not isinstance(text, str) or start_s is None or end_s is None:
        raise TranscriptError(f"{where}: text is a text, start_s and end_s are numbers; correct it")
    try:
        return Word(text, start_s, end_s)
    except ValueError as error:
        raise TranscriptError(f"{where}: {error}; correct it") from error


def _number(value: object) -> float | None:
    """Return a number of JSON; None for anything else. True is no number here."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_text(path: Path) -> str:
    """Read a text file of a user. TranscriptError if it is missing, too large, or no text."""
    try:
        if path.stat().st_size > LARGEST:
            raise TranscriptError(f"{path}: is too large for a text; name another file")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TranscriptError(f"{path}: is no text in UTF-8; save it as that") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TranscriptError(f"{path}: cannot be read: {reason}; check the name") from error
