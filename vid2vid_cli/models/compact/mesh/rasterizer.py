"""Rasterise a triangle mesh with a depth buffer.

Plain scalar loops, compiled by numba. They release the GIL, so that they run beside torch and ffmpeg.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]


def rasterize(
    vertices_px: FloatArray, attributes: FloatArray, triangles: IndexArray, size: tuple[int, int]
) -> FloatArray:
    """Interpolate vertex attributes over the pixels that the mesh covers; the nearest triangle wins.

    vertices_px: (V, 3), x right, y down in pixels (the centre of the first pixel is (0, 0)), z away from the
    camera in any unit. attributes: (V, A). triangles: (T, 3), vertex indices, either winding.
    Returns attributes (height, width, A), 0 where nothing is.
    """
    height, width = size
    values = np.zeros((height, width, attributes.shape[1]), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _fill(vertices_px, attributes, triangles, values, depth)
    return values


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fill(
    vertices: FloatArray,
    attributes: FloatArray,
    triangles: IndexArray,
    values: FloatArray,
    depth: FloatArray,
) -> None:
    height, width = depth.shape
    channels = attributes.shape[1]
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0], vertices[b, 1], vertices[b, 2]
        cx, cy, cz = vertices[c, 0], vertices[c, 1], vertices[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:  # seen edge on
            continue
        top = max(0, int(np.ceil(min(ay, by, cy))))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy))))
        left = max(0.0, np.ceil(min(ax, bx, cx)))
        right = min(width - 1.0, np.floor(max(ax, bx, cx)))
        if left > right:
            continue
        # From pixel to pixel the shares u, v, w of the three vertices, and with them the depth, change by a fixed step.
        inverse = 1.0 / area
        v_step, w_step = (cy - ay) * inverse, (ay - by) * inverse
        z_step = v_step * (bz - az) + w_step * (cz - az)
        for y in range(top, bottom + 1):
            v_row = (ay - y) * (cx - ax) * inverse - ax * v_step
            w_row = (y - ay) * (bx - ax) * inverse - ax * w_step
            z_row = az + v_row * (bz - az) + w_row * (cz - az)
            first, last = _where_positive(v_row, v_step, left, right)
            first, last = _where_positive(w_row, w_step, first, last)
            first, last = _where_positive(1.0 - v_row - w_row, -v_step - w_step, first, last)
            if first > last:
                continue
            for x in range(int(np.ceil(first)), int(np.floor(last)) + 1):
                z = z_row + x * z_step
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                v, w = v_row + x * v_step, w_row + x * w_step
                u = 1.0 - v - w
                for k in range(channels):
                    values[y, x, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _where_positive(share: float, step: float, first: float, last: float) -> tuple[float, float]:
    """Return the part of a row, from first to last, where share + x * step >= 0; it is empty if first > last."""
    share += 1e-4  # a small slack closes the seams between neighbours that rounding would open
    if step > 0:
        return max(first, -share / step), last
    if step < 0:
        return first, min(last, -share / step)
    return first, last if share >= 0 else first - 1
