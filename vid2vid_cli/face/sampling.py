"""Quick sampling of a frame through an affine map: what the networks and the comparison look at, not what is shown."""

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
    """Sample a frame (H, W, 3) or (H, W): bilinear, of the mean around each pixel where it shrinks.

    affine: (2, 3), maps target px to frame px, both from the left and top edge of the picture. size: (height, width)
    of the target. Outside of the frame lies its repeated border, or black without repeat_edge.
    """
    linear, offset = affine[:, :2], affine[:, 2] - 0.5  # from edges to pixel centres, as OpenCV counts
    shrink = max(1, int(math.sqrt(abs(np.linalg.det(linear))) + 1e-6))
    border = cv2.BORDER_REPLICATE if repeat_edge else cv2.BORDER_CONSTANT
    if shrink > 1:
        part, corner = _cut_shown(frame, affine, size, shrink)
        frame = np.asarray(cv2.blur(part, (shrink, shrink), borderType=border), np.uint8)
        # The middle of an even number of pixels lies between two of them.
        offset = offset - corner + (0.5 if shrink % 2 == 0 else 0.0)
    matrix = np.column_stack([linear, offset + linear @ (0.5, 0.5)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(frame, matrix, size[::-1], flags=flags, borderMode=border), np.uint8)


def _cut_shown(
    frame: Frame, affine: NDArray[np.floating[Any]], size: tuple[int, int], margin_px: int
) -> tuple[Frame, NDArray[np.int64]]:
    """Cut out of a frame what a target shows, and a margin; also give left and top of it. Never nothing."""
    places = affine @ np.array([[0, size[1], 0, size[1]], [0, 0, size[0], size[0]], [1, 1, 1, 1]])
    whole = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(places.min(1)).astype(np.int64) - margin_px, 0, whole - 1)
    high = np.clip(np.ceil(places.max(1)).astype(np.int64) + margin_px, low + 1, whole)
    return frame[low[1] : high[1], low[0] : high[0]], low
