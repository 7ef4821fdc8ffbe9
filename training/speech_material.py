"""What the speech networks learn from: mouths of real speakers at 50 Hz, beside their sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.speech_tracks import Track
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.speech.encoder import FEATURES_HZ
from vid2vid_cli.speech.mouth import MOUTH_POINTS, opening_of

REST_SHARE = 0.08  # of a clip's frames: those with the least open mouths show it at rest
USUAL_AMPLITUDE, AMPLITUDES = 0.17, (0.6, 1.6)  # of openings: 95th percentile, and how far speakers may differ from it


@dataclass(frozen=True)
class Spoken:
    """A clip at 50 Hz, T steps.

    lips: (T, 178, 3), displacements as speech/mouth.py has them; NaN where no face was found. sound: (N,), 16 kHz.
    amplitude: how much further this speaker opens the mouth than the usual one.
    """

    name: str
    speaker: str
    is_test: bool
    lips: Tensor
    sound: Tensor
    amplitude: float
    opening: Tensor  # (T,), from rest
    fps: float


def displacements(track: Track) -> Tensor:
    """Return how the mouth is displaced from the rest of a clip in its T frames: (T, 178, 3)."""
    lips = torch.from_numpy(track.faces[:, list(MOUTH_POINTS)])
    gap = opening_of(lips)
    known = gap.isfinite()
    limit = torch.quantile(gap[known], REST_SHARE)
    rest = lips[known & (gap <= limit)].mean(0)
    return lips - rest


def symmetric(lips: Tensor) -> Tensor:
    """Make displacements (T, 178, 3) the same on both sides: no sound tells one side of a mouth from the other."""
    partner = embedded_checkpoint().tensors["face.mirror"].tolist()
    mirrored = lips[:, [MOUTH_POINTS.index(partner[point]) for point in MOUTH_POINTS]]
    return (lips + mirrored * torch.tensor([-1.0, 1.0, 1.0])) / 2


def at_steps(values: Tensor, fps: float, steps: int) -> Tensor:
    """Return values (T, ...) of frames at steps of 20 ms, NaN where the picture has ended."""
    place = torch.arange(steps) / FEATURES_HZ * fps
    low = place.long().clamp_max(len(values) - 1)
    high = (low + 1).clamp_max(len(values) - 1)
    share = (place - low).clamp(0, 1).reshape(-1, *(1,) * (values.dim() - 1))
    between = values[low] + share * (values[high] - values[low])
    between[place > len(values) - 0.5] = torch.nan
    return between


def read_material(tracks: Iterable[Track]) -> list[Spoken]:
    """Turn tracks into material, with one amplitude for each speaker."""
    clips = [(track, displacements(track)) for track in tracks]
    openings = defaultdict(list)
    for track, lips in clips:
        openings[track.clip.speaker].append(opening_of(lips))
    wide = {who: float(np.nanpercentile(torch.cat(found).numpy(), 95)) for who, found in openings.items()}
    material = []
    for track, lips in clips:
        steps = min(round(len(lips) / track.fps * FEATURES_HZ), len(track.sound) * FEATURES_HZ // 16000)
        placed = at_steps(symmetric(lips), track.fps, steps)
        clip = track.clip
        amplitude = float(np.clip(wide[clip.speaker] / USUAL_AMPLITUDE, *AMPLITUDES))
        sound = torch.from_numpy(track.sound)
        opening = opening_of(placed)
        material.append(Spoken(clip.name, clip.speaker, clip.is_test, placed, sound, amplitude, opening, track.fps))
    return material


def speakers_of(material: Sequence[Spoken]) -> list[str]:
    """Return the names of those who talk, in order."""
    return sorted({clip.speaker for clip in material})
