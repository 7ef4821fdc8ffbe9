"""Speech on compact's mesh: the points that speech moves are told, those around them follow as they usually do."""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.speech.mouth import MOUTH_POINTS

NOISE = 0.02  # eye distances: how far what was told may lie beside what faces do
# On the canonical head: where the neck carries it, about which it turns.
NECK = (0.0, 0.9, 0.9)


class SpokenFaces:
    """Completes displacements of the mouth to the whole face: its expectation, given the mouth (a Gaussian)."""

    def __init__(self, basis: Tensor, spread: Tensor) -> None:
        """Take the directions of expressions (C, 468, 3), and their standard deviations (C,)."""
        self._points = torch.tensor(MOUTH_POINTS)
        told = (basis[:, self._points] * spread[:, None, None]).flatten(1).double()  # (C, 178 * 3)
        count = len(told)
        solved = torch.linalg.solve(told @ told.T + NOISE**2 * torch.eye(count, dtype=torch.float64), told)
        self._strengths = (solved.T * spread.double()).float()  # (178 * 3, C)
        self._basis = basis.flatten(1)

    def offsets(self, lips: Tensor) -> Tensor:
        """Return the offsets (B, 468, 3) of the whole mesh for displacements (B, 178, 3) of the mouth."""
        offsets: Tensor = (lips.flatten(1) @ self._strengths @ self._basis).reshape(-1, POINTS, 3)
        offsets[:, self._points] = lips
        return offsets


def carried(rotation: Tensor) -> Tensor:
    """Return how far heads with poses (B, 3, 3) are moved by turning about the neck: (B, 3), at a scale of 1."""
    neck = rotation.new_tensor(NECK)
    return neck - rotation @ neck
