"""Affine maps of the plane as 2x3 matrices, in px from the left and top edge (the first pixel spans 0 to 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def apply_affine(matrix: Matrix, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points (..., 2 or more), x and y first; further coordinates are scaled by sqrt |det|.

    That scaling keeps a depth in the same unit as x and y.
    """
    out = np.array(points, np.float64)
    out[..., :2] = out[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    out[..., 2:] = out[..., 2:] * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return out


def invert_affine(matrix: Matrix) -> Matrix:
    """Return the inverse of an affine map. ValueError when it has none."""
    linear = matrix[:, :2]
    if abs(np.linalg.det(linear)) < 1e-12:
        raise ValueError("the affine map is singular")
    inverse = np.linalg.inv(linear)
    return np.concatenate([inverse, -inverse @ matrix[:, 2:]], axis=1)
