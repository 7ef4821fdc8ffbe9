"""How far the lids of a target have closed its eyes, against those of the source."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, UPPER
from vid2vid_cli.geometry.easing import smoothstep

OPEN_EYE = 0.10  # gap over width: the lid of an eye less open in the source is in view already


class Eyelids:
    """The lids of one source. Arrays of lids are (2, 7): the right eye, then the left, each from its outer corner."""

    def __init__(self, points: Points, scale: float) -> None:
        """Measure how far the eyes are open. points: (468, 3), the source's mesh. scale: of the head in it."""
        self._gaps = _gaps(points, scale)
        open_by = self._gaps.max(1) / np.maximum(_widths(points) / scale, 1e-6)
        self._trust = smoothstep(open_by / OPEN_EYE - 1)[:, None]

    def closing(self, keypoints: Points, scale: float) -> Points:
        """Return how far each point of the upper lids has closed the eye, against the source: in [0, 1].

        keypoints: (468, 3). scale: the target's.
        """
        share = _gaps(keypoints, scale) / np.maximum(self._gaps, 1e-6)
        return np.asarray(self._trust * smoothstep((0.9 - share) / 0.7), np.float32)


def _gaps(points: Points, scale: float) -> Points:
    # In space: an eye that is seen from above or below is no smaller for it.
    return np.asarray(np.linalg.norm(points[LOOPS[:, LOWER]] - points[LOOPS[:, UPPER]], axis=-1) / scale, np.float32)


def _widths(points: Points) -> Points:
    return np.asarray(np.linalg.norm(points[LOOPS[:, OUTER]] - points[LOOPS[:, INNER]], axis=-1), np.float32)
