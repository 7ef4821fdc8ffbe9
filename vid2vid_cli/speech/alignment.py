"""Find when the words of a known text are said: forced alignment by pocketsphinx, an extra.

Long recordings are aligned in pieces. A piece takes as many of the next words as its sound holds; its last words are
then given to the next piece, since a cut may have gone through them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import TranscriptError
from vid2vid_cli.speech.pronunciation import pronounce
from vid2vid_cli.speech.spelling import WrittenWord
from vid2vid_cli.speech.transcript import Word

Samples = NDArray[np.float32]

RATE = 16000
FRAMES_PER_S = 100
PIECE_S, LEAST_S = 30.0, 12.0
"""A piece ends at a pause between these lengths, or at the longest where there is none."""
WORDS_PER_S = 7.0  # nobody speaks faster: more words than this are not offered to a piece
PAUSE_S = 0.25
CARRIED = 2  # words at the end of a piece that no pause ends, aligned again with the next one
WORST_WORDS, WORST_SOUND = -40.0, -21.0
"""Scores of words, and of all sound with its pauses. The right text has -10 to -30 and -8 to -17, with noise too."""
DOUBTFUL = -65.0
"""Score of a word that does not sound as it is written."""
_WIDE = {"beam": 1e-120, "wbeam": 1e-100, "pbeam": 1e-120}  # for voices that the acoustic model finds odd


@dataclass(frozen=True)
class Phone:
    """A sound of a language by its name in ARPAbet, and when it is said in seconds."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class AlignedWord:
    """A word of the text and when it is said. score: how well the sound fits, 0 the best. phones: if asked for."""

    word: Word
    score: float
    phones: tuple[Phone, ...] = ()


@dataclass(frozen=True)
class _Span:
    """Where a spoken word lies in a piece, in frames."""

    start: int
    end: int
    score: float
    phones: tuple[tuple[str, int, int], ...] = ()


class Aligner:
    """Aligns texts with sounds. with_phones: also find the phones of each word, which takes twice as long.

    TranscriptError if pocketsphinx is not installed.
    """

    def __init__(self, name: str, *, with_phones: bool = False) -> None:
        """Load the acoustic model and the dictionary. name: of the sound, for messages."""
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise TranscriptError(
                "aligning a text with a sound needs pocketsphinx; install it: pip install 'vid2vid[transcript]'"
            ) from error
        # The best path through the lattice may skip words that have to be said.
        self._open = partial(Decoder, samprate=RATE, bestpath=False, lm=None, loglevel="FATAL")
        self._decoder: Any = self._open()
        self._words: list[tuple[str, str]] = []  # that the dictionary lacks, with their phones
        self._name, self._with_phones = name, with_phones

    def align(self, sound: Iterable[Samples], words: Sequence[WrittenWord]) -> Iterator[AlignedWord]:
        """Yield the words with their times. TranscriptError if the text is not what is said.

        sound: blocks of (N,) float32 in [-1, 1] at 16 kHz, one channel. Memory does not grow with its length.
        """
        spoken = [each for word in words for each in word.spoken]
        self._learn(spoken)
        collector = _Collector(words)
        done, heard_s = 0, 0.0
        buffer = np.zeros(0, np.float32)
        for block, is_last in _with_last(sound):
            buffer = np.concatenate([buffer, block])
            if is_last:
                yield from collector.take(self._last_piece(buffer, spoken[done:]), heard_s)
                return
            while len(buffer) >= PIECE_S * RATE:
                piece = buffer[: _piece_length(buffer)]
                spans, used = self._piece(piece, spoken[done : done + round(WORDS_PER_S * PIECE_S)])
                yield from collector.take(spans, heard_s)
                done, heard_s, buffer = done + len(spans), heard_s + used / RATE, buffer[used:]

    def _learn(self, spoken: Sequence[str]) -> None:
        unknown = sorted({word for word in spoken if self._decoder.lookup_word(word) is None})
        self._words = [(word, pronounce(word)) for word in unknown]
        _teach(self._decoder, self._words)

    def _last_piece(self, sound: Samples, words: Sequence[str]) -> list[_Span]:
        if len(words) > WORDS_PER_S * len(sound) / RATE + 3:
            raise mismatch(self._name)
        return self._spans(sound, words, is_last=True) if words else []

    def _piece(self, sound: Samples, words: Sequence[str]) -> tuple[list[_Span], int]:
        """Align a piece with the first of `words`. Returns those that are certain, and how many samples they take."""
        spans = self._spans(sound, words, is_last=False) if words else []
        length = len(sound)
        if spans and length - spans[-1].end * RATE // FRAMES_PER_S < PAUSE_S * RATE:
            spans, carried = spans[:-CARRIED], spans[-CARRIED:]
            length = carried[0].start * RATE // FRAMES_PER_S or length
        return spans, length

    def _spans(self, sound: Samples, words: Sequence[str], *, is_last: bool) -> list[_Span]:
        """Find words in a sound: all of them, or the first of them if it is not the last. TranscriptError if not."""
        count = len(words)
        steps: list[tuple[Any, ...]] = [(index, index + 1, 1.0, word) for index, word in enumerate(words)]
        if not is_last:  # a piece may end after any word
            steps += [(index, count, 1.0) for index in range(count)]
        data = np.clip(sound * 32767, -32768, 32767).astype("<i2").tobytes()
        for beams in ({}, _WIDE):
            if beams:
                self._decoder = self._open(**beams)
                _teach(self._decoder, self._words)
            self._search(words, steps)
            decoder = self._decoder
            _decode(decoder, data)
            segments = [(segment.word, _span(segment)) for segment in decoder.seg()] if decoder.hyp() else []
            spans = [span for word, span in segments if _is_word(word)]
            if segments and (not is_last or len(spans) == count):
                break
        else:
            raise mismatch(self._name)
        if _score([span for _, span in segments]) < WORST_SOUND or (spans and _score(spans) < WORST_WORDS):
            raise mismatch(self._name)
        return self._add_phones(spans, words[: len(spans)], data) if self._with_phones and spans else spans

    def _add_phones(self, spans: list[_Span], words: Sequence[str], data: bytes) -> list[_Span]:
        """Find the phones of words whose spans are known. Where the decoder cannot, there are none."""
        decoder = self._decoder
        self._search(words, [(index, index + 1, 1.0, word) for index, word in enumerate(words)])
        _decode(decoder, data)
        try:
            decoder.set_alignment()
        except RuntimeError:
            return spans
        _decode(decoder, data)
        phones = []
        for word in decoder.get_alignment():  # an entry is good until the next one is asked for: none may be kept
            if _is_word(word.name):
                phones.append(tuple((phone.name, phone.start, phone.start + phone.duration) for phone in word))
        if len(phones) != len(spans):
            return spans
        return [_Span(span.start, span.end, span.score, each) for span, each in zip(spans, phones, strict=True)]

    def _search(self, words: Sequence[str], steps: Sequence[tuple[Any, ...]]) -> None:
        """Let the decoder search for words. steps: from one state to the next, how likely, and by which word."""
        self._decoder.add_fsg("text", self._decoder.create_fsg("text", 0, len(words), list(steps)))
        self._decoder.activate_search("text")


class _Collector:
    """Gathers spoken words into written ones."""

    def __init__(self, words: Sequence[WrittenWord]) -> None:
        self._words = iter(words)
        self._pending: list[tuple[_Span, float]] = []
        self._current: WrittenWord | None = None

    def take(self, spans: Sequence[_Span], since_s: float) -> Iterator[AlignedWord]:
        """Yield the written words that are complete. since_s: when the piece of these spans begins."""
        for span in spans:
            self._current = self._current or next(self._words)
            self._pending.append((span, since_s))
            if len(self._pending) == len(self._current.spoken):
                yield _join(self._current.text, self._pending)
                self._pending, self._current = [], None


def mismatch(name: str) -> TranscriptError:
    """Return the error for a text that is not what is said. name: of the sound."""
    return TranscriptError(f"{name}: the text is not what is said there; correct the text, or cut the sound to it")


def _join(text: str, parts: Sequence[tuple[_Span, float]]) -> AlignedWord:
    (first, first_s), (last, last_s) = parts[0], parts[-1]
    start_s, end_s = first_s + first.start / FRAMES_PER_S, last_s + last.end / FRAMES_PER_S
    phones = tuple(
        Phone(name, since_s + start / FRAMES_PER_S, since_s + end / FRAMES_PER_S)
        for span, since_s in parts
        for name, start, end in span.phones
    )
    return AlignedWord(Word(text, start_s, end_s), _score([span for span, _ in parts]), phones)


def _score(spans: Sequence[_Span]) -> float:
    """Return the mean score of spans, by their lengths."""
    return float(np.average([span.score for span in spans], weights=[span.end - span.start for span in spans]))


def _teach(decoder: Any, words: Sequence[tuple[str, str]]) -> None:
    """Add words with their phones to a decoder's dictionary."""
    for number, (word, phones) in enumerate(words, 1):
        decoder.add_word(word, phones, number == len(words))


def _span(segment: Any) -> _Span:
    start, end = segment.start_frame, segment.end_frame + 1
    return _Span(start, end, 1e4 * math.log(max(segment.ascore, 1e-300)) / (end - start))


def _is_word(name: str) -> bool:
    return not name.startswith(("<", "[", "+", "("))


def _decode(decoder: Any, data: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def _with_last(blocks: Iterable[Samples]) -> Iterator[tuple[Samples, bool]]:
    """Yield each block, and whether it is the last one."""
    last: Samples | None = None
    for block in blocks:
        if last is not None:
            yield last, False
        last = block
    if last is not None:
        yield last, True


def _piece_length(sound: Samples) -> int:
    """Return how many samples the first piece of a sound has: to the middle of its quietest quarter of a second."""
    hop = RATE // FRAMES_PER_S
    first, last = round(LEAST_S * FRAMES_PER_S), round(PIECE_S * FRAMES_PER_S)
    power = np.square(sound[: last * hop].reshape(last, hop)).mean(axis=1)
    width = round(PAUSE_S * FRAMES_PER_S)
    means = np.convolve(power, np.full(width, 1 / width), mode="valid")[first:]
    return int(first + int(np.argmin(means)) + width // 2) * hop


def pieces_of(sound: Iterable[Samples]) -> Iterator[tuple[float, Samples]]:
    """Divide a sound at pauses into pieces of half a minute at most. Yields when each begins in seconds, and itself."""
    since, buffer = 0, np.zeros(0, np.float32)
    for block in sound:
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= PIECE_S * RATE:
            length = _piece_length(buffer)
            yield since / RATE, buffer[:length]
            since, buffer = since + length, buffer[length:]
    if len(buffer):
        yield since / RATE, buffer
