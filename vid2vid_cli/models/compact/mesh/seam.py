"""The seam at a temple between what a source shows of a half of the head, and what is mirrored from the other half.

At the edge of a turned face, hair may lie on a temple that the other half shows bare. While the head turns a little,
the hair stays where the source has it. Once the other half is shown, it is shown along the edge as far as both differ:
a seam through hair here and skin there would leave a tuft on the forehead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

ALIKE, UNLIKE = 0.08, 0.2  # of full light: by how much halves differ that look alike, and that do not
TEMPLES = (-0.45, -0.2)  # y on the canonical head: where temples begin to pass into cheeks, and end
WELL_SHOWN, POORLY_SHOWN = 0.85, 0.6  # of facing the camera: what the source shows so is its own, or any half's
SHOWN_FROM, SHOWN_OVER = 0.2, 0.12  # of facing the camera: how much more, until the other half is shown, see warp.py
STEPS = 4  # points along the edge: from where a face is edge on as far as the middle


@dataclass(frozen=True)
class Seam:
    """Temples, and where no seam may run through them.

    points: (P,), of the mesh, along its edge. around: (P, N), their neighbours there. temple: (468,), how far each
    point of the mesh belongs to them, from 0 to 1. unlike: (P,), how surely both halves differ there.
    """

    points: Indices
    around: Indices
    temple: Points
    unlike: Points

    @classmethod
    def of(cls, topology: FaceTopology, facing: Points, apart: Points) -> Seam:
        """Read off how much a source's halves differ.

        facing: (468,), how far it shows each point. apart: (468,), how much both halves differ there, of full light.
        """
        edge = topology.triangles[np.isin(topology.triangles, topology.oval).any(1)]
        points = np.unique(edge).astype(np.int32)
        near = [np.unique(edge[(edge == point).any(1)]) for point in points]
        around = np.stack([np.resize(each, max(map(len, near))) for each in near]).astype(np.int32)
        begins, ends = TEMPLES
        temple = np.zeros(len(facing), np.float32)
        temple[points] = smoothstep((ends - topology.canonical.numpy()[points, 1]) / (ends - begins))
        differs = smoothstep((apart - ALIKE) / (UNLIKE - ALIKE))
        is_free = smoothstep((WELL_SHOWN - facing) / (WELL_SHOWN - POORLY_SHOWN))
        return cls(points, around, temple, (temple * differs * is_free)[points])

    def delay(self, shown: Points, turned: Points) -> Points:
        """Return how far points are shown (468,) that have turned to the camera by so much (468,): temples later."""
        later = smoothstep((turned - SHOWN_FROM) / SHOWN_OVER)
        return np.asarray(shown + self.temple * (later - shown), np.float32)

    def carry_on(self, weights: Points) -> Points:
        """Return how much is mirrored (468,), carried on to where both halves look alike."""
        carried = weights.copy()
        for _ in range(STEPS):
            around = (self.temple * carried)[self.around].max(1)
            carried[self.points] = np.maximum(carried[self.points], self.unlike * around)
        return carried
