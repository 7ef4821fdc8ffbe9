"""The log-mel spectrum that the speech encoder hears (Radford et al., 2022, section 2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 16000
BANDS = 80
FFT, HOP = 400, 160  # samples: windows of 25 ms, a step of 10 ms
TOP_HZ = 8000.0
# Slaney's mel scale: straight up to 1 kHz, then 27 steps to each factor of 6.4.
KNEE_HZ, HZ_PER_MEL, KNEE_MEL, MEL_STEP = 1000.0, 200 / 3, 15.0, math.log(6.4) / 27


class LogMel:
    """Turns sound into log-mel bands."""

    def __init__(self) -> None:
        self._window = torch.hann_window(FFT)
        self._filters = mel_filters()

    def power(self, sound: Tensor) -> Tensor:
        """Return log10 of the power in each band of sound (N,): (80, N // 160), at least -10."""
        spectrum = torch.stft(sound, FFT, HOP, window=self._window, pad_mode="reflect", return_complex=True)
        power = spectrum[:, :-1].abs().square()  # the last frame lies behind the sound
        return (self._filters @ power).clamp_min(1e-10).log10()

    def scaled(self, sound: Tensor) -> Tensor:
        """Return the encoder's input (80, N // 160) of sound (N,): the quietest is 80 dB below its loudest."""
        bands = self.power(sound)
        return (torch.maximum(bands, bands.max() - 8) + 4) / 4


def mel_filters() -> Tensor:
    """Return triangles (80, 201) over the bins of the spectrum, each of area 1 over Hz."""
    edges = _hz(torch.linspace(0, float(_mel(torch.tensor(TOP_HZ))), BANDS + 2, dtype=torch.float64))
    bins = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return (torch.minimum(rising, falling).clamp_min(0) * 2 / (high - low)).float()


def _mel(hz: Tensor) -> Tensor:
    return torch.where(hz < KNEE_HZ, hz / HZ_PER_MEL, KNEE_MEL + (hz / KNEE_HZ).log() / MEL_STEP)


def _hz(mel: Tensor) -> Tensor:
    return torch.where(mel < KNEE_MEL, mel * HZ_PER_MEL, KNEE_HZ * ((mel - KNEE_MEL) * MEL_STEP).exp())
