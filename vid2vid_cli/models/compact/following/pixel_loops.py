"""Loops over the pixels and triangles that first_frame.py compares, compiled by numba and run without the GIL.

numpy takes ten times as long: it starts over for each pair of x and y, and writes each step to memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Map


class Limits(NamedTuple):
    """How far a flow is trusted; numba takes named tuples, not dataclasses.

    residual: grey levels that may remain after following the flow. flow_px: length of a flow. noise: grey levels, a
    difference that the warp alone makes. gain: times the explained share of a difference is its confidence.
    """

    residual: float
    flow_px: float
    noise: float
    gain: float


@numba.njit(cache=True, nogil=True, fastmath=True)
def places_of(displacement: Map, scale: float, step: float, left: float, top: float) -> Map:
    """Return where pixels come from: (N, N, 2), step * pixel + (left, top) + scale * displacement (N, N, 2 or more)."""
    places = np.empty((*displacement.shape[:2], 2), np.float32)
    for y in range(places.shape[0]):
        for x in range(places.shape[1]):
            places[y, x, 0] = step * x + left + scale * displacement[y, x, 0]
            places[y, x, 1] = step * y + top + scale * displacement[y, x, 1]
    return places


@numba.njit(cache=True, nogil=True, fastmath=True)
def flow_confidence(before: Map, after: Map, flow: Map, limits: Limits, same_scene: float) -> Map:
    """Return how far a flow (N, N, 2) is to be trusted, from 0 to 1: (N, N).

    before, after: (N, N), differences in grey levels before and after following the flow. same_scene: how far the
    whole frame is trusted to show the scene of the first one, from 0 to 1.
    """
    confidence = np.empty_like(before)
    for y in range(before.shape[0]):
        for x in range(before.shape[1]):
            gained = limits.gain * (before[y, x] - after[y, x]) / (before[y, x] + limits.noise)
            length = np.sqrt(flow[y, x, 0] ** 2 + flow[y, x, 1] ** 2)
            # Full confidence up to half of a limit, none at the limit.
            known, near = 2 - 2 / limits.residual * after[y, x], 2 - 2 / limits.flow_px * length
            confidence[y, x] = same_scene * min(max(gained, 0), 1) * min(max(known, 0), 1) * min(max(near, 0), 1)
    return confidence


@numba.njit(cache=True, nogil=True, fastmath=True)
def scaled(flow: Map, share: Map, factor: float) -> Map:
    """Return a flow (N, N, 2) times a share (N, N) and a factor."""
    result = np.empty_like(flow)
    for y in range(flow.shape[0]):
        for x in range(flow.shape[1]):
            by = factor * share[y, x]
            result[y, x, 0], result[y, x, 1] = by * flow[y, x, 0], by * flow[y, x, 1]
    return result


@numba.njit(cache=True, nogil=True)
def even_out(points: Map, moves: Map, triangles: NDArray[np.int32], least: float, times: int) -> Map:
    """Return the moves (P, 2) of points (P, 2), evened out where a triangle would turn over or nearly vanish.

    triangles: (T, 3). least: the share of its area that a triangle keeps. times: most passes, since evening out one
    triangle may fold its neighbours.
    """
    moves = moves.copy()
    for _ in range(times):
        sums, counts, moved = np.zeros_like(moves), np.zeros(len(moves), np.int32), points + moves
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            before, after = _area(points, a, b, c), _area(moved, a, b, c)
            # Areas are signed, so this is true of triangles that turned over as well.
            if after * np.sign(before) < least * abs(before):
                for k in range(2):
                    mean = (moves[a, k] + moves[b, k] + moves[c, k]) / 3
                    for corner in (a, b, c):
                        sums[corner, k] += mean
                for corner in (a, b, c):
                    counts[corner] += 1
        if not counts.any():  # nothing folds any more
            break
        for p in range(len(moves)):
            if counts[p]:
                moves[p] = sums[p] / counts[p]  # over all folded triangles at this point
    return moves


@numba.njit(cache=True, nogil=True, inline="always")
def _area(points: Map, a: int, b: int, c: int) -> float:
    """Return twice the area of a triangle, signed."""
    along = (points[b, 0] - points[a, 0]) * (points[c, 1] - points[a, 1])
    return float(along - (points[b, 1] - points[a, 1]) * (points[c, 0] - points[a, 0]))
