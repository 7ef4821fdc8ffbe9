"""Smooth a stream of values or motions, frame by frame, without knowing what comes next."""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.motion import Motion, join_motions

# The cutoff at rest, in Hz, for a strength of 1: firm at 25 frames/s, without visible lag.
REST_CUTOFF_HZ = 1.2
# How far a smoothed expression may lag, in canonical units (distances of the eyes) for a strength of 1: more than lips
# and lids tremble at rest, less than any syllable moves them.
EXPRESSION_LAG = 0.015


class OneEuroFilter:
    """Smooth a stream of tensors: strongly at rest, weakly in fast movement (Casiez, Roussel, Vogel, CHI 2012).

    strength: 0 passes everything through; 1 smooths a clip of 25 frames/s firmly. fps: frames per second.
    speed_weight: Hz of cutoff gained per unit of speed (beta in the paper). most_lag: how far a value may lie from the
    one that came in. The paper's filter knows no such limit and takes the tops off quick movements, such as speech.
    """

    def __init__(
        self, strength: float, fps: float, *, speed_weight: float = 8.0, most_lag: float = float("inf")
    ) -> None:
        if strength < 0 or fps <= 0:
            raise ValueError("strength must not be negative and fps must be positive")
        self._cutoff_hz = REST_CUTOFF_HZ / strength if strength else float("inf")
        self._speed_weight = speed_weight
        self._fps, self._most_lag = fps, most_lag
        self._value: Tensor | None = None
        self._speed: Tensor | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """Return the smoothed value of the next frame. The shape is free, but the same for every frame."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value, torch.zeros_like(value)
            return value
        if self._cutoff_hz == float("inf"):
            return value
        speed = (value - self._value) * self._fps
        # The speed itself is smoothed with a fixed cutoff of 1 Hz, as in the paper: noise must not open the filter.
        self._speed = self._speed + self._gain(torch.tensor(1.0)) * (speed - self._speed)
        cutoff_hz = self._cutoff_hz + self._speed_weight * self._speed.abs()
        smoothed = self._value + self._gain(cutoff_hz) * (value - self._value)
        self._value = smoothed.clamp(value - self._most_lag, value + self._most_lag)
        return self._value

    def _gain(self, cutoff_hz: Tensor) -> Tensor:
        return 1 / (1 + self._fps / (2 * torch.pi * cutoff_hz))


class MotionSmoother:
    """Smooth a stream of motions frame by frame, with one filter per field. Rotations stay rotations."""

    def __init__(self, strength: float, fps: float) -> None:
        lags = {"expression": EXPRESSION_LAG * strength}
        self._filters = [
            OneEuroFilter(strength, fps, most_lag=lags.get(name, float("inf"))) for name in Motion.__dataclass_fields__
        ]

    def __call__(self, motion: Motion) -> Motion:
        """Return the smoothed motion of the next B frames."""
        return join_motions([self._smooth_frame(motion[i]) for i in range(len(motion))])

    def _smooth_frame(self, motion: Motion) -> Motion:
        # Not strict: a motion without `extra` leaves the last filter unused.
        rotation, *others = (smooth(tensor) for smooth, tensor in zip(self._filters, motion.tensors(), strict=False))
        u, _, vh = torch.linalg.svd(rotation)  # an average of rotations is not a rotation: take the nearest one
        return Motion(u @ vh, *others)
