"""Fast sampling of a frame through an affine map, for what networks see. What users see is sampled in crop.py."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame


def sample_linear(
    frame: Frame, affine: NDArray[np.floating[Any]], size: tuple[int, int], *, repeat_edge: bool = True
) -> Frame:
    """Sample a frame (H, W, 3) or (H, W) bilinearly, averaged around each pixel where it shrinks.

    affine: (2, 3), maps target px to frame px, both from the left and top edge of the picture. size: (height, width)
    of the target. Outside the frame, its edge is repeated; without repeat_edge it is black there.
    """
    linear, offset = affine[:, :2], affine[:, 2] - 0.5  # from edges to pixel centres, as OpenCV counts
    shrink = max(1, int(math.sqrt(abs(np.linalg.det(linear))) + 1e-6))
    border = cv2.BORDER_REPLICATE if repeat_edge else cv2.BORDER_CONSTANT
    if shrink > 1:
        # Blur no more than is shown: the frame may be many times larger.
        part, corner = _cut_shown(frame, affine, size, shrink)
        frame = np.asarray(cv2.blur(part, (shrink, shrink), borderType=border), np.uint8)
        # OpenCV centres an even window half a pixel too far to the left and to the top.
        offset = offset - corner + (0.5 if shrink % 2 == 0 else 0.0)
    matrix = np.column_stack([linear, offset + linear @ (0.5, 0.5)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(frame, matrix, size[::-1], flags=flags, borderMode=border), np.uint8)


def _cut_shown(
    frame: Frame, affine: NDArray[np.floating[Any]], size: tuple[int, int], margin_px: int
) -> tuple[Frame, NDArray[np.int64]]:
    """Cut out the part of a frame that a target shows, plus a margin. Never empty. Also returns its left and top."""
    places = affine @ np.array([[0, size[1], 0, size[1]], [0, 0, size[0], size[0]], [1, 1, 1, 1]])
    whole = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(places.min(1)).astype(np.int64) - margin_px, 0, whole - 1)
    high = np.clip(np.ceil(places.max(1)).astype(np.int64) + margin_px, low + 1, whole)
    return frame[low[1] : high[1], low[0] : high[0]], low
