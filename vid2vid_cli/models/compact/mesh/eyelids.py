"""Upper lids unfold as eyes close, and show skin that was hidden in their fold: no pixel of the source has it.

Stretching the edge of the lid over a closing eye would smear lashes and shadow all over it. The skin between fold and
brow is shown instead, and the lashes of the upper lid become the line where the lids meet.
"""

from __future__ import annotations

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, RINGS, UPPER
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

LID, LOWER_LID = LOOPS[:, UPPER], LOOPS[:, LOWER]
FOLD, BROW = RINGS[:, :, UPPER]
# Where a shut lid's edge and its fold take their skin from, as a share of the way from fold to brow.
EDGE_FROM, FOLD_FROM = 0.3, 0.6
OPEN_EYE = 0.10  # gap over width: the lid of an eye less open in the source is in view already
LASHES = 0.05  # thickness of the line between shut lids, in eye widths


class Eyelids:
    """The lids of one source. Arrays of lids are (2, 7): the right eye, then the left, each from its outer corner."""

    def __init__(self, topology: FaceTopology, points: Points, scale: float) -> None:
        """Measure how far the eyes are open. points: (468, 2 or 3), the source's mesh. scale: of the head in it."""
        place = {int(point): k for k, point in enumerate(topology.eyes.ravel())}
        self._upper, self._lower = (np.vectorize(place.__getitem__)(lid) for lid in (LID, LOWER_LID))
        self._gaps = _gaps(points, scale)
        open_by = self._gaps.max(1) / np.maximum(_widths(points) / scale, 1e-6)
        self._trust = smoothstep(open_by / OPEN_EYE - 1)[:, None]
        self._lashes = points[LID, :2]

    def closing(self, keypoints: Points, scale: float) -> Points:
        """Return how far each point of the upper lids has closed the eye, against the source: in [0, 1].

        keypoints, scale: the target's.
        """
        share = _gaps(keypoints, scale) / np.maximum(self._gaps, 1e-6)
        return np.asarray(self._trust * smoothstep((0.9 - share) / 0.7), np.float32)

    def unfold(self, source_xy: Points, closing: Points) -> None:
        """Let the vertices of the lids show the skin above them. source_xy: (468 or more, 2), changed in place."""
        share = closing[..., None]
        lid, fold, brow = source_xy[LID], source_xy[FOLD], source_xy[BROW]
        source_xy[LID] += share * (fold + EDGE_FROM * (brow - fold) - lid)
        source_xy[FOLD] += FOLD_FROM * share * (brow - fold)

    def draw_lashes(self, source_xy: Points, vertices: Points, keypoints: Points, closing: Points) -> None:
        """Let the inside of shut eyes show the lashes of the upper lid, as a line that lies over the lower lid.

        source_xy: (32 or more, 2), what the vertices inside the eyes show, in the topology's order. vertices: (32 or
        more, 3), where they are. Both are changed in place. keypoints: (468, 3), the target's.
        """
        shut = smoothstep((closing - 0.6) / 0.4)[..., None]
        for inside in (self._upper, self._lower):
            source_xy[inside] += shut * (self._lashes - source_xy[inside])
        size = _widths(keypoints)[:, None, None]
        down = keypoints[LID, :2] - keypoints[BROW, :2]
        down /= np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
        vertices[self._lower, :2] += LASHES * size * shut * down
        for inside in (self._upper, self._lower):
            vertices[inside, 2:] -= LASHES * size * shut


def _gaps(points: Points, scale: float) -> Points:
    return np.asarray(np.linalg.norm(points[LOWER_LID, :2] - points[LID, :2], axis=-1) / scale, np.float32)


def _widths(points: Points) -> Points:
    ends = points[LOOPS[:, OUTER], :2] - points[LOOPS[:, INNER], :2]
    return np.asarray(np.linalg.norm(ends, axis=-1), np.float32)
