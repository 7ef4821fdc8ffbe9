"""Numbers of motion to integers and back, each with a step of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.codec.entropy import Integers
from vid2vid_cli.codec.space import ExpressionBasis, MotionSpace, Numbers

STEP_UNIT = 1 << 24
LARGEST_STEP = (1 << 32) - 1
LIMIT = 1 << 22  # of an integer either way
LARGEST_FIRST_STATE = 1 << 27
DEAD_ZONE = 0.6  # steps; smaller changes are not sent, since they would only make a still face jitter


@dataclass(frozen=True)
class Scales:
    """What a stream says about each of the D numbers of a frame.

    steps: (D,), in 2^-24. key_states, delta_states: (D,), how large the integers of key and delta packets are expected
    to be, in 1/256. first: how many of them are those of the header; None: all.
    """

    steps: Integers
    key_states: Integers
    delta_states: Integers
    first: int | None = field(default=None, kw_only=True)

    @classmethod
    def design(cls, space: MotionSpace, step_px: float) -> Scales:
        """Choose steps that move the points by `step_px` at 256 px, and states for motion of the usual size."""
        return cls.of_steps(step_px / space.effect(), *space.usual())

    @classmethod
    def design_beside(cls, basis: ExpressionBasis, step_px: float) -> Scales:
        """Choose steps and states of the numbers beside the head, in their basis."""
        return cls.of_steps(step_px / basis.known_effect(), *basis.usual())

    @classmethod
    def of_steps(cls, wanted: Numbers, away: Numbers, change: Numbers) -> Scales:
        """Take steps, and how far numbers usually are from 0 and change from frame to frame: (D,) each."""
        steps = np.clip(np.rint(wanted * STEP_UNIT), 1, LARGEST_STEP).astype(np.int64)
        states = (256 * usual / (steps / STEP_UNIT) for usual in (away, change))
        return cls(steps, *(np.clip(np.rint(s), 0, LARGEST_FIRST_STATE).astype(np.int64) for s in states))

    def joined(self, more: Scales) -> Scales:
        """Return these numbers, and after them more, which a reader may leave out."""
        pairs = ((self.steps, more.steps), (self.key_states, more.key_states), (self.delta_states, more.delta_states))
        return Scales(*(np.concatenate(pair) for pair in pairs), first=len(self))

    def __len__(self) -> int:
        return len(self.steps)

    def quantise(self, numbers: Numbers, last: Integers | None = None) -> Integers:
        """Return the integers (D,) of a frame's numbers; those that have hardly changed since `last` stay."""
        scaled = numbers / (self.steps / STEP_UNIT)
        nearest = np.clip(np.rint(scaled), -LIMIT, LIMIT).astype(np.int64)
        return nearest if last is None else np.where(np.abs(scaled - last) < DEAD_ZONE, last, nearest)

    def restore(self, integers: NDArray[np.integer]) -> Numbers:
        """Return the numbers (..., D) of integers: each times its step, exactly."""
        return np.asarray(integers * self.steps / STEP_UNIT)
