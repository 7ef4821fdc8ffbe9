"""Read mouths and phones out of what the speech encoder hears."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES, HIDDEN = 384, 96
KERNEL, DILATIONS = 5, (1, 2, 4)
# Groups of phones by what lips do in them.
GROUPS = ("pause", "lips shut", "teeth on lip", "rounded", "open", "spread", "other")
PAUSE, SHUT, TEETH = 0, 1, 2
PHONE_REACH = 2  # steps on each side that a phone is read from


class MouthReader(nn.Module):
    """A small temporal network: strengths of mouth shapes from features."""

    def __init__(self, shapes: int, features: int = FEATURES, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.inward = nn.Linear(features, hidden)
        self.layers = nn.ModuleList(
            nn.Conv1d(hidden, hidden, KERNEL, padding=KERNEL // 2 * dilation, dilation=dilation)
            for dilation in DILATIONS
        )
        self.outward = nn.Linear(hidden, shapes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, T, 384) to strengths (B, T, K)."""
        x = functional.gelu(self.inward(features)).transpose(1, 2)
        for layer in self.layers:
            x = x + functional.gelu(layer(x))
        y: Tensor = self.outward(x.transpose(1, 2))
        return y


class PhoneReader(nn.Module):
    """A linear map from a few steps of features to groups of phones."""

    def __init__(self, features: int = FEATURES) -> None:
        super().__init__()
        self.linear = nn.Conv1d(features, len(GROUPS), 2 * PHONE_REACH + 1, padding=PHONE_REACH)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, T, 384) to the logarithms of odds of GROUPS (B, T, 7)."""
        y: Tensor = self.linear(features.transpose(1, 2)).transpose(1, 2)
        return y


@dataclass(frozen=True)
class Gates:
    """What overrides the mouth that was read, in T steps: each (T,) in [0, 1]."""

    pause: Tensor
    shut: Tensor
    teeth: Tensor


QUIET_DB, RANGE_DB = -75.0, 42.0  # nothing below the first is speech, nor so far below the loud parts of it
SOFTER_DB, SOFTEST_DB = 10.0, 20.0  # below the loud parts of speech: no pause yet; surely one, if the phones say so
# Steps that a pause lasts at least. In shorter ones speakers breathe, or keep their mouths open for what comes.
PAUSE_STEPS, SILENCE_STEPS, WORDLESS_STEPS = 35, 13, 75


def find_gates(odds: Tensor, level_db: Tensor, peak_db: Tensor) -> Gates:
    """Find pauses and shut lips in the odds of phones (T, 7) and how loud it is (T,)."""
    probability = odds.softmax(-1)
    soft = _sharpened(peak_db - smoothed(level_db, 2), SOFTER_DB, SOFTEST_DB)
    no_phone = _sharpened(smoothed(probability[:, PAUSE], 1), 0.5, 0.9)
    silent = ((level_db < QUIET_DB) | (level_db < peak_db - RANGE_DB)).float()
    # A pause is what stays silent over its least length, at any place within it.
    pause = _opened(torch.minimum(soft, no_phone), PAUSE_STEPS // 2)
    pause = torch.maximum(pause, _opened(no_phone, WORDLESS_STEPS // 2))  # steady noise is no speech, however loud
    lasting = torch.maximum(pause, _opened(silent, SILENCE_STEPS // 2))
    return Gates(
        pause=smoothed(lasting, 3),
        shut=_sharpened(smoothed(probability[:, SHUT], 1), 0.15, 0.4),
        teeth=_sharpened(smoothed(probability[:, TEETH], 1), 0.25, 0.6),
    )


def smoothed(values: Tensor, reach: int) -> Tensor:
    """Smooth values (T,) by a triangle that reaches so many steps to both sides."""
    ramp = torch.arange(1.0, reach + 2)
    triangle = torch.cat([ramp, ramp[:-1].flip(0)])
    padded = functional.pad(values[None, None], (reach, reach), mode="replicate")
    return functional.conv1d(padded, (triangle / triangle.sum())[None, None])[0, 0]


def largest(values: Tensor, reach: int) -> Tensor:
    """Return the largest of values (T,) within so many steps to both sides."""
    return functional.max_pool1d(values[None, None], 2 * reach + 1, 1, reach)[0, 0]


def _opened(values: Tensor, reach: int) -> Tensor:
    """Take away what rises for less than 2 reach + 1 steps (a morphological opening); it is 1 outside of the sound."""
    outside = 2 * reach + 1
    padded = functional.pad(values, (outside, outside), value=1.0)
    return largest(-largest(-padded, reach), reach)[outside:-outside]


def _sharpened(values: Tensor, low: float, high: float) -> Tensor:
    return ((values - low) / (high - low)).clamp(0, 1)
