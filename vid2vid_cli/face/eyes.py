"""Which landmarks lie around the eyes, and the axes of an eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.face.landmarks import LANDMARKS

Array = NDArray[np.float64]

# Mesh points around the person's right and left eye: from the outer corner (0) along the lower lid to the inner
# corner (8), then along the upper lid (9 to 15), also inwards.
LOOPS = np.array(
    [
        [33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173],
        [263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398],
    ]
)
OUTER, INNER, LOWER, UPPER = 0, 8, slice(1, 8), slice(9, 16)
IRISES = (LANDMARKS, LANDMARKS + 1)  # indices of the iris centres among the landmarks, after the mesh
# The two rings of skin around each loop, the nearer one first, point by point beside those of the loop.
RINGS = np.array(
    [
        [
            [130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190],
            [359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414],
        ],
        [
            [226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189],
            [446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413],
        ],
    ]
)
# What else the attention mesh refines around each eye: the lower edge of the brow, cheek and nose, the brow's middle.
BROWS_AND_CHEEKS = np.concatenate(
    [
        [[35, 124, 46, 53, 52, 65], [265, 353, 276, 283, 282, 295]],
        [[143, 111, 117, 118, 119, 120, 121, 128, 245], [372, 340, 346, 347, 348, 349, 350, 357, 465]],
        [[156, 70, 63, 105, 66, 107, 55, 193], [383, 300, 293, 334, 296, 336, 285, 417]],
    ],
    axis=1,
)


@dataclass(frozen=True)
class EyeFrame:
    """The axes of one eye of a mesh.

    center_px: (2,), halfway between its corners, in frame px. axes: (2, 2), unit vectors in the frame as columns: from
    the outer to the inner corner, and down the face. width_px: distance of the corners.
    """

    center_px: Array
    axes: Array
    width_px: float

    @classmethod
    def of(cls, mesh: Array, eye: int) -> EyeFrame:
        """Return the axes of an eye (0 right, 1 left) of a mesh (468, 2) in frame px."""
        outer, inner = mesh[LOOPS[eye, OUTER]], mesh[LOOPS[eye, INNER]]
        width = max(float(np.linalg.norm(inner - outer)), 1e-6)
        along = (inner - outer) / width
        # `along` points to the right of the frame for the right eye, to the left for the left one. So the normal that
        # points down is on its other side there.
        side = -1 if eye else 1
        down = np.array([-along[1], along[0]]) * side
        return cls((outer + inner) / 2, np.stack([along, down], axis=1), width)

    def to_own(self, points: Array) -> Array:
        """Map points (..., 2) from frame px to the axes of this eye, in widths of the eye."""
        own: Array = (points - self.center_px) @ self.axes / self.width_px
        return own

    def to_frame(self, own: Array) -> Array:
        """Map points (..., 2) from the axes of this eye back to frame px."""
        points: Array = self.center_px + self.width_px * own @ self.axes.T
        return points
