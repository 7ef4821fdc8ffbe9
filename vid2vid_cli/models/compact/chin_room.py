"""The chin makes room for a lower lip that comes down: on a short chin the lip would else be pushed over its edge.

Expressions are added as differences. A jaw that drops turns about its joint, so that what is left between lip and chin
shrinks. It shrinks by the driving's share of it, whatever the sizes of both faces.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep_tensor
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mouth_halves import CHIN

LOWER_LIP = (17, 84, 314)  # mesh points: middle of its lower edge
MIDDLE, REACH = 0.3, 0.75  # eye distances to the side: the chin's width goes along, and what is further away does not


class ChinRoom:
    """Knows which skin goes with the chin."""

    def __init__(self, topology: FaceTopology) -> None:
        """Find how far each point goes with the chin: nothing at the lip's edge, all from the chin on."""
        canonical = topology.canonical
        lip, chin = canonical[LOWER_LIP, 1].mean(), canonical[CHIN, 1].mean()
        below = smoothstep_tensor((canonical[:, 1] - lip) / (chin - lip))
        beside = smoothstep_tensor((REACH - canonical[:, 0].abs()) / (REACH - MIDDLE))
        self._skin = below * beside  # (468,)
        self._measure = torch.zeros(len(canonical))  # times the points' y: the height of the chin below the lip
        self._measure[list(CHIN)], self._measure[list(LOWER_LIP)] = 1 / len(CHIN), -1 / len(LOWER_LIP)

    def made(self, faces: Tensor, own: Tensor, driving: Tensor, reference: Tensor) -> Tensor:
        """Return faces (B, 468, 3) whose chins are not nearer to the lip, by their share, than the driving's.

        own: (1, 468, 3), the source at rest. driving: (B, 468, 3). reference: (1, 468, 3), the driving at rest.
        """
        heights = [points[..., 1] @ self._measure for points in (faces, own, driving, reference)]
        now, usual, there, there_at_rest = heights  # (B or 1,), in eye distances
        missing = (usual * (there / there_at_rest.clamp_min(1e-3)).clamp(0, 1) - now).clamp_min(0)
        moved = faces.clone()
        moved[..., 1] += missing[:, None] * self._skin
        return moved
