"""Numbers of motion to integers and back, each with a step of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.codec.entropy import Integers
from vid2vid_cli.codec.space import MotionSpace, Numbers

STEP_UNIT = 1 << 24
LARGEST_STEP = (1 << 32) - 1
LIMIT = 1 << 22  # of an integer either way
LARGEST_FIRST_STATE = 1 << 27
DEAD_ZONE = 0.6  # steps; smaller changes are not sent, since they would only make a still face jitter


@dataclass(frozen=True)
class Scales:
    """What a stream's header says about each of its D numbers.

    steps: (D,), in 2^-24. key_states, delta_states: (D,), how large the integers of key and delta packets are expected
    to be, in 1/256.
    """

    steps: Integers
    key_states: Integers
    delta_states: Integers

    @classmethod
    def design(cls, space: MotionSpace, step_px: float) -> Scales:
        """Choose steps that move the points by `step_px` at 256 px, and states for motion of the usual size."""
        wanted = step_px / space.effect()
        steps = np.clip(np.rint(wanted * STEP_UNIT), 1, LARGEST_STEP).astype(np.int64)
        states = (256 * usual / (steps / STEP_UNIT) for usual in space.usual())
        return cls(steps, *(np.clip(np.rint(s), 0, LARGEST_FIRST_STATE).astype(np.int64) for s in states))

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
