"""How far heads must be turned so that they look turned as far as a user asks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

LEAST, MOST = 0.7, 1.5  # how far a head is turned over how far it is asked to: beyond, its picture would be distorted
LEAST_SHOWN, MOST_SHOWN = 0.5, 1 / LEAST  # of a further turn: how much more of it may be read, to be believed


@dataclass(frozen=True)
class TurnCurve:
    """One way of one axis: how far to turn for an angle that is asked for, straight between knots and after them.

    shown, turned: what a head looks turned by, and what it is turned by, in radians; both rise from 0.
    furthest: beyond this no head is turned further than asked.
    """

    shown: tuple[float, ...]
    turned: tuple[float, ...]
    furthest: float = math.inf

    @classmethod
    def through(cls, turned: Sequence[float], shown: Sequence[float], furthest: float) -> TurnCurve:
        """Take readings of a head at some turns that rise; those that cannot be believed count as the nearest that can.

        turned, shown: radians. Where a face was lost, readings end: from there on it turns as far as asked.
        """
        believed, knots = [0.0], (0.0, *turned)
        for index, step in enumerate(after - before for before, after in itertools.pairwise(knots)):
            reading = shown[index] - believed[-1] if index < len(shown) else step
            least = 1 / MOST if index == 0 else LEAST_SHOWN
            believed.append(believed[-1] + min(max(reading, least * step), MOST_SHOWN * step))
        return cls(tuple(believed), knots, furthest)

    def __call__(self, asked: Tensor) -> Tensor:
        """Return how far to turn for angles (B,), radians, not negative."""
        knots, heights = asked.new_tensor(self.shown), asked.new_tensor(self.turned)
        slopes = (heights[1:] - heights[:-1]) / (knots[1:] - knots[:-1])
        part = (torch.searchsorted(knots, asked, right=True) - 1).clamp(0, len(slopes) - 1)
        turned = heights[part] + slopes[part] * (asked - knots[part])
        turned = torch.minimum(torch.maximum(turned, LEAST * asked), MOST * asked)
        return torch.minimum(turned, asked.clamp_min(self.furthest))


@dataclass(frozen=True)
class Turning:
    """How far to turn about yaw, pitch and roll (0, 1, 2), and either way (1, -1). Ways without a curve have none."""

    curves: dict[tuple[int, int], TurnCurve] = field(default_factory=dict)

    def turn(self, axis: int, asked: Tensor, otherwise: float) -> Tensor:
        """Return how far to turn about an axis for angles (B,), radians. otherwise: times the angle without a curve."""
        turned = torch.zeros_like(asked)
        for way in (1, -1):
            angle = (asked * way).clamp_min(0)
            curve = self.curves.get((axis, way))
            turned = turned + way * (angle * otherwise if curve is None else curve(angle))
        return turned


UNCHANGED = Turning({(axis, way): TurnCurve((0.0, 1.0), (0.0, 1.0)) for axis in range(3) for way in (1, -1)})
"""Turns heads exactly as far as asked."""
