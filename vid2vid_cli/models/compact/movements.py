"""Movements of a face: how far mouth and brows are from rest, and a face that moves further or less far."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vid2vid_cli.face.landmarks import BROWS, INNER_LIPS, OUTER_LIPS
from vid2vid_cli.models.compact.contact import LipContact
from vid2vid_cli.models.compact.head_model import HeadModel
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.motion import Motion

RIDGE = 1e-4  # squared eye distances, beside what full expressions move: no measure is reached by a contortion
EYE_REACH = 0.1  # eye distances: how far around the lids no movement reaches
Places = tuple[int, ...]


class Movements:
    """Measures movements on the mean face, and changes them as the head model's expressions move a face."""

    def __init__(self, topology: FaceTopology, head: HeadModel) -> None:
        measures = _measures()
        self.names = tuple(measures)
        self._mean = topology.canonical
        self._lips = LipContact(topology)
        self._measures = torch.stack([_row(*parts) for parts in measures.values()])  # (M, 1404)
        # Eyes do as they are driven, whatever mouth and brows do.
        eyes = topology.region_mask(topology.eyes.ravel(), reach=EYE_REACH)[:, None]
        kept = [place for place, name in enumerate(head.names) if not name.startswith("eye")]
        full = head.offsets(torch.eye(len(head.names)))[kept, :POINTS]
        expressions = ((1 - eyes) * full).flatten(1)  # (E, 1404)
        moved = expressions @ self._measures.T  # (E, M)
        # The least of all expressions together that moves a face so.
        fields = torch.linalg.solve(moved.T @ moved + RIDGE * torch.eye(len(measures)), moved.T @ expressions)
        self._fields = torch.linalg.solve(fields @ self._measures.T, fields)  # (M, 1404), each moves its own measure

    def read(self, motion: Motion, rest: Motion) -> Tensor:
        """Return the movements (B, M)."""
        return (motion.expression - rest.expression)[:, :POINTS].flatten(1) @ self._measures.T

    def changed(self, motion: Motion, change: Tensor) -> Motion:
        """Return a motion whose movements are changed by (B, M); closed lips stay closed, and eyes as open."""
        before = self._mean + motion.expression[:, :POINTS]
        after = before + (change @ self._fields).reshape(-1, POINTS, 3)
        after = self._lips.as_closed(after, before)
        expression = motion.expression.clone()
        expression[:, :POINTS] = after - self._mean
        return replace(motion, expression=expression)


def _measures() -> dict[str, tuple[int, Places, Places]]:
    """Return for each movement its axis, and the points whose mean counts less that of other points.

    y is down: what is raised is measured from the brow, or the corner of the mouth, to points that stay.
    """
    right, left = OUTER_LIPS[0], OUTER_LIPS[10]
    still = (33, 133, 362, 263)  # the corners of the eyes
    measures = {
        "mouth_open": (1, INNER_LIPS[1:10], INNER_LIPS[11:]),
        "mouth_wide": (0, (left,), (right,)),
        "corner_up_R": (1, still, (right,)),
        "corner_up_L": (1, still, (left,)),
        "upper_lip_up": (1, still, (OUTER_LIPS[15],)),
    }
    for side, brow in zip("RL", BROWS, strict=True):
        measures[f"brow_up_{side}"] = 1, still, tuple(brow[:5])
    return measures


def _row(axis: int, plus: Places, minus: Places) -> Tensor:
    row = torch.zeros(POINTS, 3)
    row[list(plus), axis] += 1 / len(plus)
    row[list(minus), axis] -= 1 / len(minus)
    return row.flatten()
