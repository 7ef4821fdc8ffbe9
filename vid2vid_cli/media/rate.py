"""Find the exact frame rate of a clip from the time stamps of its packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]

REORDERED = 16
"""Frames are stored out of order, so a file that was cut off may miss some of about this many at its end."""

DEFAULT_FPS = Fraction(25)
"""The rate of a clip of one frame that does not state any."""


@dataclass(frozen=True)
class Stamps:
    """The time stamps of all frames of a clip: `ticks` (N,) ascending, in units of `tick_s` seconds."""

    ticks: Ticks
    tick_s: Fraction
    last_ticks: int
    """How long the last frame is shown; 0 if the file does not say."""

    @property
    def duration_s(self) -> Fraction:
        """Seconds from the start of the first frame to the end of the last, whose length is an average if unknown."""
        span = int(self.ticks[-1] - self.ticks[0])
        last = self.last_ticks or (Fraction(span, len(self.ticks) - 1) if len(self.ticks) > 1 else 0)
        return (span + last) * self.tick_s


@dataclass(frozen=True)
class Rate:
    """Frames per second, and whether every frame has its own place on that grid, so that none has to be moved."""

    fps: Fraction
    is_constant: bool


def measure_rate(stamps: Stamps, hints: Sequence[float] = ()) -> Rate:
    """Find the rate of a clip. hints: the rounded rates in ffmpeg's log, to choose between rates that fit.

    Constant means that every frame lies on the grid up to rounding to ticks, or else within half a frame of it
    (cameras jitter), so that repeating or dropping frames would gain nothing.
    """
    if len(stamps.ticks) < 2 or stamps.ticks[-1] == stamps.ticks[0]:
        return Rate(_rate_of_one(stamps, hints), True)
    fps = _fit(stamps, hints)
    if fps is None and len(stamps.ticks) > 2 * REORDERED:
        fps = _fit(replace(stamps, ticks=stamps.ticks[:-REORDERED]), hints)
    return Rate(_rate_for_variable(stamps), False) if fps is None else Rate(fps, True)


def _fit(stamps: Stamps, hints: Sequence[float]) -> Fraction | None:
    """Find the simplest constant rate that fits the frames, or None."""
    period = Fraction(int(stamps.ticks[-1] - stamps.ticks[0]), len(stamps.ticks) - 1)
    mean = 1 / (period * stamps.tick_s)
    simple, odd = _candidates(mean, hints)
    # The simple rates that the average hits almost exactly.
    exact = [fps for fps in simple if abs(fps / mean - 1) < 5e-5]
    # Tolerances in ticks: each of two rounded time stamps may be off by half a tick.
    steps = [
        (simple, 1.01),  # rounded time stamps
        (exact, 0.99 * float(period)),  # rounded durations that add up, as in an animated PNG
        (odd, 1.01),
        (simple + odd, 0.99 * float(period)),  # a camera that jitters
    ]
    for candidates, tolerance in steps:
        for fps in candidates:
            if _spread(stamps, fps) <= tolerance:
                return fps
    return None


def _rate_of_one(stamps: Stamps, hints: Sequence[float]) -> Fraction:
    if stamps.last_ticks > 0:
        return 1 / (stamps.last_ticks * stamps.tick_s)
    return _snap(hints[0]) if hints else DEFAULT_FPS


def _candidates(mean: Fraction, hints: Sequence[float]) -> tuple[list[Fraction], list[Fraction]]:
    """List simple and odd rates near `mean`, those that agree with a hint first."""
    whole = Fraction(max(1, round(mean)))
    simple = [whole, whole * Fraction(1000, 1001), mean.limit_denominator(2), mean.limit_denominator(12)]
    # 0.0051: hints are rounded to two digits. The sort is stable, so simpler rates stay in front.
    simple.sort(key=lambda rate: not any(abs(float(rate) - hint) <= 0.0051 for hint in hints))
    return [rate for rate in simple if rate > 0], [mean.limit_denominator(1001), mean]


def _spread(stamps: Stamps, fps: Fraction) -> float:
    """Return how far the frames stray from a constant grid, in ticks: largest minus smallest deviation."""
    period = float(1 / (fps * stamps.tick_s))
    deviation = (stamps.ticks - stamps.ticks[0]) - np.arange(len(stamps.ticks)) * period
    return float(deviation.max() - deviation.min())


def _rate_for_variable(stamps: Stamps) -> Fraction:
    """Choose the rate to resample a variable clip to: its usual rate if few frames are missing, else its average.

    At the average rate of a 30 fps clip that lost two frames, nearly every frame would be moved; at 30 fps, two are
    repeated.
    """
    mean = len(stamps.ticks) / stamps.duration_s
    # The median ignores the gaps that lost frames leave.
    usual_ticks = Fraction(float(np.median(np.diff(stamps.ticks))))
    if usual_ticks > 0:
        usual = 1 / (usual_ticks * stamps.tick_s)
        if mean <= usual <= mean * Fraction(5, 4):
            return _snap(float(usual))
    return mean.limit_denominator(1001)


def _snap(rate: float) -> Fraction:
    """Return the customary rate that a rounded one stands for: 30000/1001 for 29.97, 599/10 for 59.9."""
    whole = Fraction(max(1, round(rate)))
    for likely in (whole, whole * Fraction(1000, 1001)):
        if abs(float(likely) - rate) < 0.0051:
            return likely
    return Fraction(rate).limit_denominator(1001)
