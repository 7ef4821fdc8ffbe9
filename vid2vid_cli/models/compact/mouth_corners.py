"""Corners of an opening mouth: the fold that closed lips leave beside them is stretched flat.

A warp carries the dark end of the line between closed lips along, as a spot beside the open mouth.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.models.compact.mouth import MouthTarget, SourceMouth, mouth_gaps

# Mouth widths.
REACH = 0.2  # how far from a corner a fold is sought
FOLD = 0.075  # a dark spot that is narrower is a fold
OPENED_FROM, OPENED_TO = 0.10, 0.30  # beyond the source's own opening


def flatten_folds(image: Tensor, target: MouthTarget, source: SourceMouth) -> None:
    """Lighten dark spots beside the corners of a mouth in an image (3, H, W), in place."""
    loop = source.topology.inner_lips
    opened = float((mouth_gaps(target.face, loop, target.width) - source.gaps).max())
    amount = smoothstep_between(opened, OPENED_FROM, OPENED_TO)
    if amount <= 0:
        return
    corners_px = target.points_px[loop[[0, len(loop) // 2]], :2]
    along = (corners_px[1] - corners_px[0]) / max(float(np.linalg.norm(corners_px[1] - corners_px[0])), 1e-6)
    for corner, outwards in zip(corners_px, (-along, along), strict=True):
        _flatten_fold(image, corner, outwards, target.width_px, amount)


def _flatten_fold(image: Tensor, corner: Points, outwards: Points, width_px: float, amount: float) -> None:
    reach = REACH * width_px
    middle = corner + 0.5 * reach * outwards
    low = np.maximum(np.floor(middle - 1.3 * reach).astype(int), 0)
    high = np.minimum(np.ceil(middle + 1.3 * reach).astype(int), (image.shape[2], image.shape[1]))
    if (high - low < 4).any():
        return
    patch = image[:, low[1] : high[1], low[0] : high[0]]
    colours = np.ascontiguousarray(patch.permute(1, 2, 0).cpu().numpy())
    side = 2 * round(FOLD * width_px / 2) + 1
    closed = cv2.morphologyEx(colours, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    closed = cv2.GaussianBlur(closed, (0, 0), max(0.3 * side, 0.5))
    x, y = np.meshgrid(
        *(np.arange(a, b, dtype=np.float32) + (0.5 - c) for a, b, c in zip(low, high, corner, strict=True))
    )
    beside = x * outwards[0] + y * outwards[1]
    weight = smoothstep(1.6 - np.hypot(x, y) / reach) * smoothstep(beside / (0.25 * reach) + 0.5) * amount
    lifted = colours + weight[..., None] * np.maximum(closed - colours, 0)
    patch.copy_(torch.from_numpy(np.ascontiguousarray(np.moveaxis(lifted, -1, 0))).to(image))
