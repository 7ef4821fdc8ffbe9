"""How a frame's mesh misses its own face: seen beside pictures of the same person, whose lips are fitted already.

A tracker places lips, lids and brows a pixel or so off, elsewhere in every frame. Where the driving is the very person
whom other pictures show, its frame tells by how much: what is drawn of them is moved until it lies as in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numba
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.view_choice import Numbers
from vid2vid_cli.models.compact.wrinkles import SIDE, SkinMap, SkinTexture

# In texels of the skin, each .02 eye distances:
WIDE = 8.0  # what changes light over more is not an edge
CELL = 3  # of so many texels a side one displacement is found, from those around it, too
AROUND = 1.0  # cells over which they count
MOST_MOVED = 4.0
STEPS = 2  # of the search; more find nothing else
FACING = (0.2, 0.5)  # how far skin has to face the camera, see FaceTopology.facing
# Of log light: slopes a texel that are no steeper tell little; what differs more is not the same thing.
FLAT, ODD = np.float32(0.016), np.float32(0.18)
CELLS = SIDE // CELL


@dataclass(frozen=True, eq=False)
class FrameFit:
    """Edges of the skin in P pictures, the source first, brought to where those of one of them are.

    edges: (P, SIDE, SIDE), log light without what is wide. facing: (P, SIDE, SIDE). regions: (R, SIDE, SIDE), how much
    each texel belongs to each; they add up to 1. texels: (468, 2), the mesh on them. own: (468, 2), how far the source
    shows what that one picture shows, in texels.
    """

    edges: Points
    facing: Points
    regions: Points
    texels: Points
    own: Points

    @classmethod
    def of(cls, skin: SkinMap, shown: Sequence[SkinTexture], moved: Points, regions: Points) -> FrameFit:
        """Read pictures. moved: (P, 468, 2), how far each shows what the source shows, in texels. regions: (R, 468)."""
        read = [_brought(skin, *each) for each in zip(shown, moved, strict=True)]
        areas = np.ascontiguousarray(np.moveaxis(skin.lay_out(regions.T, 1), -1, 0))
        return cls(np.stack([e for e, _ in read]), np.stack([f for _, f in read]), areas, skin.texels, moved[0])

    def of_source(self, skin: SkinMap, shown: SkinTexture, own: Points) -> FrameFit:
        """Return the same for another frame of the source's clip. own: see FrameFit."""
        edges, facing = self.edges.copy(), self.facing.copy()
        edges[0], facing[0] = _brought(skin, shown, own)
        return replace(self, edges=edges, facing=facing, own=own)

    def moved(self, weights: Numbers, frame: SkinTexture) -> Points:
        """Return how far a frame shows what the source shows at a point of the mesh: (468, 2), in texels.

        weights: (P, R), how much of each region is drawn of each picture. frame: its skin.
        """
        used = np.flatnonzero(weights.any(1))
        shares = np.tensordot(weights[used].astype(np.float32), self.regions, 1)
        drawn, facing = (np.einsum("pyx,pyx->yx", shares, each[used]) for each in (self.edges, self.facing))
        way = find_way(drawn, _edges(frame), np.minimum(facing, frame.facing))
        x, y = np.asarray((self.texels - (CELL - 1) / 2) / CELL, np.float32).T[:, None]
        found = cv2.remap(way, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return np.asarray(found - self.own, np.float32)

    def since_rest(self, weights: Numbers, frame: SkinTexture, rest: SkinTexture | None) -> Points:
        """Return the same without what holds at rest already: motion counts from there. rest: None where unknown."""
        moved = self.moved(weights, frame)
        return moved if rest is None else moved - _moved_at_rest(self, rest)


@lru_cache(maxsize=8)
def _moved_at_rest(fit: FrameFit, rest: SkinTexture) -> Points:
    """Find once how far a driving at rest shows what the source's own picture shows."""
    only_own = np.zeros((len(fit.edges), len(fit.regions)))
    only_own[0] = 1
    return fit.moved(only_own, rest)


def find_way(drawn: Map, frame: Map, facing: Map) -> Points:
    """Return where a frame shows what is drawn, as displacements (CELLS, CELLS, 2) in texels.

    After Lucas and Kanade, "An iterative image registration technique" (IJCAI 1981), with less weight for what differs
    much, and none preferred where little is told. drawn, frame: (SIDE, SIDE), edges. facing: (SIDE, SIDE), of both.
    """
    seen = smoothstep((facing - np.float32(FACING[0])) / np.float32(FACING[1] - FACING[0]))
    way = np.zeros((CELLS, CELLS, 2), np.float32)
    for _ in range(STEPS):
        sums = np.zeros((CELLS, CELLS, 5), np.float32)
        _add_slopes(drawn, frame, seen, way, sums)
        xx, xy, yy, xt, yt = np.moveaxis(cv2.GaussianBlur(sums, (0, 0), AROUND), -1, 0)
        xx, yy = xx + FLAT**2, yy + FLAT**2
        way -= np.stack([yy * xt - xy * yt, xx * yt - xy * xt], -1) / (xx * yy - xy * xy)[..., None]
        way *= np.minimum(1, MOST_MOVED / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6))
    return way


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_slopes(drawn: Map, frame: Map, seen: Map, way: Points, sums: Points) -> None:
    """Add up products of slopes x, y and differences t in each cell, as means over its texels: xx, xy, yy, xt, yt."""
    one, half, texels = np.float32(1), np.float32(0.5), np.float32(CELL * CELL)
    for y in range(1, SIDE - 1):
        for x in range(1, SIDE - 1):
            cell = sums[y // CELL, x // CELL]
            t = _between(
                frame, np.float32(x) + way[y // CELL, x // CELL, 0], np.float32(y) + way[y // CELL, x // CELL, 1]
            )
            t -= drawn[y, x]
            along, down = half * (drawn[y, x + 1] - drawn[y, x - 1]), half * (drawn[y + 1, x] - drawn[y - 1, x])
            weight = seen[y, x] / (one + (t / ODD) * (t / ODD)) / texels
            cell[0] += weight * along * along
            cell[1] += weight * along * down
            cell[2] += weight * down * down
            cell[3] += weight * along * t
            cell[4] += weight * down * t


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _between(values: Map, x: Any, y: Any) -> Any:
    """Return the value at a place between texels."""
    last = np.float32(SIDE - 1.001)
    x, y = min(max(x, np.float32(0)), last), min(max(y, np.float32(0)), last)
    column, row = np.int32(x), np.int32(y)
    along, down = x - np.float32(column), y - np.float32(row)
    upper = values[row, column] + along * (values[row, column + 1] - values[row, column])
    lower = values[row + 1, column] + along * (values[row + 1, column + 1] - values[row + 1, column])
    return upper + down * (lower - upper)


def _brought(skin: SkinMap, shown: SkinTexture, moved: Points) -> tuple[Map, Map]:
    """Return edges and facing of a picture, brought to where it shows each texel. moved: (468, 2), in texels."""
    x, y = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    laid = skin.lay_out(moved, 1)
    edges, facing = (
        cv2.remap(each, x + laid[..., 0], y + laid[..., 1], cv2.INTER_LINEAR) for each in (_edges(shown), shown.facing)
    )
    return np.asarray(edges, np.float32), np.asarray(facing, np.float32)


def _edges(texture: SkinTexture) -> Map:
    """Return log light without what changes over more than WIDE texels: (SIDE, SIDE); 0 where nothing is."""
    known = (texture.facing > 0).astype(np.float32)
    around = _wide(texture.light * known) / (_wide(known) + np.float32(1e-3))
    return np.asarray((texture.light - around) * known, np.float32)


def _wide(values: Map) -> Map:
    """Blur a texture widely, on a quarter of its texels a side."""
    small = cv2.resize(values, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), WIDE / 4), (SIDE, SIDE)), np.float32)
