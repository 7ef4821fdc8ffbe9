"""Find when each phone of a known text is spoken, by pocketsphinx: for the clips that come with their text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pocketsphinx import Decoder

from training.speech_tracks import Array

FRAMES_HZ = 100


@dataclass(frozen=True)
class Phone:
    """A phone of CMU's dictionary in lower case without stress, and when it is spoken."""

    name: str
    start_s: float
    end_s: float


def align(sound: Array, text: str) -> list[Phone]:
    """Return the phones of a text in a sound (N,) at 16 kHz, silences too."""
    decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")
    samples = (sound * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(text)
    _decode(decoder, samples)
    decoder.set_alignment()  # from words to phones
    _decode(decoder, samples)
    phones = [phone for word in decoder.get_alignment() for phone in word]
    return [
        Phone(phone.name.lower(), phone.start / FRAMES_HZ, (phone.start + phone.duration) / FRAMES_HZ)
        for phone in phones
    ]


def _decode(decoder: Decoder, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
