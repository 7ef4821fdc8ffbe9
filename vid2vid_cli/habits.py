"""Habits: how far and how often a person moves each part of the face, and the map from one person's to another's.

Of each movement, such as how wide the mouth is, a few quantiles over a clip are kept. What a driving shows at a
quantile becomes what the person shows at the same one: half of the driving's grins become half of the person's grins
(the aim of Recycle-GAN, Bansal, Ma, Ramanan, Sheikh, ECCV 2018). Movements are signed distances from rest, in distances
of the eyes, and rest stays rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep_between

Array = NDArray[np.float64]

OUTWARD = (0.75, 0.9, 0.97)  # quantiles of a movement to one side; to the other side, 1 less them
LEVELS = (*(1 - level for level in reversed(OUTWARD)), *OUTWARD)
SEEN = 0.015  # eye distances: a movement that stays plainly below is noise, and tells no habit
LEAST_STEP = 0.004  # eye distances between two quantiles of a driving that count as two
LEAST_GAIN, MOST_GAIN = 0.6, 1.8  # of a movement, whatever the habits say
FEWEST_FRAMES = 20  # that tell habits
FURTHEST = 1.0  # eye distances: no part of a face moves so far
BINS = 400  # of movements from -FURTHEST to FURTHEST, while a driving goes on
SURE_AFTER_S, FORGETS_S, FOLLOWS_S = 6.0, 60.0, 3.0  # of a driving that goes on


@dataclass(frozen=True)
class Habits:
    """A person's habits. names: of M movements. quantiles: (M, Q), at LEVELS. frames: how many told them."""

    names: tuple[str, ...]
    quantiles: Array
    frames: int

    def tables(self) -> dict[str, NDArray[Any]]:
        """Return the habits as tables of float32 and uint8, for a file."""
        return {
            "names": np.frombuffer("\n".join(self.names).encode(), np.uint8),
            "quantiles": self.quantiles.astype(np.float32),
            "frames": np.array([self.frames], np.float32),
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, NDArray[Any]]) -> Habits | None:
        """Read what `tables` gave, from a file that nobody vouches for; None for tables that tell no habits."""
        if not {"names", "quantiles", "frames"} <= tables.keys() or tables["frames"].size != 1:
            return None
        names = tuple(tables["names"].astype(np.uint8).tobytes().decode("ascii", "replace").split("\n"))
        quantiles = np.nan_to_num(tables["quantiles"].astype(np.float64)).clip(-FURTHEST, FURTHEST)
        if quantiles.shape != (len(names), len(LEVELS)):
            return None
        frames = float(np.nan_to_num(tables["frames"].ravel()[0]).clip(0, 1e9))
        return cls(names, np.maximum.accumulate(quantiles, axis=1), int(frames))


def habits_of(names: Sequence[str], movements: Tensor) -> Habits | None:
    """Return the habits that N frames of a person tell; None for too few. movements: (N, M)."""
    if len(movements) < FEWEST_FRAMES:
        return None
    return Habits(tuple(names), np.quantile(movements.double().numpy(), LEVELS, axis=0).T, len(movements))


def join_habits(habits: Sequence[Habits]) -> Habits:
    """Return the habits that several clips of one person tell together; each counts by its frames."""
    frames = [each.frames for each in habits]
    quantiles = np.average([each.quantiles for each in habits], axis=0, weights=np.maximum(frames, 1))
    return Habits(habits[0].names, quantiles, sum(frames))


@dataclass(frozen=True)
class HabitMap:
    """A smooth, rising curve through 0 for each of M movements, from a driving's to a person's.

    knots, values, slopes: (M, Q + 1). Beyond the outermost knots the curve is straight.
    """

    knots: Array
    values: Array
    slopes: Array

    @classmethod
    def between(cls, driving: Array, person: Array) -> HabitMap:
        """Return the map between quantiles (M, Q) at LEVELS."""
        half, sides = len(OUTWARD), []
        for own, other in zip(driving, person, strict=True):
            to_one = _outward(-own[:half][::-1], -other[:half][::-1])
            to_other = _outward(own[half:], other[half:])
            sides.append([[*(-one[::-1]), 0.0, *two] for one, two in zip(to_one, to_other, strict=True)])
        knots, values = np.array(sides).transpose(1, 0, 2)
        return cls(knots, values, _slopes(knots, values))

    def __call__(self, movements: Tensor) -> Tensor:
        """Map movements (B, M)."""
        x = movements.double().numpy().T  # (M, B)
        first, last = self.knots[:, :1], self.knots[:, -1:]
        inside = x.clip(first, last)
        place = (inside[:, :, None] >= self.knots[:, None, 1:-1]).sum(-1)  # (M, B), the interval
        rows = np.arange(len(x))[:, None]
        ends = [part[rows, place + step] for step in (0, 1) for part in (self.knots, self.values, self.slopes)]
        beyond = (x - inside) * np.where(x < inside, self.slopes[:, :1], self.slopes[:, -1:])
        return torch.from_numpy((_hermite(inside, *ends) + beyond).T.copy()).to(movements)


def _outward(driving: Array, person: Array) -> tuple[Array, Array]:
    """Return the knots and values of a curve to one side, from quantiles (Q / 2,) of both people, outward from rest."""
    known = smoothstep_between(driving[-1], SEEN / 2, SEEN)
    knots, values = [0.0], [0.0]
    for own, other in zip(driving, person, strict=True):
        # A knot lies a little beyond the one before, even where many frames show the same.
        knot = max(own, knots[-1] + LEAST_STEP)
        value = knot + known * (min(max(other, LEAST_GAIN * knot), MOST_GAIN * knot) - knot)
        # Steps are bounded like the movements themselves, so that the curve is neither flat nor steep anywhere.
        width = knot - knots[-1]
        values.append(min(max(value, values[-1] + LEAST_GAIN * width), values[-1] + MOST_GAIN * width))
        knots.append(knot)
    return np.array(knots[1:]), np.array(values[1:])


def _slopes(knots: Array, values: Array) -> Array:
    """Return slopes at knots (M, K) with which cubic curves through them never fall (Fritsch and Butland 1984)."""
    steps = np.diff(values) / np.diff(knots)
    between = 2 * steps[:, :-1] * steps[:, 1:] / (steps[:, :-1] + steps[:, 1:])
    return np.concatenate([steps[:, :1], between, steps[:, -1:]], axis=1)


def _hermite(x: Array, *ends: Array) -> Array:
    """Interpolate between two knots: their places, values and slopes."""
    left, low, low_slope, right, high, high_slope = ends
    width = right - left
    t = (x - left) / width
    lean = width * t * (1 - t) * ((1 - t) * low_slope - t * high_slope)
    return low + (high - low) * t * t * (3 - 2 * t) + lean


class RunningHabits:
    """The habits of a driving whose future nobody knows, frame by frame. They change slowly, and never jump."""

    def __init__(self, count: int, fps: float) -> None:
        """Begin without any. count: of the movements."""
        self._counts = np.zeros((count, BINS))
        self._fps, self._frames = fps, 0
        self.quantiles = np.zeros((count, len(LEVELS)))
        """(M, Q), at LEVELS."""

    @property
    def trust(self) -> float:
        """How much of the map they deserve: 0 nothing, 1 all. It rises slowly."""
        share = min(1.0, self._frames / (SURE_AFTER_S * self._fps))
        return share * share * (3 - 2 * share)

    def add(self, movements: Tensor) -> None:
        """Add one frame's movements (1, M)."""
        self._counts *= math.exp(-1 / (FORGETS_S * self._fps))
        share = (movements[0].double().numpy() / FURTHEST + 1) / 2
        self._counts[np.arange(len(share)), (share * BINS).astype(int).clip(0, BINS - 1)] += 1
        self._frames += 1
        reached = self._counts.cumsum(1) / self._counts.sum(1, keepdims=True)
        bins = (reached[:, None, :] < np.array(LEVELS)[None, :, None]).sum(-1)
        found = ((bins + 0.5) / BINS * 2 - 1) * FURTHEST
        # A quantile leaps where few frames lie, so it is followed, and not taken.
        step = 1 - math.exp(-1 / (FOLLOWS_S * self._fps))
        self.quantiles = found if self._frames == 1 else self.quantiles + step * (found - self.quantiles)
