"""Coverage: a pixel through which an edge passes shows what lies on either side of it, each by its share.

A flow names one place of the source for each pixel. Along lids, lips, and where a part of the face hides another,
neighbours come from places far apart, and edges decided pixel by pixel are stairs. There the mesh is asked at several
samples of each pixel, as in multisampling (Akeley, RealityEngine Graphics, SIGGRAPH 1993): a sample decides which
surface covers it, while the colour is taken as for the middle of the pixel. So a pixel that one surface covers fully
keeps its colour, and nothing is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Indices, Points

JUMP_PX = 0.75  # px of the flow: places that differ by no more show no stairs
SAMPLES = 8
_STRIDE = 3  # of a rank-1 lattice: each row and each column of its 8 by 8 cells holds one sample
_ONE, _HALF, _SLACK = np.float32(1), np.float32(0.5), np.float32(1e-4)
_RUN = 32  # px that are looked at together
OFFSETS: Points = (
    (np.stack([np.arange(SAMPLES), np.arange(SAMPLES) * _STRIDE % SAMPLES], 1) + 0.5) / SAMPLES - 0.5
).astype(np.float32)
"""Where the samples of a pixel lie, from its middle: (SAMPLES, 2), x and y in px."""


@dataclass(frozen=True)
class EdgePixels:
    """The pixels of a picture that edges pass through: x and y (E,), row by row. size: its height and width."""

    x: Indices
    y: Indices
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.x)


def find_edges(displacement: Points) -> EdgePixels:
    """Return the pixels of a picture through which a flow's edges pass. displacement: (H, W, 2), in px."""
    marks = mark_jumps(displacement, np.float32(JUMP_PX))
    found = cv2.findNonZero(marks)  # row by row; None where nothing is marked
    places = np.zeros((0, 2), np.int32) if found is None else found.reshape(-1, 2)
    return EdgePixels(np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1]), marks.shape)


@numba.njit(cache=True, nogil=True)
def mark_jumps(displacement: Points, least: np.float32) -> NDArray[np.uint8]:
    """Mark the pixels on either side of an edge with 255; no other pixel is touched by it.

    An edge lies where a step between neighbours differs by more than `least` both from the step before it and from the
    one after it. However much a surface is stretched, its steps are like one of theirs. displacement: (h, w, 2).
    Returns (h, w).
    """
    height, width = displacement.shape[:2]
    marks = np.zeros((height, width), np.uint8)
    for y in range(height):
        row, beneath = displacement[y].ravel(), displacement[min(y + 1, height - 1)].ravel()
        for begin in range(0, width, _RUN):
            end = min(begin + _RUN, width)
            if _has_step(row[2 * begin : 2 * end], row[2 * begin + 2 : 2 * end + 2], least):
                _mark_along_row(displacement, y, range(begin, min(end, width - 1)), least, marks)
            if _has_step(row[2 * begin : 2 * end], beneath[2 * begin : 2 * end], least):
                _mark_down(displacement, y, range(begin, end), least, marks)
    return marks


@numba.njit(cache=True, nogil=True, fastmath=True)
def _has_step(these: Points, others: Points, least: np.float32) -> bool:
    """Return whether any number differs from its partner by more than `least`: of most runs of pixels, none does."""
    count = 0
    for k in range(len(others)):
        count += abs(others[k] - these[k]) > least
    return count > 0


@numba.njit(cache=True, nogil=True)
def _mark_along_row(displacement: Points, y: int, columns: range, least: np.float32, marks: NDArray[np.uint8]) -> None:
    """Mark edges between some pixels of a row and their right neighbours."""
    row, width = displacement[y], marks.shape[1]
    for x in columns:
        if _is_jump(row[max(x - 1, 0)], row[x], row[x + 1], row[min(x + 2, width - 1)], least):
            marks[y, x : x + 2] = 255


@numba.njit(cache=True, nogil=True)
def _mark_down(displacement: Points, y: int, columns: range, least: np.float32, marks: NDArray[np.uint8]) -> None:
    """Mark edges between some pixels of a row and those beneath."""
    height = len(marks)
    before, row, beneath = displacement[max(y - 1, 0)], displacement[y], displacement[y + 1]
    after = displacement[min(y + 2, height - 1)]
    for x in columns:
        if _is_jump(before[x], row[x], beneath[x], after[x], least):
            marks[y : y + 2, x] = 255


@numba.njit(cache=True, nogil=True)
def _is_jump(before: Points, one: Points, other: Points, after: Points, least: np.float32) -> bool:
    """Return whether the middle one of the three steps between four places is long, and differs from both others."""
    length = from_first = from_last = np.float32(0)
    for k in range(2):
        step = other[k] - one[k]
        length = max(length, abs(step))
        from_first = max(from_first, abs(step - (one[k] - before[k])))
        from_last = max(from_last, abs(step - (after[k] - other[k])))
    return bool(min(length, from_first, from_last) > least)


@numba.njit(cache=True, nogil=True, fastmath=True)
def rasterize_at(vertices_px: Points, attributes: Points, triangles: Indices, edges: tuple[Indices, Indices]) -> Points:
    """Interpolate vertex attributes at the samples of some pixels; the nearest triangle wins.

    vertices_px, attributes, triangles: as for `rasterizer.rasterize`. edges: x of the pixels (E,), row by row, and
    where each row of the picture begins among them (height + 1,). Returns (SAMPLES, E, A), 0 where nothing is.
    """
    columns, begins = edges
    height, count, channels = len(begins) - 1, len(columns), attributes.shape[1]
    values = np.zeros((SAMPLES, count, channels), np.float32)
    depth = np.full((count, SAMPLES), np.float32(np.inf))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = vertices_px[a, 0], vertices_px[a, 1], vertices_px[a, 2]
        bx, by, bz = vertices_px[b, 0], vertices_px[b, 1], vertices_px[b, 2]
        cx, cy, cz = vertices_px[c, 0], vertices_px[c, 1], vertices_px[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:  # seen edge on
            continue
        # The shares v and w of the last two vertices change by fixed steps.
        v_x, v_y = (cy - ay) / area, (ax - cx) / area
        w_x, w_y = (ay - by) / area, (bx - ax) / area
        # What they change by within a pixel at most, with the slack of the rasteriser, which closes seams.
        v_reach, w_reach = _SLACK + (abs(v_x) + abs(v_y)) / 2, _SLACK + (abs(w_x) + abs(w_y)) / 2
        u_reach = _SLACK + (abs(v_x + w_x) + abs(v_y + w_y)) / 2
        left, right = min(ax, bx, cx) - _HALF, max(ax, bx, cx) + _HALF
        top = max(0, int(np.ceil(min(ay, by, cy) - _HALF)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) + _HALF)))
        for y in range(top, bottom + 1):
            for e in range(_first_from(columns, begins[y], begins[y + 1], left), begins[y + 1]):
                x_in, y_in = np.float32(columns[e]) - ax, np.float32(y) - ay
                if x_in > right - ax:
                    break
                v_middle, w_middle = v_x * x_in + v_y * y_in, w_x * x_in + w_y * y_in
                if v_middle < -v_reach or w_middle < -w_reach or v_middle + w_middle > _ONE + u_reach:
                    continue
                for s in range(SAMPLES):
                    v = v_middle + v_x * OFFSETS[s, 0] + v_y * OFFSETS[s, 1]
                    w = w_middle + w_x * OFFSETS[s, 0] + w_y * OFFSETS[s, 1]
                    z = az + v * (bz - az) + w * (cz - az)
                    if v < -_SLACK or w < -_SLACK or v + w > _ONE + _SLACK or z >= depth[e, s]:
                        continue
                    depth[e, s] = z
                    u = _ONE - v - w
                    for k in range(channels):
                        values[s, e, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
    return values


@numba.njit(cache=True, nogil=True, inline="always")
def _first_from(columns: Indices, low: int, high: int, left: float) -> int:
    """Return the first of the sorted columns[low:high] that is not left of `left`."""
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < left:
            low = middle + 1
        else:
            high = middle
    return low
