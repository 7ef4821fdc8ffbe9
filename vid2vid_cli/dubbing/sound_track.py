"""Cut and join sounds: at places where little is heard, with short cross-fades, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vid2vid_cli.dubbing.edit_list import PlacedSound
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.pcm import RATE, Pcm, read_pcm

HALF = round(0.008 * RATE)
"""Samples of a cross-fade on each side of a join."""
SEARCH_S = 0.03  # how far a cut may move from the border of a word
QUIET_S = 0.008  # the power of a place is that of so much sound around it
NEAR = 0.35  # how much worse the end of the search counts than its middle, in powers of ten

Change = Callable[[Pcm], Pcm]


@dataclass(frozen=True)
class SoundSource:
    """A file with sound. changed: what brings a part of it (N, 2) to the level and the tone of the film."""

    path: Path
    changed: Change = lambda samples: samples


def quiet_place(path: Path, time_s: float, low_s: float, high_s: float) -> float:
    """Return where to cut near a time: where little is heard, at a zero of the sound. low_s, high_s: its limits."""
    first_s = max(low_s, time_s - SEARCH_S)
    count = round((min(high_s, time_s + SEARCH_S) - first_s) * RATE)
    if count < 2:
        return min(max(time_s, low_s), high_s)
    edge = round(QUIET_S * RATE)
    sound = read_whole(path, first_s - edge / RATE, count + 2 * edge).mean(axis=1)
    power = np.convolve(np.square(sound), np.full(2 * edge + 1, 1 / (2 * edge + 1)), mode="same")[edge : edge + count]
    away = np.abs(first_s + np.arange(count) / RATE - time_s) / SEARCH_S
    best = int(np.argmin(np.log10(power + 1e-9) + NEAR * away))
    inner = sound[edge : edge + count]
    zeros = np.flatnonzero(np.diff(np.signbit(inner)))
    return first_s + (int(zeros[np.argmin(np.abs(zeros - best))]) if len(zeros) else best) / RATE


def read_whole(path: Path, start_s: float, count: int) -> Pcm:
    """Return `count` samples (N, 2) of a sound at once."""
    return np.concatenate(list(read_pcm(AudioSource(path, start_s), count)))


def assemble(sounds: Sequence[PlacedSound], sources: Mapping[int, SoundSource]) -> Iterator[Pcm]:
    """Yield the sound of an edit list in blocks (N, 2). Neighbours fade into each other at their joins."""
    tail: Pcm | None = None  # of the sound before, which already fades out
    for index, placed in enumerate(sounds):
        is_last = index + 1 == len(sounds)
        tail = yield from _joined(placed, sources[placed.sound.source], tail, is_last=is_last)


def _joined(
    placed: PlacedSound, source: SoundSource, tail: Pcm | None, *, is_last: bool
) -> Generator[Pcm, None, Pcm | None]:
    """Yield a sound but for its end, which is returned: it fades into the next one. tail: that of the one before."""
    count = round(placed.until_s * RATE) - round(placed.at_s * RATE)
    before, after = (0 if tail is None else HALF), (0 if is_last else HALF)
    start_s = placed.sound.start_s - before / RATE
    blocks = _parts(source, start_s, count + before + after)
    held = np.zeros((0, 2), np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        if tail is not None and len(held) >= len(tail):
            held[: len(tail)] = held[: len(tail)] * _rising(len(tail)) + tail
            tail = None
        ready = len(held) - 2 * after
        if tail is None and ready > 0:
            yield held[:ready]
            held = held[ready:]
    if tail is not None:  # shorter than a cross-fade
        held = np.concatenate([held, np.zeros((len(tail) - len(held), 2), np.float32)]) + tail
    return None if is_last else held * _rising(len(held))[::-1]


def _parts(source: SoundSource, start_s: float, count: int) -> Iterator[Pcm]:
    for block in read_pcm(AudioSource(source.path, start_s), count):
        yield source.changed(block)


def _rising(count: int) -> Pcm:
    """Return the gains (N, 1) of a fade of equal power."""
    return np.sin(np.linspace(0, np.pi / 2, count, dtype=np.float32))[:, None]
