"""Sound in many guises: joined in any order, higher and lower, louder and softer, muffled, in noise.

A speaker whose pitch and tempo are changed is nearly one more speaker, and what the encoder says of a sound depends a
little on where in its window it lies: both are what the speech networks learn to overlook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.speech.encoder import FEATURES_HZ, POSITIONS, WINDOW, SpeechEncoder
from vid2vid_cli.speech.log_mel import SAMPLE_RATE

STEP = SAMPLE_RATE // FEATURES_HZ
SLOWEST, FASTEST = 0.86, 1.16  # by resampling: tempo and pitch together
QUIETEST_DB, LOUDEST_DB = -24.0, 6.0
PAUSES, PAUSE_STEPS, TRANSIT = 0.5, (25, 75), 8  # how often, how long, and how long a mouth takes to come to rest


@dataclass(frozen=True)
class Labelled:
    """Sound (N,) with labels (T, L) at 50 Hz, NaN where there are none, and a number for whoever speaks."""

    sound: Tensor
    labels: Tensor
    speaker: int


@dataclass(frozen=True)
class Lesson:
    """T steps to learn from: features (T, 384), float16; labels (T, L); speaker (T,)."""

    features: Tensor
    labels: Tensor
    speaker: Tensor


def as_they_are(items: Sequence[Labelled], encoder: SpeechEncoder) -> list[Lesson]:
    """Encode each sound alone, as a user would give it."""
    return [_lesson([item], encoder, 0) for item in items]


def disguised(
    items: Sequence[Labelled], encoder: SpeechEncoder, rest: Tensor | None, random: np.random.Generator
) -> list[Lesson]:
    """Encode all sounds once, changed and joined at random to windows that are nearly full.

    rest: (L,), the labels of a pause: pauses are put between many of them; None for no pauses.
    """
    lessons: list[Lesson] = []
    row: list[Labelled] = []
    for index in random.permutation(len(items)):
        item = changed(items[index], random)
        if rest is not None and random.random() < PAUSES:
            item = after_pause(item, rest, random)
        if sum(len(other.labels) for other in (*row, item)) > POSITIONS - 25:
            lessons.append(_lesson(row, encoder, int(random.integers(0, 25))))
            row = []
        row.append(item)
    return [*lessons, _lesson(row, encoder, 0)]


def changed(item: Labelled, random: np.random.Generator) -> Labelled:
    """Return a sound in another guise, and its labels in step with it."""
    speed = float(np.exp(random.uniform(np.log(SLOWEST), np.log(FASTEST))))
    steps = int(len(item.labels) / speed)
    place = torch.arange(steps) * speed
    labels = item.labels[place.round().long().clamp_max(len(item.labels) - 1)]
    sound = functional.interpolate(item.sound[None, None], int(len(item.sound) / speed), mode="linear")[0, 0]
    if random.random() < 0.3:
        sound = _filtered(sound, random)
    loud = sound.square().mean().sqrt().clamp_min(1e-4)
    if random.random() < 0.4:
        noise = _noise(len(sound), random) * loud
        sound = sound + noise * 10 ** (float(random.uniform(-35, -8)) / 20)
    gain = 10 ** (float(random.uniform(QUIETEST_DB, LOUDEST_DB)) / 20) * 0.1 / float(loud)
    return Labelled((sound * gain).clamp(-1, 1), labels, item.speaker)


def after_pause(item: Labelled, rest: Tensor, random: np.random.Generator) -> Labelled:
    """Return a sound after a pause that is silent or hums. Nobody knows the mouth while it comes to rest."""
    steps = int(random.integers(*PAUSE_STEPS))
    loud = 10 ** (float(random.uniform(-85, -45)) / 20)
    sound = _noise(steps * STEP, random) * loud * float(random.random() < 0.7)
    labels = rest.expand(steps, -1).clone()
    labels[:TRANSIT] = labels[-TRANSIT:] = torch.nan
    return Labelled(torch.cat([sound, item.sound]), torch.cat([labels, item.labels]), item.speaker)


def _filtered(sound: Tensor, random: np.random.Generator) -> Tensor:
    """Take away what is above or below some pitch, as telephones and rooms do."""
    spectrum = torch.fft.rfft(sound)
    hz = torch.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    top, bottom = random.uniform(2800, 8000), random.uniform(10, 300)
    tilt = (hz / 1000 + 0.1).pow(float(random.uniform(-0.5, 0.5)))
    passed = tilt * torch.sigmoid((top - hz) / 200) * torch.sigmoid((hz - bottom) / 30)
    filtered: Tensor = torch.fft.irfft(spectrum * passed, len(sound))
    return filtered


def _noise(count: int, random: np.random.Generator) -> Tensor:
    spectrum = torch.fft.rfft(torch.from_numpy(random.standard_normal(count)).float())
    shaped = spectrum * (torch.arange(len(spectrum)) + 1.0).pow(-float(random.uniform(0, 1)))
    noise: Tensor = torch.fft.irfft(shaped, count)
    return noise / noise.square().mean().sqrt()


def _lesson(row: Sequence[Labelled], encoder: SpeechEncoder, lead: int) -> Lesson:
    """Encode sounds one after the other in one window, from step `lead` on."""
    sounds = [functional.pad(item.sound, (0, max(0, len(item.labels) * STEP - len(item.sound)))) for item in row]
    joined = torch.cat([s[: len(item.labels) * STEP] for s, item in zip(sounds, row, strict=True)])
    joined = functional.pad(joined, (lead * STEP, 0))[:WINDOW]
    labels = torch.cat([item.labels for item in row])[: POSITIONS - lead]
    speaker = torch.cat([torch.full((len(item.labels),), item.speaker) for item in row])[: len(labels)]
    features = encoder.encode(joined)[lead : lead + len(labels)]
    return Lesson(features.half(), labels, speaker)
