"""Transcripts as subtitles: SRT and WebVTT, written in lines that fit a screen, and read back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vid2vid_cli.errors import TranscriptError
from vid2vid_cli.speech.transcript import Transcript, Word

LINE_LETTERS = 42
"""Letters of a line, as broadcasters count them."""
LONGEST_CUE_S, PAUSE_S = 6.0, 0.7
SHORTEST_WORD_S = 1e-9
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_TIMES = re.compile(rf"^{_TIME}\s+-->\s+{_TIME}(?:\s.*)?$")
_MARK = re.compile(rf"<{_TIME}>")
_TAG = re.compile(r"<[^>]*>")


def to_srt(transcript: Transcript) -> str:
    """Write a transcript as SRT, a line of subtitles at a time. Times of single words are lost."""
    cues = enumerate(cues_of(transcript.words), 1)
    return "\n".join(
        f"{number}\n{_clock(cue[0].start_s, ',')} --> {_clock(cue[-1].end_s, ',')}\n{_plain(cue)}\n"
        for number, cue in cues
    )


def to_vtt(transcript: Transcript) -> str:
    """Write a transcript as WebVTT. Each word has a time stamp in its line, so that reading it back loses nothing."""
    cues = [
        f"{_clock(cue[0].start_s, '.')} --> {_clock(cue[-1].end_s, '.')}\n{_stamped(cue)}\n"
        for cue in cues_of(transcript.words)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def cues_of(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Divide words into lines: at the end of a sentence, at a pause, or when a line is full."""
    cue: list[Word] = []
    for word in words:
        if cue and _is_new_cue(cue, word):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _is_new_cue(cue: Sequence[Word], word: Word) -> bool:
    letters = sum(len(each.text) + 1 for each in cue) + len(word.text)
    is_over = cue[-1].text.endswith((".", "?", "!"))
    waits = word.start_s - cue[-1].end_s > PAUSE_S
    return is_over or waits or letters > LINE_LETTERS or word.end_s - cue[0].start_s > LONGEST_CUE_S


def _plain(cue: Sequence[Word]) -> str:
    return " ".join(word.text for word in cue)


def _stamped(cue: Sequence[Word]) -> str:
    """Write words with the time at which each begins; where a pause follows, also the time at which it ends."""
    parts: list[str] = []
    for index, word in enumerate(cue):
        before = "" if index == 0 else f"<{_clock(word.start_s, '.')}>"
        is_followed = index + 1 < len(cue) and cue[index + 1].start_s - word.end_s > 5e-4
        after = f"<{_clock(word.end_s, '.')}>" if is_followed else ""
        text = word.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        parts.append(f"{before}{text}{after}")
    return " ".join(parts)


def _clock(time_s: float, point: str) -> str:
    milliseconds = round(time_s * 1000)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def from_subtitles(text: str, name: str) -> Transcript:
    """Read SRT or WebVTT. Words without a stamp of their own share the time of their line by their letters.

    name: begins the line of a TranscriptError.
    """
    words: list[Word] = []
    for number, block in enumerate(re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").strip("\n")), 1):
        lines = [line.strip() for line in block.strip().split("\n")]
        times = next((index for index, line in enumerate(lines) if "-->" in line), None)
        if times is None:
            if number > 1 and lines[0] and not lines[0].startswith(("NOTE", "STYLE", "REGION")):
                raise TranscriptError(f"{name}: {lines[0][:40]!r} has no line of times; correct the subtitles")
            continue
        words += _read_cue(lines[times], " ".join(lines[times + 1 :]), name)
    if not words:
        raise TranscriptError(f"{name}: holds no subtitles; name an SRT, WebVTT or JSON file with words")
    try:
        return Transcript(tuple(words))
    except ValueError as error:
        raise TranscriptError(f"{name}: {error}; correct its times") from error


def _read_cue(times: str, text: str, name: str) -> list[Word]:
    found = _TIMES.match(times)
    if found is None:
        raise TranscriptError(f"{name}: {times[:60]!r} are no times; write 00:00:01,000 --> 00:00:02,000")
    start_s, end_s = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
    if end_s <= start_s:
        raise TranscriptError(f"{name}: {times[:60]!r} ends before it begins; correct its times")
    pieces: list[tuple[float, str]] = []
    place, since_s = 0, start_s
    for mark in _MARK.finditer(text):
        pieces.append((since_s, text[place : mark.start()]))
        place, since_s = mark.end(), _seconds(mark.groups())
    pieces.append((since_s, text[place:]))
    untils = [since for since, _ in pieces[1:]] + [end_s]
    if any(until < since for (since, _), until in zip(pieces, untils, strict=True)):
        raise TranscriptError(f"{name}: stamps in {text[:40]!r} do not follow each other; correct its times")
    return [word for (since, piece), until in zip(pieces, untils, strict=True) for word in _spread(piece, since, until)]


def _spread(text: str, start_s: float, end_s: float) -> list[Word]:
    """Share a time among words by their letters."""
    plain = _TAG.sub("", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    texts = plain.split()
    letters = sum(map(len, texts))
    words: list[Word] = []
    for each in texts:
        since = words[-1].end_s if words else start_s
        until = since + (end_s - start_s) * len(each) / letters
        words.append(Word(each, since, max(until, since + SHORTEST_WORD_S)))
    return words


def _seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds, milliseconds = (int(group or 0) for group in groups)
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
