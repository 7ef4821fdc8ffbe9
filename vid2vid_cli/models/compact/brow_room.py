"""Brows come down as far as there is room above the eyes: a frown never presses them onto the lids.

Expressions are added as differences: a driving whose brows lie high has more way down than a source with low brows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

REACH, LID_REACH = 0.25, 0.1  # eye distances: how far skin goes with brows; how near to lids less of it does
FREE, MOST = 0.3, 0.52  # of the room between brow and open lid: up to the first all arrives, more than the second never
# Points in the middle of the brows, and those of the upper lids below them, on the right and the left of the person.
MIDDLES = ((53, 52, 65), (283, 282, 295))
LIDS_BELOW = ((160, 159, 158), (387, 386, 385))


class BrowRoom:
    """Knows which skin goes with the brows, and how far down it may go."""

    def __init__(self, topology: FaceTopology) -> None:
        """Find the skin that goes with the brows."""
        near = topology.region_mask(np.array(BROWS), REACH)
        self.skin = near * (topology.distance(topology.eyes) / LID_REACH).clamp_max(1)
        """(468,), how far each point goes with the brows: 1 at them, 0 at the lids and far away."""
        # Times the points' y: the room on each point's side. (468, 468)
        is_right = topology.canonical[:, 0] < 0
        self._measure = torch.stack([is_right, ~is_right], 1).float() @ _rooms(len(is_right))

    def limited(self, moved: Tensor, own: Tensor) -> Tensor:
        """Return movements (B, 468 or more, 3) that leave room below the brows of own (1, 468, 3), lids open."""
        points = len(self.skin)
        room = (self._measure @ own[0, :, 1]).clamp_min(1e-3)  # (468,), in eye distances
        down = moved[:, :points, 1]
        free, span = FREE * room, (MOST - FREE) * room
        held = torch.where(down > free, free + span * torch.tanh((down - free) / span), down)
        limited = moved.clone()
        limited[:, :points, 1] += self.skin * (held - down)
        return limited


def _rooms(points: int) -> Tensor:
    """Return what gives, times the y of points, the room between brow and lid on both sides: (2, points)."""
    measure = torch.zeros(2, points)
    for side, (brow, lid) in enumerate(zip(MIDDLES, LIDS_BELOW, strict=True)):
        measure[side, list(lid)], measure[side, list(brow)] = 1 / len(lid), -1 / len(brow)
    return measure
