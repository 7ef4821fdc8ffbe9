"""Lay several pictures of one mesh over a frame, each as far as each vertex says, in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Indices, Points
from vid2vid_cli.models.compact.mesh.rasterizer import nearest_triangles, shares_along
from vid2vid_cli.models.compact.weighted_pixels import add_shown

LEAST = np.float32(1 / 64)  # a smaller share is not seen
_ONE, _HALF, _BYTE = np.float32(1), np.float32(0.5), np.float32(1 / 255)
_BEFORE_LAST = np.float32(1 - 2**-20)  # of the way to a picture's last pixel: as far as that has a next one
_STEPS = 16  # numbers of a picture's steps
_NO_SHARES: Any = (np.float32(0),) * 4  # any kind of number


@dataclass(frozen=True)
class Pictures:
    """K pictures of the same mesh, one after the other.

    pixels: (3 N + 1,), uint8, row by row, see add_shown. frames: (K, 3), where each begins in px, its height and its
    width. places: (K, V, 2), the mesh in px of each, the centre of the first at 0. shares: (K, V), how much of each
    vertex is shown of it.
    """

    pixels: NDArray[np.uint8]
    frames: NDArray[np.int64]
    places: Points
    shares: Points

    @classmethod
    def of(cls, pictures: Sequence[Frame], points_px: Sequence[Points]) -> Pictures:
        """Join pictures (h, w, 3) with the mesh (V, 2 or 3) in px of each from its left and top edge."""
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
        begins = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
        places = np.stack([points[:, :2] for points in points_px]).astype(np.float32) - _HALF
        pixels = np.concatenate([*(picture.ravel() for picture in pictures), np.zeros(1, np.uint8)])
        return cls(pixels, np.column_stack([begins, sizes]), places, np.zeros(places.shape[:2], np.float32))

    def some(self, which: NDArray[np.integer], shares: Points, moved_px: Points | None = None) -> Pictures:
        """Return some of them, with how much of each vertex is shown of each: (len(which), V).

        moved_px: (len(which), V, 2), how far the mesh lies in each from where it was read.
        """
        places = self.places[which] if moved_px is None else self.places[which] + moved_px
        return Pictures(self.pixels, self.frames[which], places, np.ascontiguousarray(shares, np.float32))


def lay_pictures(
    image: Points, vertices_px: Points, triangles: Indices, pictures: Pictures, box: tuple[int, int, int, int]
) -> None:
    """Lay pictures over an image (3, H, W) in [0, 1], in place; what their shares leave is the image's own.

    vertices_px: (V, 3), the mesh in the image, from its left and top edge; the nearest triangle wins. box: left, top,
    right and bottom of the part of the image that may change, in px.
    """
    left, top, right, bottom = box
    vertices = np.asarray(vertices_px - np.array((left + 0.5, top + 0.5, 0)), np.float32)
    numbers = nearest_triangles(vertices, triangles, (bottom - top, right - left))
    _blend(
        image[:, top:bottom, left:right],
        numbers,
        (vertices, triangles),
        (pictures.pixels, pictures.frames),
        (pictures.places, pictures.shares),
    )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _blend(
    image: Points,
    numbers: Indices,
    mesh: tuple[Points, Indices],
    pictures: tuple[NDArray[np.uint8], NDArray[np.int64]],
    laid: tuple[Points, Points],
) -> None:
    """Blend pictures into what triangles cover of an image. numbers: (H, W), see nearest_triangles."""
    (pixels, frames), triangles = pictures, mesh[1]
    # What each triangle shows is found out when it is first seen.
    counts = np.full(len(triangles), -1, np.int64)
    begins = np.empty((len(triangles), len(frames), 2), np.uint64)
    steps = np.empty((len(triangles), len(frames), 4, 4), np.float32)
    all_steps, sums = steps.reshape(-1), np.empty(4, np.float32)
    for y in range(numbers.shape[0]):
        last, (v, w, v_step, w_step) = -1, _NO_SHARES
        for x in range(numbers.shape[1]):
            t = numbers[y, x]
            if t < 0:
                continue
            v += v_step
            w += w_step
            if t != last:
                last = t
                if counts[t] < 0:
                    counts[t] = _see(triangles[t], laid, frames, begins[t], steps[t])
                v, w, v_step, w_step = shares_along(mesh, t, x, y)
            count = counts[t]
            if count == 0:
                continue
            sums[:] = 0
            for k in range(count):
                places = np.uint64(_STEPS * (t * len(frames) + k)), begins[t, k, 0], begins[t, k, 1]
                add_shown(sums, (pixels, all_steps), places, (v, w))
            for k in range(3):
                image[k, y, x] += _BYTE * (sums[k] - sums[3] * image[k, y, x])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _see(
    triangle: Indices, laid: tuple[Points, Points], frames: NDArray[np.int64], begins: NDArray[np.uint64], steps: Points
) -> int:
    """Find the pictures that a triangle shows: where they begin and how share and place change in it, see add_shown.

    Returns how many they are.
    """
    places, shares = laid
    a, b, c = triangle[0], triangle[1], triangle[2]
    count = 0
    for k in range(shares.shape[0]):
        if max(shares[k, a], shares[k, b], shares[k, c]) < LEAST:
            continue
        begins[count, 0], begins[count, 1] = 3 * frames[k, 0], 3 * frames[k, 2]
        step = steps[count]
        step[:, 3] = 0
        step[0, 0], step[1, 0], step[2, 0] = shares[k, a], shares[k, b] - shares[k, a], shares[k, c] - shares[k, a]
        step[3, 0] = _ONE
        for axis in range(2):
            at, last = places[k, a, axis], frames[k, 2 - axis] - 1
            step[0, 1 + axis], step[1, 1 + axis] = at, places[k, b, axis] - at
            step[2, 1 + axis], step[3, 1 + axis] = places[k, c, axis] - at, np.float32(last) * _BEFORE_LAST
        count += 1
    return count
