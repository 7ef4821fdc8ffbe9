"""Follows one driving: each frame is compared with the first one, which is taken as a source of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.compact.following.first_frame import MAX_FLOW, FirstFrame
from vid2vid_cli.models.compact.mesh.placed_mesh import PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import POINTS, body_of, no_extra
from vid2vid_cli.models.compact.posing import CompactState, Posing
from vid2vid_cli.motion import Motion

REFINED_TIMES = 2
FURTHEST = 0.75 * MAX_FLOW  # halves of the side, in all: what goes further may lay hair on the wall, as specks


@dataclass(frozen=True)
class FirstFrameFollower:
    """Compares the frames of one driving with its first frame.

    person: who drives, as the first frame shows them.
    """

    posing: Posing
    person: SourceAppearance
    first: FirstFrame

    def compare(self, motion: Motion, picture: NDArray[np.uint8], *, face: bool = True) -> Tensor:
        """Return what a motion misses: (1, 468 + AROUND, 3); see models.base.Follower and motion_layout.py."""
        # The mesh that is placed here, a few times a frame, is that of the driving person. The source's mesh, which
        # rendering places, is another one and cannot stand in for it.
        mesh = self.place(motion, motion.expression.new_zeros(1, POINTS, 3))
        if mesh is None:
            return no_extra(motion.expression)
        cells = self.first.surroundings(mesh, picture)
        body = torch.from_numpy(body_of(cells))[None, None]
        keypoint_residuals = motion.expression.new_zeros(1, POINTS, 3)
        if face:
            moves = self.first.keypoints(mesh, picture, finely=False)
            # Once more from where the coarse search led: the fine one finds only what is near.
            near = self.place(motion, _on_head(motion, moves)) or mesh
            moves = moves + self.first.keypoints(near, picture, finely=True)
            keypoint_residuals = _on_head(motion, self.first.without_folds(mesh, moves))
            cells = self._refined(motion, keypoint_residuals, cells, picture)
        # (CELLS, CELLS, 2) to (1, CELLS * CELLS, 2)
        around = torch.cat([torch.from_numpy(cells).flatten(0, 1)[None], body], 1)
        return torch.cat([keypoint_residuals, functional.pad(around, (0, 1))], 1)  # z is 0

    def _refined(self, motion: Motion, keypoint_residuals: Tensor, cells: Points, picture: NDArray[np.uint8]) -> Points:
        """Return the surroundings, measured further beside the face as the residuals show it: (CELLS, CELLS, 2).

        A flow is found in part only where the frame looks much unlike the first one, so what is left is measured again.
        """
        driven = self._driven(motion, keypoint_residuals)
        if not driven.is_finite():
            return cells
        for _ in range(REFINED_TIMES):
            surroundings = Surroundings(cells, body_of(cells), alike=1.0)
            near = self.first.warp.place(driven.keypoints[0].numpy(), driven.head, surroundings)
            cells = (cells + self.first.surroundings(near, picture, near=True)).clip(-FURTHEST, FURTHEST)
        return cells

    def place(self, motion: Motion, keypoint_residuals: Tensor) -> PlacedMesh | None:
        """Return the first frame's mesh as a motion moves it; None for numbers that are not finite."""
        driven = self._driven(motion, keypoint_residuals)
        return self.first.warp.place(driven.keypoints[0].numpy(), driven.head) if driven.is_finite() else None

    def _driven(self, motion: Motion, keypoint_residuals: Tensor) -> CompactState:
        """Return how a motion moves the person."""
        own = self.person.motion
        nothing = no_extra(own.expression)
        extra = torch.cat([keypoint_residuals, nothing[:, POINTS:]], 1)
        return self.posing.drive(self.person, replace(motion, extra=extra), replace(own, extra=nothing), None)


def _on_head(motion: Motion, moves: NDArray[np.float32]) -> Tensor:
    """Return moves of keypoints in the picture (468, 2) as residuals on the canonical head: (1, 468, 3)."""
    return functional.pad(torch.from_numpy(moves)[None], (0, 1)) @ motion.rotation / motion.scale[:, None]
