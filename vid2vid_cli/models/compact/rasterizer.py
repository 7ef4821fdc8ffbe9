"""Rasterise a triangle mesh with a depth buffer: which source point does each target pixel show?

Plain scalar loops, compiled by numba and released from the GIL, so that they run beside torch and ffmpeg.
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
        if abs(area) < 1e-9:
            continue
        top = max(0, int(np.ceil(min(ay, by, cy))))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy))))
        left = max(0, int(np.ceil(min(ax, bx, cx))))
        right = min(width - 1, int(np.floor(max(ax, bx, cx))))
        inverse = 1.0 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                v = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                w = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                u = 1.0 - v - w
                # The small slack closes the seams between neighbours that rounding would open.
                if u < -1e-4 or v < -1e-4 or w < -1e-4:
                    continue
                z = u * az + v * bz + w * cz
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                for k in range(channels):
                    values[y, x, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
