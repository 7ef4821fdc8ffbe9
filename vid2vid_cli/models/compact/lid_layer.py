"""Shut lids: the skin that an upper lid brings into view as it closes, which no pixel of an open eye shows.

Stretching what lies above the eye over it would drag lashes, brows and the frames of glasses along. A lid is drawn
instead, which fades in from the fold down: first what the source shows below the fold, where it is, then the colours of
the skin above and below the eye, lit as on a ball, with the line of lashes where the lids meet. Below the lashes the
skin fades out over the lower rim of the eye, which is often lower than the mesh has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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
ON_LID = (0.35, 0.5, 0.65)  # shares of the way from the edge of an open lid to its fold where skin is looked at
ABOVE = (0.1, 0.2, 0.3, 0.4)  # the same from fold to brow
BELOW = (0.2, 0.4, 0.6, 0.8, 1.0)  # the same below the eye: more, so that the frames of glasses are outvoted
# Of what is seen, by brightness: what is darker are lashes, folds and the frames of glasses, what is lighter shines.
SKIN_FROM, SKIN_TO = 0.5, 0.8
# What is darker than this share of the lightest is no skin at all: painted eyes behind glasses are full of lines.
SHADOW, LIGHTEST = 0.5, 0.9
LINE, LINE_SOFT = 0.4, 0.15  # of the skin's red, green or blue: where less of one is seen, frames of glasses are
# Where the skin above an eye has little of the colour of that below it, it shines: in paintings, and behind painted
# glasses. Shares of that colour from which on a lid shines in part, and wholly; how much of the colour below it then
# takes, lit by at most so much more.
SHINES_FROM, SHINES_TO, COLOURED, LIT_MORE = 0.70, 0.55, 0.4, 1.15
LEAST_COLOUR = 0.05  # added to saturations, which are noise in grey pictures
VARIES = 0.06  # most that the skin of one part of a lid differs from that of the whole lid
# An even patch amid shining skin looks like a blank eye: there a lid has softer edges and deeper shadows.
LASHES, SHINY_LASHES = 0.1, 0.22  # thickness of the line of lashes, in eye widths
# Eye widths below the lashes over which the skin drawn fades out: there sources show white and wet rims.
SKIRT, SHINY_SKIRT = 0.2, 0.35
# A lid lies on a ball: it is lighter in its middle, and darker towards its edge and its corners.
LIGHT, SHADE, SHINY_SHADE, SIDES = 0.06, 0.10, 0.3, 0.16
# Eye widths over which the top of a drawn lid fades in, and frames of glasses across it.
SOFT, SHINY_SOFT, SOFT_LINE = 0.2, 0.45, 0.06
# Of the way from the fold to the edge of the open lid: so far the source is shown, where it is, then the drawn skin.
KEPT, LINES_KEPT = (0.05, 0.3), (0.15, 0.5)  # the latter for lines, as frames of glasses are
MEET = 0.1  # eye widths between lids: from there on no skin is drawn below the lashes, up to half as much all of it
BEGIN, END = 0.1, 0.4  # of closing: from where to where a lid appears


@dataclass(frozen=True)
class SourceLids:
    """The lids of one source.

    picture: (H, W, 3), the source. skin: (2, 2, 7, 3), of each eye, above and below it, part by part. lashes: (2, 3).
    shine: (2,), how far the skin above each eye shines. All in [0, 1]. In px of the picture: folds: (2, 7, 2). drops:
    (2, 7, 2), from there to the edge of the open lid. corners: (2, 2, 2), outer and inner. widths: (2,), of the eyes.
    """

    picture: Points
    skin: Points
    lashes: Points
    shine: Points
    folds: Points
    drops: Points
    corners: Points
    widths: Points


def read_lids(image: Tensor, points_px: Points) -> SourceLids:
    """Read the lids of a source. image: (1, 3, H, W) in [0, 1]. points_px: (468 or more, 2 or 3) in its px."""
    picture = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
    points = points_px[:, :2]
    on_lid = np.stack([points[LID] + share * (points[FOLD] - points[LID]) for share in ON_LID])  # (3, 2, 7, 2)
    above = np.stack([points[FOLD] + share * (points[BROW] - points[FOLD]) for share in ABOVE])
    below = np.stack([points[BAG] + share * (points[CHEEK] - points[BAG]) for share in BELOW])
    seen = _colours(picture, np.concatenate([on_lid, above, below]))  # (12, 2, 7, 3)
    skin = np.stack([_even_skin(part) for part in np.split(seen, [len(ON_LID) + len(ABOVE)])], 1)  # (2, 2, 7, 3)
    shine = _shine(skin[:, 0], skin[:, 1])
    skin[:, 0] = _coloured(skin[:, 0], skin[:, 1], shine)
    edges = _colours(picture, points[LID])  # the darkest of them are lashes
    darkest = np.quantile(edges, 0.1, axis=1)
    lashes = np.minimum(darkest, 0.5 * skin.mean((1, 2)))
    folds, corners = points[FOLD], points[LOOPS[:, [OUTER, INNER]]]
    drops = points[LID] - folds
    return SourceLids(picture, skin, lashes.astype(np.float32), shine, folds, drops, corners, _widths(points))


def draw_lids(size: tuple[int, int], points_px: Points, closing: Points, lids: SourceLids) -> list[Layer]:
    """Draw the lids of closing eyes. size: (height, width) of the picture. points_px: (468, 3), the target's mesh.

    closing: (2, 7), how far each part of an upper lid has closed the eye, in [0, 1], see mesh.eyelids.
    """
    layers = (_draw_lid(size, points_px[:, :2], closing[eye], lids, eye) for eye in (0, 1))
    return [layer for layer in layers if layer is not None]


def _draw_lid(size: tuple[int, int], points: Points, closing: Points, lids: SourceLids, eye: int) -> Layer | None:
    weight = smoothstep((closing - BEGIN) / (END - BEGIN))
    if not weight.any():
        return None
    width_px = float(_widths(points)[eye])
    shine = float(lids.shine[eye])
    thick = max(1.0, (LASHES + shine * (SHINY_LASHES - LASHES)) * width_px)
    skirt = (SKIRT + shine * (SHINY_SKIRT - SKIRT)) * width_px
    upper, lower = _strip(points, thick / 2 + skirt, eye)
    rows = np.concatenate([upper, lower])
    low = np.maximum(np.floor(rows.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(rows.max(0)).astype(int) + 2, (size[1], size[0]))
    if (high <= low).any():
        return None
    flat = np.column_stack([rows - (low + 0.5), np.zeros(len(rows))]).astype(np.float32)
    attributes = _attributes(np.linalg.norm(lower - upper, axis=1), weight, lids, eye, width_px)
    gaps = np.linalg.norm(points[LOOPS[eye, LOWER]] - points[LID[eye]], axis=1)
    below_lashes = np.pad(smoothstep(2 - 2 * gaps / (MEET * width_px)), 1)
    across = np.linspace(-1, 1, len(upper))
    attributes = np.column_stack([attributes, np.tile(below_lashes, 2), np.tile(across, 2)]).astype(np.float32)
    drawn = rasterize(flat, attributes, _strip_triangles(len(upper)), (int(high[1] - low[1]), int(high[0] - low[0])))
    below_fold, above_bottom, share, still = np.moveaxis(drawn[..., :4], -1, 0)
    line_up = above_bottom - skirt  # px above the lower end of the lashes
    down = below_fold / np.maximum(below_fold + above_bottom, 1e-3)
    colour = drawn[..., 4:7] * _light(down, drawn[..., 10], shine)[..., None]
    kept, of_lines = (smoothstep((to - still) / (to - since)) for since, to in (KEPT, LINES_KEPT))
    seen = _look_at(lids.picture, drawn[..., 7:9])
    # Where the lid fades in, the frame of glasses would fade out.
    line = of_lines * smoothstep((LINE - (seen / np.maximum(colour, 1e-3)).min(-1)) / LINE_SOFT)
    soft = SOFT + shine * (SHINY_SOFT - SOFT)
    soft = (soft + line * (SOFT_LINE - soft)) * width_px
    kept = np.maximum(kept, line)
    colour += kept[..., None] * (seen - colour)
    edge = np.clip(1 - np.abs(line_up - thick / 2) / (0.75 * thick), 0, 1) ** 0.7
    colour += (share * edge)[..., None] * (lids.lashes[eye] - colour)
    alpha = share * smoothstep(below_fold / np.maximum(1.5, soft))
    alpha *= np.maximum(np.clip(line_up, 0, 1), drawn[..., 9] * smoothstep(above_bottom / skirt))
    return Layer(int(low[0]), int(low[1]), np.asarray(colour, np.float32), alpha[..., None].astype(np.float32))


def _light(down: Points, across: Points, shine: float) -> Points:
    """Return the light on a shut lid. down: 0 at its fold, 1 at its edge. across: -1 to 1, from corner to corner."""
    shade = SHADE + shine * (SHINY_SHADE - SHADE)
    bulge = (1 - across**2) * np.clip(4 * down * (1 - down), 0, 1)
    return np.asarray(1 + LIGHT * bulge - shade * down**2 - SIDES * across**4, np.float32)


def _strip(points: Points, below: float, eye: int) -> tuple[Points, Points]:
    """Return the upper and the lower edge of a drawn lid, from corner to corner: (9, 2) each.

    It reaches from the fold to below the edge of the lid. points: (468, 2), in px. below: in px.
    """
    edge, fold = points[LID[eye]], points[FOLD[eye]]
    down = (edge - fold) / np.maximum(np.linalg.norm(edge - fold, axis=1, keepdims=True), 1e-3)
    corners = points[LOOPS[eye, [OUTER, INNER]]]
    return _between(corners, fold), _between(corners, edge + below * down)


def _between(corners: Points, row: Points) -> Points:
    """Return a row (7, 2) of points between the outer and the inner corner (2, 2) of an eye: (9, 2)."""
    return np.concatenate([corners[:1], row, corners[1:]])


def _attributes(heights: Points, weight: Points, lids: SourceLids, eye: int, width_px: float) -> Points:
    """Return what the vertices of a strip carry: (18, 9), the upper row before the lower one.

    px below its top and above its bottom; how much is drawn; how far it is from the fold, 1 at the edge of an open
    lid; colour (3); the place in px of the source's picture that lies so far below its fold (2). heights: (9,), of the
    strip, in px. weight: (7,), how much of each part is drawn.
    """
    count = len(heights)
    attributes = np.zeros((2 * count, 9), np.float32)
    attributes[count:, 0], attributes[:count, 1] = heights, heights
    attributes[:, 2] = np.tile(np.pad(weight, 1), 2)
    ways = heights[1:-1] / np.maximum(np.linalg.norm(lids.drops[eye], axis=1) / lids.widths[eye] * width_px, 1e-3)
    attributes[count + 1 : -1, 3] = ways
    attributes[:, 4:7] = np.pad(lids.skin[eye], ((0, 0), (1, 1), (0, 0)), mode="edge").reshape(-1, 3)
    attributes[:count, 7:] = _between(lids.corners[eye], lids.folds[eye])
    attributes[count:, 7:] = _between(lids.corners[eye], lids.folds[eye] + ways[:, None] * lids.drops[eye])
    return attributes


def _strip_triangles(count: int) -> Indices:
    """Return the triangles between two rows of `count` vertices, one row after the other."""
    k = np.arange(count - 1)
    beside, below = k + 1, k + count
    return np.concatenate([np.stack([k, beside, below], 1), np.stack([beside, below + 1, below], 1)]).astype(np.int32)


def _even_skin(seen: Points) -> Points:
    """Return the skin at each part of both lids, from colours (N, 2, 7, 3) that were seen there: (2, 7, 3)."""
    whole = _skin(seen.transpose(0, 2, 1, 3).reshape(-1, 2, 3))[:, None]  # (2, 1, 3)
    parts = _skin(seen)
    even = cv2.blur(parts, (5, 1), borderType=cv2.BORDER_REPLICATE)  # (2, 7, 3): eyes are rows, parts columns
    return np.asarray(whole + np.clip(even - whole, -VARIES, VARIES), np.float32)


def _shine(above: Points, below: Points) -> Points:
    """Return how far the skin above both eyes (2, 7, 3) shines, by its colour and that of the skin below: (2,)."""
    share = (_saturation(above) + LEAST_COLOUR) / (_saturation(below) + LEAST_COLOUR)
    return np.asarray(smoothstep((SHINES_FROM - share) / (SHINES_FROM - SHINES_TO)), np.float32)


def _coloured(above: Points, below: Points, shine: Points) -> Points:
    """Return the skin above both eyes (2, 7, 3) as it would be without shine (2,)."""
    brighter = above.mean((1, 2), keepdims=True) / np.maximum(below.mean((1, 2), keepdims=True), 1e-3)
    matt = below * np.minimum(brighter, LIT_MORE)
    return np.asarray(above + COLOURED * shine[:, None, None] * (matt - above), np.float32)


def _saturation(colours: Points) -> Points:
    """Return how far the parts of the mean of some colours (2, N, 3) differ, over their mean: (2,)."""
    mean = colours.mean(1)
    return np.asarray(np.ptp(mean, axis=-1) / np.maximum(mean.mean(-1), 1e-3), np.float32)


def _skin(colours: Points) -> Points:
    """Return what of some colours (N, ..., 3) is most likely skin: (..., 3)."""
    order = np.argsort(colours.sum(-1), axis=0, kind="stable")[..., None]
    ordered = np.take_along_axis(colours, order, 0)
    brightness, count = ordered.mean(-1), len(ordered)
    lines = (brightness < SHADOW * brightness[int(LIGHTEST * count)]).sum(0)
    first = lines + (SKIN_FROM * (count - lines)).astype(int)
    last = np.maximum(lines + (SKIN_TO * (count - lines)).astype(int), first + 1)
    place = np.arange(count).reshape(-1, *(1,) * lines.ndim)
    is_skin = ((place >= first) & (place < last))[..., None]
    return np.asarray((ordered * is_skin).sum(0) / is_skin.sum(0), np.float32)


def _colours(picture: NDArray[np.floating], places: Points) -> Points:
    """Return the colours of a picture (H, W, 3) at places (..., 2) in its px: (..., 3)."""
    height, width = picture.shape[:2]
    x = np.clip(places[..., 0].astype(int), 0, width - 1)
    y = np.clip(places[..., 1].astype(int), 0, height - 1)
    return np.asarray(picture[y, x], np.float32)


def _look_at(picture: Points, places: Points) -> Points:
    """Sample a picture (H, W, 3) at places (h, w, 2) in its px, edges at 0: (h, w, 3)."""
    x, y = np.moveaxis(np.asarray(places - 0.5, np.float32), -1, 0)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _widths(points: Points) -> Points:
    ends = points[LOOPS[:, OUTER], :2] - points[LOOPS[:, INNER], :2]
    return np.asarray(np.linalg.norm(ends, axis=-1), np.float32)
