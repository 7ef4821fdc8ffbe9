"""The mouth that speaks: which points of the face's mesh it moves, and how far.

All displacements are from the person's shut, resting mouth, on the canonical head: x right in the picture, y down, z
away from the camera, no head pose in them; the unit is the distance of the outer corners of the eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Points = NDArray[np.float32]

# Points of MediaPipe's mesh that speech moves, in order: lips, chin, jaw, and the cheeks down from the nose.
MOUTH_POINTS = (
    *(0, 11, 12, 13, 14, 15, 16, 17, 18, 32, 36, 37, 38, 39, 40, 41, 42, 43, 57, 58, 61, 62, 72, 73, 74, 76, 77, 78),
    *(80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 95, 96, 106, 132, 135, 136, 138, 140, 146, 147, 148),
    *(149, 150, 152, 164, 165, 167, 169, 170, 171, 172, 175, 176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186),
    *(187, 191, 192, 194, 199, 200, 201, 202, 203, 204, 205, 206, 207, 208, 210, 211, 212, 213, 214, 215, 216, 262),
    *(266, 267, 268, 269, 270, 271, 272, 273, 287, 288, 291, 292, 302, 303, 304, 306, 307, 308, 310, 311, 312, 313),
    *(314, 315, 316, 317, 318, 319, 320, 321, 322, 323, 324, 325, 335, 361, 364, 365, 367, 369, 375, 376, 377, 378),
    *(379, 391, 393, 394, 395, 396, 397, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 415, 416, 418),
    *(421, 422, 423, 424, 425, 426, 427, 428, 430, 431, 432, 433, 434, 435, 436),
)
# Points of the inner edge of the upper lip and those below them, from the person's right to the left.
UPPER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
MIDDLE = (81, 13, 311), (178, 14, 402)  # the pairs whose mean distance is the opening
CORNERS = (61, 291)
PROTRUDING = (0, 37, 267, 17, 84, 314)  # the middle of both lips' outer edges


@dataclass(frozen=True, eq=False)
class SpokenMouth:
    """The mouth in one frame of a picture.

    time_s: when, from the beginning of the sound. lips: (178, 3), displacements of MOUTH_POINTS. opening: how much
    further the lips are apart than at rest, never below 0. width: how much further the corners are apart. protrusion:
    how much further forward the lips are; all three in eye distances. closure: how surely lips are shut, by p, b, m or
    in a pause, in [0, 1]; lips and opening obey it already. teeth_on_lip: the same of f and v. energy: how loud the
    speech is beside its own loudest, in [0, 1]. is_speech: somebody speaks. look: what a family may show inside it, see
    models.base.ShowsDriving; None where nothing is known.
    """

    time_s: float
    lips: Points
    opening: float
    width: float
    protrusion: float
    closure: float
    teeth_on_lip: float
    energy: float
    is_speech: bool
    look: object | None = None


def places_of(points: tuple[int, ...]) -> list[int]:
    """Return where points of the mesh stand in MOUTH_POINTS."""
    return [MOUTH_POINTS.index(point) for point in points]


def opening_of(lips: Tensor) -> Tensor:
    """Return how much further apart lips are under displacements (..., 178, 3), below 0 where they cross: (...)."""
    upper, lower = (lips[..., places_of(points), 1] for points in MIDDLE)
    return (lower - upper).mean(-1)


def width_of(lips: Tensor) -> Tensor:
    """Return how much further apart the corners are under displacements (..., 178, 3): (...)."""
    right, left = (lips[..., place, 0] for place in places_of(CORNERS))
    return left - right


def protrusion_of(lips: Tensor) -> Tensor:
    """Return how much further forward the lips are under displacements (..., 178, 3): (...)."""
    return -lips[..., places_of(PROTRUDING), 2].mean(-1)


class MouthShapes:
    """The few shapes that mouths of speakers are made of, and what shuts them.

    shapes: (K, 178, 3), displacements; strengths of them are independent of each other with a spread of 1.
    """

    def __init__(self, shapes: Tensor, teeth_on_lip: Tensor) -> None:
        """Take the shapes, and the strengths (K,) of f and v."""
        self.shapes, self._teeth_on_lip = shapes, teeth_on_lip
        self._opening = opening_of(shapes)  # (K,)
        # The most usual way to open: strengths that change the opening by 1 and are otherwise as small as can be.
        self._opens = self._opening / self._opening.square().sum()
        self._upper, self._lower = places_of(UPPER), places_of(LOWER)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MouthShapes:
        """Read the tensors `mouth.*` of a checkpoint."""
        return cls(state["mouth.shapes"].float(), state["mouth.teeth_on_lip"].float())

    def opening(self, strengths: Tensor) -> Tensor:
        """Return the openings (T,) of strengths (T, K), before lips meet."""
        return strengths @ self._opening

    def shut(self, strengths: Tensor, closure: Tensor) -> Tensor:
        """Return strengths (T, K) with lips shut by shares closure (T,); lips that have crossed only meet."""
        opening = self.opening(strengths)
        wanted = opening.clamp_min(0) * (1 - closure)
        return strengths + (wanted - opening)[:, None] * self._opens

    def bite(self, strengths: Tensor, amount: Tensor) -> Tensor:
        """Return strengths (T, K) brought by amounts (T,) to teeth on the lower lip."""
        return strengths + amount[:, None] * (self._teeth_on_lip - strengths)

    def lips(self, strengths: Tensor) -> Tensor:
        """Return displacements (T, 178, 3) of strengths (T, K). No two points of both lips cross."""
        moved = torch.einsum("tk,kpx->tpx", strengths, self.shapes)
        crossed = (moved[:, self._upper, 1] - moved[:, self._lower, 1]).clamp_min(0) / 2
        moved[:, self._upper, 1] -= crossed
        moved[:, self._lower, 1] += crossed
        return moved
