"""Loops over the pixels of what first_frame.py compares, compiled by numba and released from the GIL.

numpy takes ten times as long for them: it begins anew for each pair of x and y, and writes each step to memory.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=True)
def places_of(displacement: Map, scale: float, step: float, corner: tuple[float, float]) -> Map:
    """Return where pixels come from: (N, N, 2), step * pixel + corner + scale * displacement (N, N, 2 or more)."""
    places = np.empty((*displacement.shape[:2], 2), np.float32)
    for y in range(places.shape[0]):
        for x in range(places.shape[1]):
            places[y, x, 0] = step * x + corner[0] + scale * displacement[y, x, 0]
            places[y, x, 1] = step * y + corner[1] + scale * displacement[y, x, 1]
    return places


@numba.njit(cache=True, nogil=True, fastmath=True)
def believe(
    differences: tuple[Map, Map], flow: Map, limits: tuple[float, float, float], believable: tuple[float, float]
) -> Map:
    """Return how far a flow (N, N, 2) is to be believed, from 0 to 1: (N, N).

    differences: in grey levels, before and after following it. limits: what may remain of them, how long the flow may
    be in px, and from which remainder on nothing can be gained. believable: what to multiply with, and how much more
    than the gained share of the difference counts.
    """
    before, after = differences
    strange, most, alike = limits
    whole, gain = believable
    believed = np.empty_like(before)
    for y in range(before.shape[0]):
        for x in range(before.shape[1]):
            gained = gain * (before[y, x] - after[y, x]) / (before[y, x] + alike)
            length = np.sqrt(flow[y, x, 0] ** 2 + flow[y, x, 1] ** 2)
            known, near = 2 - 2 / strange * after[y, x], 2 - 2 / most * length
            believed[y, x] = whole * min(max(gained, 0), 1) * min(max(known, 0), 1) * min(max(near, 0), 1)
    return believed


@numba.njit(cache=True, nogil=True, fastmath=True)
def scaled(flow: Map, share: Map, factor: float) -> Map:
    """Return a flow (N, N, 2) times a share (N, N) and a factor."""
    result = np.empty_like(flow)
    for y in range(flow.shape[0]):
        for x in range(flow.shape[1]):
            by = factor * share[y, x]
            result[y, x, 0], result[y, x, 1] = by * flow[y, x, 0], by * flow[y, x, 1]
    return result
