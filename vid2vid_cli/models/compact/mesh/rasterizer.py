"""Rasterise a triangle mesh with a depth buffer.

Plain scalar loops, compiled by numba. They release the GIL, so that they run beside torch and ffmpeg.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.models.compact.mesh.lanes import LANES, keep_nearer

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
Numbers = tuple[float, ...]

_ONE = np.float32(1)
NOTHING = -1  # the number of the triangle of a pixel that none covers


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


def nearest_triangles(vertices_px: FloatArray, triangles: IndexArray, size: tuple[int, int]) -> IndexArray:
    """Return the number of the nearest triangle in each pixel: (height, width), NOTHING where none is.

    vertices_px, triangles: as for `rasterize`.
    """
    pixels = size[0] * size[1] + LANES
    numbers, depth = np.full(pixels, NOTHING, np.int32), np.full(pixels, np.inf, np.float32)
    _number(vertices_px, triangles, size, numbers, depth)
    return numbers[:-LANES].reshape(size)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def shares_along(mesh: tuple[FloatArray, IndexArray], number: int, x: int, y: int) -> Numbers:
    """Return the shares v and w of a triangle's last two vertices in a pixel, and their steps to the next one in a row.

    mesh: vertices_px and triangles, see `rasterize`; number: of a triangle that is not seen edge on.
    """
    vertices, triangles = mesh
    a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
    ax, ay = vertices[a, 0], vertices[a, 1]
    bx, by, cx, cy = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[c, 0] - ax, vertices[c, 1] - ay
    inverse = _ONE / (bx * cy - by * cx)
    v_step, w_step = cy * inverse, -by * inverse
    x_in, y_in = np.float32(x) - ax, np.float32(y) - ay
    return x_in * v_step - y_in * cx * inverse, x_in * w_step + y_in * bx * inverse, v_step, w_step


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fill(
    vertices: FloatArray,
    attributes: FloatArray,
    triangles: IndexArray,
    values: FloatArray,
    depth: FloatArray,
) -> None:
    channels = attributes.shape[1]
    for index in range(triangles.shape[0]):
        corners = _corners(vertices, triangles, index)
        area = _area(corners)
        if abs(area) < 1e-9:  # seen edge on
            continue
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        top, bottom, left, right = _bounds(corners, depth.shape)
        v_step, w_step, z_step = steps = _steps(corners, area)
        for y in range(top, bottom + 1):
            v_row, w_row, z_row = row = _row(corners, area, y)
            first, last = _covered(row, steps, left, right)
            for x in range(first, last + 1):
                z = z_row + x * z_step
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                v, w = v_row + x * v_step, w_row + x * w_step
                u = 1.0 - v - w
                for k in range(channels):
                    values[y, x, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _number(
    vertices: FloatArray, triangles: IndexArray, size: tuple[int, int], numbers: IndexArray, depth: FloatArray
) -> None:
    """Write down the nearest triangle of each pixel. numbers, depth: (height * width + LANES,)."""
    lanes = np.float32(LANES)
    for index in range(triangles.shape[0]):
        corners = _corners(vertices, triangles, index)
        area = _area(corners)
        if abs(area) < 1e-9:  # seen edge on
            continue
        top, bottom, left, right = _bounds(corners, size)
        steps = _steps(corners, area)
        z_step = np.float32(steps[2])
        for y in range(top, bottom + 1):
            row = _row(corners, area, y)
            first, last = _covered(row, steps, left, right)
            z = np.float32(row[2] + first * steps[2])
            for x in range(first, last + 1, LANES):
                covered = np.int32(last + 1 - x), np.int32(index)
                keep_nearer((depth, numbers), np.uint64(y * size[1] + x), (z, z_step), covered)
                z += lanes * z_step


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _corner(vertices: FloatArray, index: int) -> Numbers:
    return vertices[index, 0], vertices[index, 1], vertices[index, 2]


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _corners(vertices: FloatArray, triangles: IndexArray, index: int) -> tuple[Numbers, Numbers, Numbers]:
    a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
    return _corner(vertices, a), _corner(vertices, b), _corner(vertices, c)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _area(corners: tuple[Numbers, Numbers, Numbers]) -> float:
    """Return twice the area of a triangle, negative for one that winds the other way."""
    (ax, ay, _), (bx, by, _), (cx, cy, _) = corners
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _bounds(corners: tuple[Numbers, Numbers, Numbers], size: tuple[int, int]) -> tuple[int, int, float, float]:
    """Return the first and the last row, and the first and the last column of the pixels around a triangle."""
    (ax, ay, _), (bx, by, _), (cx, cy, _) = corners
    top = max(0, int(np.ceil(min(ay, by, cy))))
    bottom = min(size[0] - 1, int(np.floor(max(ay, by, cy))))
    left = max(0.0, np.ceil(min(ax, bx, cx)))
    right = min(size[1] - 1.0, np.floor(max(ax, bx, cx)))
    return top, bottom, left, right


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _steps(corners: tuple[Numbers, Numbers, Numbers], area: float) -> Numbers:
    """Return by how much the shares v and w of the last two vertices, and the depth, change from pixel to pixel."""
    (_, ay, az), (_, by, bz), (_, cy, cz) = corners
    inverse = 1.0 / area
    v_step, w_step = (cy - ay) * inverse, (ay - by) * inverse
    return v_step, w_step, v_step * (bz - az) + w_step * (cz - az)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _row(corners: tuple[Numbers, Numbers, Numbers], area: float, y: int) -> Numbers:
    """Return v, w and the depth at the beginning of a row."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
    inverse = 1.0 / area
    v = (ay - y) * (cx - ax) * inverse - ax * (cy - ay) * inverse
    w = (y - ay) * (bx - ax) * inverse - ax * (ay - by) * inverse
    return v, w, az + v * (bz - az) + w * (cz - az)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _covered(row: Numbers, steps: Numbers, left: float, right: float) -> tuple[int, int]:
    """Return the first and the last column from left to right in which no share is negative; none if first > last.

    row, steps: see _row and _steps.
    """
    (v, w, _), (v_step, w_step, _) = row, steps
    first, last = _where_positive(v, v_step, left, right)
    first, last = _where_positive(w, w_step, first, last)
    first, last = _where_positive(1.0 - v - w, -v_step - w_step, first, last)
    if first > last:  # by so much that it might be no whole number
        return 0, -1
    return int(np.ceil(first)), int(np.floor(last))


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _where_positive(share: float, step: float, first: float, last: float) -> tuple[float, float]:
    """Return the part of a row, from first to last, where share + x * step >= 0; it is empty if first > last."""
    share += 1e-4  # a small slack closes the seams between neighbours that rounding would open
    if step > 0:
        return max(first, -share / step), last
    if step < 0:
        return first, min(last, -share / step)
    return first, last if share >= 0 else first - 1
