"""How somebody who talks holds themselves: small head motion, blinks and glances, from the loudness of the speech.

There is no telling from a sound how a head moved, so it is drawn by chance, with the spectrum and the amplitude of
heads that were tracked while they talked: 16 clips of four speakers (public speeches and a lecture), median over the
clips of the power below 0.5, at 0.5 to 1, 1 to 2, 2 to 4 and 4 to 8 Hz. The same seed draws the same motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.pipeline.options import HeadMotion

Array = NDArray[np.float64]

# Standard deviations in degrees of the parts that yaw, pitch and roll consist of, by the cutoff of the filter in Hz.
CUTOFFS_HZ = np.array([0.2, 0.8, 2.4])
SPREAD_DEG = np.array([[3.0, 2.3, 3.1], [1.75, 1.4, 1.05], [1.1, 1.0, 0.42]])
LIVELINESS = {"still": 0.0, "calm": 0.45, "lively": 1.0}  # of those speakers, who address a hall
SILENT = np.array([0.8, 0.4, 0.15])  # how much of each part is left in silence
FOLLOW_S = 0.25  # how quickly the amplitude follows the speech
BLINK_EVERY_S = 3.0, 5.0
CLOSING_S, SHUT_S, OPENING_S = 0.09, 0.05, 0.18
GLANCE_EVERY_S = 0.7, 2.4
GLANCE_DEG = np.array([2.6, 1.3])  # standard deviation to the right, and up
AWAY = 0.18  # share of glances that go further, as of somebody who thinks
AWAY_DEG = np.array([6.0, 3.5])
SACCADE_S = 0.045
FIXED = 0.75  # of a head's turn, how much eyes turn back to keep looking where they did
BROWS = 0.22  # how far brows rise in the loudest speech


@dataclass(frozen=True)
class Bearing:
    """One frame. pose: (3,), yaw, pitch and roll in radians. gaze_deg: (2,), right and up, of the viewer.

    blink: 0 open to 1 shut. brows: 0 at rest to 1 raised.
    """

    pose: Array
    gaze_deg: Array
    blink: float
    brows: float


class BearingGenerator:
    """Draws the bearing of frame after frame."""

    def __init__(self, fps: Fraction, head: HeadMotion, seed: int) -> None:
        """Begin at frame 0."""
        self._step_s = 1 / float(fps)
        # Each thing has its own chance, so that a still head blinks as a lively one does.
        heads, lids, eyes = np.random.default_rng(seed).spawn(3)
        self._head = _HeadMotion(heads, self._step_s, LIVELINESS[head])
        self._blinks, self._glances = _Blinks(lids), _Glances(eyes)
        self._frame, self._loudness = 0, 0.0

    def __call__(self, loudness: float) -> Bearing:
        """Return the bearing of the next frame. loudness: of the speech at this time, 0 in silence to 1."""
        time_s = self._frame * self._step_s
        self._frame += 1
        self._loudness += (1 - math.exp(-self._step_s / FOLLOW_S)) * (loudness - self._loudness)
        pose = self._head(self._loudness)
        # The viewer's right is a positive yaw, and up a positive pitch.
        gaze = self._glances(time_s) - FIXED * np.rad2deg(pose[:2])
        return Bearing(pose, gaze, self._blinks(time_s), BROWS * self._loudness)


class _HeadMotion:
    """Filtered noise: of each part twice through a filter of first order, brought to its standard deviation."""

    def __init__(self, random: np.random.Generator, step_s: float, liveliness: float) -> None:
        self._random, self._liveliness = random, liveliness
        self._keep = np.exp(-2 * np.pi * CUTOFFS_HZ * step_s)[:, None]
        self._first, self._second = np.zeros((2, *SPREAD_DEG.shape))
        a2 = self._keep**2
        # Variance of white noise after both filters.
        self._unit = np.sqrt((1 - self._keep) ** 4 * (1 + a2) / (1 - a2) ** 3)

    def __call__(self, loudness: float) -> Array:
        noise = self._random.standard_normal(SPREAD_DEG.shape)
        self._first = self._keep * self._first + (1 - self._keep) * noise
        self._second = self._keep * self._second + (1 - self._keep) * self._first
        share = (SILENT + (1 - SILENT) * min(1.0, loudness))[:, None]
        parts = self._second / self._unit * SPREAD_DEG * share
        return np.asarray(np.deg2rad(self._liveliness * parts.sum(0)))


class _Blinks:
    """Lids that shut quickly and open slower, every few seconds."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._begin_s = float(random.uniform(0.8, BLINK_EVERY_S[1]))

    def __call__(self, time_s: float) -> float:
        since = time_s - self._begin_s
        if since > CLOSING_S + SHUT_S + OPENING_S:
            self._begin_s += float(self._random.uniform(*BLINK_EVERY_S))
            since = time_s - self._begin_s
        if since <= 0:
            return 0.0
        if since < CLOSING_S:
            return _eased(since / CLOSING_S)
        return 1 - _eased((since - CLOSING_S - SHUT_S) / OPENING_S)


class _Glances:
    """Eyes that rest somewhere near the camera, and leap to another place now and then."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._from = self._to = np.zeros(2)
        self._begin_s = 0.0
        self._next_s = float(random.uniform(*GLANCE_EVERY_S))

    def __call__(self, time_s: float) -> Array:
        if time_s >= self._next_s:
            self._from, self._to = self._to, self._place()
            self._begin_s = self._next_s
            self._next_s += float(self._random.uniform(*GLANCE_EVERY_S))
        return np.asarray(self._from + _eased((time_s - self._begin_s) / SACCADE_S) * (self._to - self._from))

    def _place(self) -> Array:
        spread_deg = AWAY_DEG if self._random.random() < AWAY else GLANCE_DEG
        return np.asarray(self._random.standard_normal(2).clip(-2, 2) * spread_deg)


def _eased(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
