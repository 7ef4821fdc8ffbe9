"""Where the body below a head lies that has moved: as far away as other pictures show it with their heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points

LEAST_MOVED = 0.05  # eye distances: heads that moved less tell little of how far their body goes with them
LEAST_TOLD = 0.1  # of how far all heads move, squared: the bodies of those that move less tell nothing of the others

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Bodies:
    """How far head and body lie from where the first of S pictures shows them, in halves of the crop's longer side.

    bodies, heads: (S, 2). sway: how far a body goes for each step of its head, in [0, 1].
    """

    bodies: Numbers
    heads: Numbers
    sway: float

    @classmethod
    def of(cls, found: Sequence[Points | None], heads: Numbers, eye_distance: float) -> Bodies | None:
        """Join what was found, None for a body that could not be compared; None where the others tell too little.

        eye_distance: in halves of the crop's longer side.
        """
        known = [number for number, body in enumerate(found) if number and body is not None]
        told, least = np.square(heads[known]).sum(), (LEAST_MOVED * eye_distance) ** 2
        if not known or told < LEAST_TOLD * np.square(heads).sum():
            return None
        bodies = np.array([found[number] for number in known], np.float64)
        sway = float(np.clip((bodies * heads[known]).sum() / (told + least), 0, 1))
        every = [sway * head if body is None else body for body, head in zip(found, heads, strict=True)]
        return cls(np.array(every, np.float64), heads, sway)

    def shifts(self, weights: Numbers, head: Numbers) -> Points:
        """Return how far the body of a frame lies from where each picture shows it: (S, 2).

        weights: (S,), how much of each is shown, which add up to 1. head: (2,), how far the frame's lies from the first
        one's.
        """
        body = self.sway * head + weights @ (self.bodies - self.sway * self.heads)
        return np.asarray(body - self.bodies, np.float32)
