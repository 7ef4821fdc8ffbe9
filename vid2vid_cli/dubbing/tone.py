"""Bring other sounds to the level and the tone of a film, and find the tone of its room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2

from vid2vid_cli.dubbing.sound_track import read_whole
from vid2vid_cli.media.pcm import RATE, Pcm
from vid2vid_cli.speech.transcript import Word

BANDS_HZ = np.geomspace(80, 16000, 20)
MOST_WORDS = 60
FFT = 2048
MOST_DB, MOST_LEVEL_DB = 9.0, 15.0
TAPS = 511
QUIET_S = 0.25  # of a pause that tells how the room sounds
LEAST_ROOM_S = 0.12

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tone:
    """How speech sounds. level: root mean square of its words. bands_db: (20,), its spectrum without the level."""

    level: float
    bands_db: Array


def tone_of(path: Path, words: Sequence[Word]) -> Tone:
    """Measure how the words of a sound sound; of many, some that are spread over it."""
    step = max(1, len(words) // MOST_WORDS)
    power, squares, count = np.zeros(FFT // 2 + 1), 0.0, 0
    for word in words[::step]:
        sound = read_whole(path, word.start_s, max(FFT, round((word.end_s - word.start_s) * RATE))).mean(axis=1)
        squares, count = squares + float(np.square(sound, dtype=np.float64).sum()), count + len(sound)
        for start in range(0, len(sound) - FFT + 1, FFT // 2):
            power += np.abs(np.fft.rfft(sound[start : start + FFT] * np.hanning(FFT))) ** 2
    return Tone((squares / max(1, count)) ** 0.5, _bands_db(power))


def _bands_db(power: Array) -> Array:
    frequency = np.fft.rfftfreq(FFT, 1 / RATE)
    edges = np.sqrt(BANDS_HZ[1:] * BANDS_HZ[:-1])
    band = np.searchsorted(edges, frequency)
    means = np.array([power[band == index].mean() if (band == index).any() else 0.0 for index in range(len(BANDS_HZ))])
    levels = 10 * np.log10(means + 1e-12 * power.max() + 1e-20)
    return np.asarray(levels - levels[3:15].mean())  # speech lies there: 180 Hz to 5 kHz


@dataclass(frozen=True)
class Match:
    """Brings sound of one tone to another. gain: of all of it. taps: (511,) of a filter, None to leave its tone."""

    gain: float
    taps: Array | None

    def __call__(self, samples: Pcm) -> Pcm:
        """Return sound (N, 2) as it is to be, without a delay."""
        if self.taps is None or not len(samples):
            return np.asarray(np.clip(samples * np.float32(self.gain), -1, 1), np.float32)
        filtered = fftconvolve(samples, self.gain * self.taps[:, None], mode="full", axes=0)
        middle = len(self.taps) // 2
        return np.asarray(np.clip(filtered[middle : middle + len(samples)], -1, 1), np.float32)


def match(own: Tone, film: Tone, *, is_same_person: bool) -> Match:
    """Return what brings `own` to the film. is_same_person: by the level alone."""
    limit = 10 ** (MOST_LEVEL_DB / 20)
    gain = min(max(film.level / max(own.level, 1e-6), 1 / limit), limit)
    if is_same_person:
        return Match(gain, None)
    wanted = np.clip(film.bands_db - own.bands_db, -MOST_DB, MOST_DB)
    wanted = np.convolve(np.pad(wanted, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    frequencies = np.concatenate([[0.0], BANDS_HZ, [RATE / 2]]) / (RATE / 2)
    gains = 10 ** (np.concatenate([[0.0], wanted, [wanted[-1]]]) / 20)
    return Match(gain, firwin2(TAPS, frequencies, gains))


def room_tone(path: Path, words: Sequence[Word], duration_s: float) -> tuple[float, float] | None:
    """Return a pause of a film, from and to in seconds, that tells how its room sounds; None if there is none."""
    edges = [0.0, *(edge for word in words for edge in (word.start_s, word.end_s)), duration_s]
    pauses = [(a + 0.03, b - 0.03) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > LEAST_ROOM_S + 0.06]
    longest = sorted(pauses, key=lambda pause: pause[0] - pause[1])[:8]
    parts = [(start_s, min(end_s, start_s + QUIET_S)) for start_s, end_s in longest]
    powers = [float(np.square(read_whole(path, a, round((b - a) * RATE))).mean()) for a, b in parts]
    return parts[int(np.argmin(powers))] if parts else None


def with_room(samples: Pcm, room: Pcm) -> Pcm:
    """Return sound (N, 2) over the tone of a room (M, 2), which goes there and back as often as it takes."""
    if not len(room):
        return samples
    there_and_back = np.concatenate([room, room[::-1]])
    times = -(-len(samples) // len(there_and_back))
    return np.asarray(np.clip(samples + np.tile(there_and_back, (times, 1))[: len(samples)], -1, 1), np.float32)
