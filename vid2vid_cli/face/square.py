"""Rotated squares on a frame, and fast crops of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.sampling import sample_linear


@dataclass(frozen=True)
class Square:
    """A square region of a frame, rotated clockwise (as the viewer sees it) about its centre.

    Frame px count from the left and top edge of the picture: the centre of the first pixel is (0.5, 0.5).
    """

    x_px: float
    y_px: float
    size_px: float
    angle_rad: float = 0.0

    @property
    def axes(self) -> NDArray[np.float64]:
        """Return the axes of the square as columns (2, 2) in the frame: to its right, and down."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[cos, -sin], [sin, cos]])

    def to_frame(self, points: NDArray[np.floating[Any]]) -> Points:
        """Map points (..., 2), fractions of the square from its top left corner, to frame px."""
        # Points are rows, so the axes are transposed.
        offsets = (points - 0.5) * self.size_px
        return np.asarray(offsets @ self.axes.T + (self.x_px, self.y_px), dtype=np.float32)

    def mesh_to_frame(self, mesh: NDArray[np.floating[Any]]) -> Points:
        """Map points (..., 3), fractions of the square, to frame px. z is scaled as x and y are."""
        flat = self.to_frame(mesh[..., :2])
        return np.concatenate([flat, mesh[..., 2:] * self.size_px], axis=-1).astype(np.float32)


def square_around(frame: Frame, margin: float = 1.0, angle_rad: float = 0.0) -> Square:
    """Return the square around a whole frame (H, W, 3): its side is the longer side of the frame times a margin."""
    height, width = frame.shape[:2]
    return Square(width / 2, height / 2, max(height, width) * margin, angle_rad)


def crop_square(frame: Frame, square: Square, size: int, *, repeat_edge: bool = True) -> Frame:
    """Sample a square of a frame (H, W, 3) as a frame (size, size, 3). See sampling.sample_linear."""
    axes = square.axes * (square.size_px / size)  # columns: one crop px to the right, one down, in frame px
    corner = np.array([square.x_px, square.y_px]) - axes @ (size / 2, size / 2)
    return sample_linear(frame, np.column_stack([axes, corner]), (size, size), repeat_edge=repeat_edge)
