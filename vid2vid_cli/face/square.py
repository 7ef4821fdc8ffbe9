"""Turned squares on a frame, and exact, quick cropping of what they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Square:
    """A square region of a frame, turned clockwise (as the viewer sees it) around its centre.

    Frame px count from the left and top edge of the picture: the centre of the first pixel is (0.5, 0.5).
    """

    x_px: float
    y_px: float
    size_px: float
    angle_rad: float = 0.0

    @property
    def axes(self) -> NDArray[np.float64]:
        """Give the square's own axes as columns (2, 2) in the frame: to its right, and down."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[cos, -sin], [sin, cos]])

    def to_frame(self, points: NDArray[np.floating[Any]]) -> Points:
        """Map points (..., 2), fractions of the square from its own top left corner, to frame px."""
        offsets = (points - 0.5) * self.size_px
        return np.asarray(offsets @ self.axes.T + (self.x_px, self.y_px), dtype=np.float32)

    def mesh_to_frame(self, mesh: NDArray[np.floating[Any]]) -> Points:
        """Map points (..., 3), fractions of the square, to frame px; z is scaled like x and y."""
        flat = self.to_frame(mesh[..., :2])
        return np.concatenate([flat, mesh[..., 2:] * self.size_px], axis=-1).astype(np.float32)


def square_around(frame: Frame, margin: float = 1.0, angle_rad: float = 0.0) -> Square:
    """Give the square around a whole frame (H, W, 3): its longer side times a margin."""
    height, width = frame.shape[:2]
    return Square(width / 2, height / 2, max(height, width) * margin, angle_rad)


def crop_square(frame: Frame, square: Square, size: int, *, repeat_edge: bool = True) -> Frame:
    """Sample a square as a picture (size, size, 3): bilinear, after averaging whole pixels where it shrinks.

    Outside of the frame lies its repeated border, or black without repeat_edge.
    """
    shrink = max(1, int(square.size_px / size))
    half = square.size_px / 2 * (abs(math.cos(square.angle_rad)) + abs(math.sin(square.angle_rad))) + shrink + 1
    bounds = [math.floor(v) for v in (square.x_px - half, square.y_px - half, square.x_px + half, square.y_px + half)]
    patch, left, top = cut_patch(frame, bounds, repeat_edge=repeat_edge)
    picture = Image.fromarray(patch)
    if shrink > 1:
        picture = picture.reduce(shrink)
    axes = square.axes * (square.size_px / size)
    corner = np.array([square.x_px - left, square.y_px - top]) - axes @ (size / 2, size / 2)
    affine = np.concatenate([axes, corner[:, None]], axis=1) / shrink
    sampled = picture.transform(
        (size, size), Image.Transform.AFFINE, tuple(affine.ravel().tolist()), Image.Resampling.BILINEAR
    )
    return np.asarray(sampled)


def cut_patch(frame: Frame, bounds: list[int], *, repeat_edge: bool) -> tuple[Frame, int, int]:
    """Cut left, top, right, bottom from a frame; also give left and top of what was cut, in frame px."""
    height, width = frame.shape[:2]
    left, right = min(max(bounds[0], 0), width - 1), max(min(bounds[2], width), 1)
    top, bottom = min(max(bounds[1], 0), height - 1), max(min(bounds[3], height), 1)
    patch = np.ascontiguousarray(frame[top:bottom, left:right])
    if not repeat_edge or (left <= bounds[0] and top <= bounds[1] and right >= bounds[2] and bottom >= bounds[3]):
        return patch, left, top
    before = max(top - bounds[1], 0), max(left - bounds[0], 0)
    after = max(bounds[3] - bottom, 0), max(bounds[2] - right, 0)
    padding = ((before[0], after[0]), (before[1], after[1]), (0, 0))
    return np.pad(patch, padding, mode="edge"), left - before[1], top - before[0]
