"""Hear sound of any length in overlapping windows: the same memory for a second and for a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.speech.encoder import FEATURES_HZ, POSITIONS, WINDOW, SpeechEncoder
from vid2vid_cli.speech.log_mel import SAMPLE_RATE

Block = NDArray[np.float32]
STEP = SAMPLE_RATE // FEATURES_HZ  # samples of a feature
OVERLAP = 300  # features that two windows share
# Near its ends a window lacks what came before or comes after; there the other one counts alone.
MARGIN = 75
HOP = POSITIONS - OVERLAP
SILENT_DB = -90.0
USUAL_DB, MOST_DB = -16.0, 40.0  # how loud speech is made for the encoder, and by how much at most


@dataclass(frozen=True)
class Heard:
    """What was heard in T steps of 20 ms.

    features: (T, 384), the encoder's. level_db: (T,), how loud each step is; 0 is a full-scale square wave.
    peak_db: (T,), how loud the speech around it is when it is loud.
    """

    features: Tensor
    level_db: Tensor
    peak_db: Tensor

    def __len__(self) -> int:
        return len(self.features)


def hear(blocks: Iterable[Block], encoder: SpeechEncoder) -> Iterator[Heard]:
    """Yield what is heard in sound, piece by piece; all pieces together last as long as the sound.

    blocks: float32 (N,) each, 16 kHz, one channel, in [-1, 1]; any lengths. Numbers that are none count as silence.
    """
    tail: Tensor | None = None
    for sound, is_last in windows(blocks):
        heard = _hear_window(sound, encoder)
        if tail is not None:
            heard[:OVERLAP] = tail + fade_in() * (heard[:OVERLAP] - tail)
        length = min(-(-len(sound) // STEP), POSITIONS) if is_last else HOP
        tail = heard[HOP:]
        if length:
            yield Heard(heard[:length, :-2], heard[:length, -2], heard[:length, -1])


def windows(blocks: Iterable[Block]) -> Iterator[tuple[Tensor, bool]]:
    """Cut sound into windows of 30 s, each but the last full, and say which is the last. None for no sound."""
    kept, hop = np.zeros(0, np.float32), HOP * STEP
    is_new = False
    for block in blocks:
        cleaned = np.nan_to_num(np.asarray(block, np.float32).reshape(-1), nan=0.0, posinf=0.0, neginf=0.0)
        for start in range(0, len(cleaned), WINDOW):
            kept = np.concatenate([kept, cleaned[start : start + WINDOW].clip(-1, 1)])
            is_new |= len(kept) > 0
            while len(kept) > WINDOW:
                yield torch.from_numpy(kept[:WINDOW].copy()), False
                kept = kept[hop:]
    if is_new:
        yield torch.from_numpy(kept), True


def fade_in() -> Tensor:
    """Return how much the later of two windows counts where both hear: (OVERLAP, 1), from 0 to 1."""
    ramp = torch.linspace(0, 1, OVERLAP - 2 * MARGIN)
    return functional.pad(functional.pad(ramp, (MARGIN, 0)), (0, MARGIN), value=1.0)[:, None]


def _hear_window(sound: Tensor, encoder: SpeechEncoder) -> Tensor:
    """Return features, level and peak (1500, 386) of a window of sound (N,)."""
    sound = sound - sound.mean()  # some recordings lie off the middle
    level = levels_db(sound)
    loud = torch.quantile(level[: max(1, -(-len(sound) // STEP))], 0.9)
    # The encoder hears soft speech a little differently.
    gain = 10 ** ((USUAL_DB - loud).clamp_max(MOST_DB) / 20)
    return torch.cat([encoder.encode(sound * gain), level[:, None], loud.expand(POSITIONS, 1)], 1)


def levels_db(sound: Tensor) -> Tensor:
    """Return how loud sound (N,) is around each step: (1500,), dB over 40 ms."""
    padded = functional.pad(sound, (STEP // 2, WINDOW + STEP - len(sound) - STEP // 2))
    power = padded.square().unfold(0, 2 * STEP, STEP).mean(1)
    return (10 * power.clamp_min(10 ** (SILENT_DB / 10)).log10())[:POSITIONS]
