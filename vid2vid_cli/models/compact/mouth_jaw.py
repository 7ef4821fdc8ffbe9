"""Where a source's teeth are: the upper ones stay with the head, the lower ones follow the chin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.models.compact.mouth_halves import BEHIND_LIPS, CHIN, LOWER_LIP, UPPER_LIP, Values

# All lengths in distances of the eyes on the canonical head, measured on 600 portraits with open and closed lips.
NOSE = 2  # mesh point: where the nose meets the upper lip
EDGE_BELOW_NOSE = 0.262  # of the upper teeth, where nothing better is known
EDGE_BELOW_LIP = 0.025  # of the upper teeth, below the upper lip of a closed mouth
OPEN = 0.08  # from this opening on, the lips no longer say where the teeth end
OVERBITE = 0.025  # how far closed upper teeth reach down over the lower ones
JAW_SHARE = 0.88  # of the chin's way: lower teeth are nearer to the joint
UPPER_SHOWN, LOWER_SHOWN = (0.02, 0.13), (-0.2, 0.045)  # how much of either row an open mouth may show
BARED = 0.03  # how much further than in the source lips may draw back: there is no picture of what they then bare
USUAL_WIDTH = 0.62  # of a mouth


@dataclass(frozen=True)
class Jaw:
    """A source's jaw on its own canonical head.

    arch_z: depth of the teeth. edge: y of the upper teeth's edge. closed_chin, own_chin: (2,), x and y of the chin
    with closed teeth, and as the source shows it. own_lips: y of the middles of both lips there. scale: of its teeth,
    over usual ones.
    """

    arch_z: float
    edge: float
    closed_chin: Values
    own_chin: Values
    own_lips: tuple[float, float]
    scale: float

    @classmethod
    def of_source(cls, face: Values, mouth_width: float) -> Jaw:
        """Find the jaw of a source. face: (468, 3), on its canonical head, with its own expression."""
        gap = max(float(face[LOWER_LIP, 1] - face[UPPER_LIP, 1]), 0.0)
        shut = 1 - min(gap / OPEN, 1.0)
        from_lip, from_nose = face[UPPER_LIP, 1] + EDGE_BELOW_LIP, face[NOSE, 1] + EDGE_BELOW_NOSE
        own_chin = chin_of(face)
        # A smile parts the lips more than the teeth; a wide mouth opens as its jaw does.
        dropped = 0.3 * gap + 0.6 * max(gap - 0.1, 0.0)
        return cls(
            float(face[[UPPER_LIP, LOWER_LIP], 2].mean()) + BEHIND_LIPS,
            float(shut * from_lip + (1 - shut) * from_nose),
            own_chin - (0.0, dropped),
            own_chin,
            (float(face[UPPER_LIP, 1]), float(face[LOWER_LIP, 1])),
            float(np.clip(mouth_width / USUAL_WIDTH, 0.7, 1.4) ** 0.7),
        )

    def upper_edge(self, face: Values) -> float:
        """Return where the edge of upper teeth that are not the source's own lies under a face (468, 3)."""
        return float(face[UPPER_LIP, 1] + np.clip(self.edge - face[UPPER_LIP, 1], *UPPER_SHOWN))

    def lower_place(self, face: Values, upper_edge: float) -> Values:
        """Return x and y of the edge of lower teeth that are not the source's own. upper_edge: with closed teeth."""
        aside, down = JAW_SHARE * (chin_of(face) - self.closed_chin)
        lip = face[LOWER_LIP, 1]
        return np.array([aside, lip - np.clip(lip - (upper_edge - OVERBITE + max(down, 0.0)), *LOWER_SHOWN)])

    def own_upper_shift(self, face: Values) -> float:
        """Return by how much the source's own upper teeth have moved: y, 0 unless the lip would bare them too far."""
        return min(0.0, float(face[UPPER_LIP, 1]) - self.own_lips[0] + BARED)

    def own_lower_shift(self, face: Values) -> Values:
        """Return by how much the source's own lower teeth have moved: x and y; a lip never bares them too far."""
        aside, down = JAW_SHARE * (chin_of(face) - self.own_chin)
        return np.array([aside, max(float(down), float(face[LOWER_LIP, 1]) - self.own_lips[1] - BARED)])


def chin_of(face: Values) -> NDArray[np.float64]:
    """Return x and y of the chin of a face (468, 3)."""
    return np.asarray(face[list(CHIN), :2].astype(np.float64).mean(0))
