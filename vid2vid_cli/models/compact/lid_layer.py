"""Shut lids: the skin that an upper lid brings into view as it closes, which no pixel of an open eye shows.

Stretching what lies above the eye over it would drag lashes, brows and the frames of glasses along. A lid is drawn
instead: in the colours of the skin around the eye, a little darker towards its edge, with the line of lashes where the
lids meet. Nothing but the opening of the eye is drawn over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, RINGS, UPPER
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.layer import Layer
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize

LID = LOOPS[:, UPPER]
FOLD, BROW = RINGS[0][:, UPPER], RINGS[1][:, UPPER]
BAG, CHEEK = RINGS[0][:, LOWER], RINGS[1][:, LOWER]
ABOVE = (0.1, 0.2, 0.3, 0.4)  # shares of the way from fold to brow where skin is looked at
BELOW = (0.2, 0.4, 0.6, 0.8, 1.0)  # the same below the eye: more, so that the frames of glasses are outvoted
VARIES = 0.06  # most that the skin of one part of a lid differs from that of the whole lid
LASHES = 0.06  # thickness of the line of lashes, in eye widths
SHADE = 0.12  # how much darker a lid is at its edge than at its fold
SOFT = 0.08  # eye widths: over which the top of a drawn lid fades in
BEGIN, END = 0.1, 0.4  # of closing: from where to where a lid appears


@dataclass(frozen=True)
class SourceLids:
    """The lids of one source. skin: (2, 7, 3), of each part of each upper lid. lashes: (2, 3). All in [0, 1].

    folds: (2, 7), how far each point of an open lid's edge lies below its fold, in eye widths.
    """

    skin: Points
    lashes: Points
    folds: Points


def read_lids(image: Tensor, points_px: Points) -> SourceLids:
    """Read the lids of a source. image: (1, 3, H, W) in [0, 1]. points_px: (468 or more, 2 or 3) in its px."""
    picture = image[0].permute(1, 2, 0).cpu().numpy()
    points = points_px[:, :2]
    above = np.stack([points[FOLD] + share * (points[BROW] - points[FOLD]) for share in ABOVE])  # (4, 2, 7, 2)
    below = np.stack([points[BAG] + share * (points[CHEEK] - points[BAG]) for share in BELOW])
    seen = _colours(picture, np.concatenate([above, below]))  # (9, 2, 7, 3)
    whole = np.median(seen.transpose(1, 0, 2, 3).reshape(2, -1, 3), 1)[:, None]  # (2, 1, 3)
    parts = np.median(seen[: len(ABOVE)], 0)
    even = (np.roll(parts, 1, 1) + parts + np.roll(parts, -1, 1)) / 3
    skin = whole + np.clip(even - whole, -VARIES, VARIES)
    edges = _colours(picture, points[LID])  # the darkest of them are lashes
    darkest = np.quantile(edges, 0.1, axis=1)
    folds = np.linalg.norm(points[LID] - points[FOLD], axis=-1) / _widths(points)[:, None]
    lashes = np.minimum(darkest, 0.5 * whole[:, 0])
    return SourceLids(skin.astype(np.float32), lashes.astype(np.float32), folds.astype(np.float32))


def draw_lids(size: tuple[int, int], points_px: Points, closing: Points, lids: SourceLids) -> list[Layer]:
    """Draw the lids of closing eyes. size: (height, width) of the picture. points_px: (468, 3), the target's mesh.

    closing: (2, 7), how far each part of an upper lid has closed the eye, in [0, 1], see mesh.eyelids.
    """
    layers = (_draw_lid(size, points_px, closing[eye], lids, eye) for eye in (0, 1))
    return [layer for layer in layers if layer is not None]


def _draw_lid(size: tuple[int, int], points_px: Points, closing: Points, lids: SourceLids, eye: int) -> Layer | None:
    weight = smoothstep((closing - BEGIN) / (END - BEGIN))
    if not weight.any():
        return None
    width_px = float(_widths(points_px[:, :2])[eye])
    thick = max(1.0, LASHES * width_px)
    upper, lower = _strip(points_px[:, :2], lids.folds[eye] * width_px, thick, eye)
    rows = np.concatenate([upper, lower])
    low = np.maximum(np.floor(rows.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(rows.max(0)).astype(int) + 2, (size[1], size[0]))
    if (high <= low).any():
        return None
    flat = np.column_stack([rows - (low + 0.5), np.zeros(len(rows))]).astype(np.float32)
    attributes = _attributes(np.linalg.norm(lower - upper, axis=1), weight, lids.skin[eye])
    drawn = rasterize(flat, attributes, _strip_triangles(len(upper)), (int(high[1] - low[1]), int(high[0] - low[0])))
    below_top, above_bottom, share = np.moveaxis(drawn[..., :3], -1, 0)
    down = below_top / np.maximum(below_top + above_bottom, 1e-3)
    colour = drawn[..., 3:] * (1 - SHADE * down**2)[..., None]
    line = np.clip(1 - np.abs(above_bottom - 1 - thick / 2) / (0.75 * thick), 0, 1) ** 0.7
    colour += (share * line)[..., None] * (lids.lashes[eye] - colour)
    alpha = share * smoothstep(below_top / max(1.5, SOFT * width_px)) * np.clip(above_bottom, 0, 1)
    return Layer(int(low[0]), int(low[1]), np.asarray(colour, np.float32), alpha[..., None].astype(np.float32))


def _strip(points: Points, folds_px: Points, thick: float, eye: int) -> tuple[Points, Points]:
    """Return the upper and the lower edge of a drawn lid, from corner to corner: (9, 2) each.

    It reaches from where the edge of the open lid would be to below the lashes. points: (468, 2), in px.
    folds_px: (7,), how far an open lid's edge lies below its fold. thick: of the lashes, in px.
    """
    edge, fold = points[LID[eye]], points[FOLD[eye]]
    drop = np.maximum(np.linalg.norm(edge - fold, axis=1, keepdims=True), 1e-3)
    down = (edge - fold) / drop
    top, bottom = fold + np.minimum(folds_px[:, None], drop) * down, edge + (thick / 2 + 1) * down
    outer, inner = points[LOOPS[eye, [OUTER, INNER]]][:, None]
    return np.concatenate([outer, top, inner]), np.concatenate([outer, bottom, inner])


def _attributes(heights: Points, weight: Points, skin: Points) -> Points:
    """Return what the vertices of a strip carry: px below its top and above its bottom, how much is drawn, colour.

    heights: (9,), of the strip. weight: (7,). skin: (7, 3). Returns (18, 6).
    """
    count = len(heights)
    attributes = np.zeros((2 * count, 6), np.float32)
    attributes[count:, 0], attributes[:count, 1] = heights, heights
    attributes[:, 2] = np.tile(np.pad(weight, 1), 2)
    attributes[:, 3:] = np.tile(np.pad(skin, ((1, 1), (0, 0)), mode="edge"), (2, 1))
    return attributes


def _strip_triangles(count: int) -> Indices:
    """Return the triangles between two rows of `count` vertices, one row after the other."""
    k = np.arange(count - 1)
    beside, below = k + 1, k + count
    return np.concatenate([np.stack([k, beside, below], 1), np.stack([beside, below + 1, below], 1)]).astype(np.int32)


def _colours(picture: NDArray[np.floating], places: Points) -> Points:
    """Return the colours of a picture (H, W, 3) at places (..., 2) in its px: (..., 3)."""
    height, width = picture.shape[:2]
    x = np.clip(places[..., 0].astype(int), 0, width - 1)
    y = np.clip(places[..., 1].astype(int), 0, height - 1)
    return np.asarray(picture[y, x], np.float32)


def _widths(points: Points) -> Points:
    ends = points[LOOPS[:, OUTER], :2] - points[LOOPS[:, INNER], :2]
    return np.asarray(np.linalg.norm(ends, axis=-1), np.float32)
