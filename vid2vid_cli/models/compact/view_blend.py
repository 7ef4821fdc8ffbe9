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
from vid2vid_cli.models.compact.weighted_pixels import mix_four

LEAST = np.float32(1 / 64)  # a smaller share is not seen
_ONE, _HALF, _BYTE = np.float32(1), np.float32(0.5), np.float32(1 / 255)
_NO_SHARES: Any = (np.float32(0),) * 4  # any kind of number


@dataclass(frozen=True)
class Pictures:
    """K pictures of the same mesh, one after the other.

    pixels: (3 N + 1,), uint8, row by row, see mix_four. frames: (K, 3), where each begins in px, its height and its
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
    shown = np.empty((len(triangles), len(frames)), np.int64)
    steps = np.empty((len(triangles), len(frames), 9), np.float32)
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
                    counts[t] = _see(triangles[t], laid, shown[t], steps[t])
                v, w, v_step, w_step = shares_along(mesh, t, x, y)
            count = counts[t]
            if count == 0:
                continue
            red = green = blue = total = np.float32(0)
            for place in range(count):
                step = steps[t, place]
                share = step[0] + v * step[1] + w * step[2]
                if share < LEAST:
                    continue
                # Linearly between four pixels; the edge of a picture is repeated outside.
                k = shown[t, place]
                first, height, width = frames[k, 0], frames[k, 1], frames[k, 2]
                px = step[3] + v * step[4] + w * step[5]
                py = step[6] + v * step[7] + w * step[8]
                px = min(max(px, np.float32(0)), np.float32(width - 1))
                py = min(max(py, np.float32(0)), np.float32(height - 1))
                left, top = min(int(px), width - 2), min(int(py), height - 2)
                right, low = px - np.float32(left), py - np.float32(top)
                at = first + top * width + left
                p, q = (_ONE - right) * (_ONE - low) * share, right * (_ONE - low) * share
                r, s = (_ONE - right) * low * share, right * low * share
                colour = mix_four(pixels, 3 * at, 3 * (at + width), (p, q, r, s))
                red += colour[0]
                green += colour[1]
                blue += colour[2]
                total += share
            if total > 0:
                image[0, y, x] += red * _BYTE - total * image[0, y, x]
                image[1, y, x] += green * _BYTE - total * image[1, y, x]
                image[2, y, x] += blue * _BYTE - total * image[2, y, x]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _see(triangle: Indices, mesh: tuple[Points, Points], shown: NDArray[np.int64], steps: Points) -> int:
    """Find the pictures that a triangle shows: their numbers and how share and place change in it; returns how many."""
    places, shares = mesh
    a, b, c = triangle[0], triangle[1], triangle[2]
    count = 0
    for k in range(shares.shape[0]):
        if max(shares[k, a], shares[k, b], shares[k, c]) < LEAST:
            continue
        shown[count] = k
        steps[count, 0] = shares[k, a]
        steps[count, 1] = shares[k, b] - shares[k, a]
        steps[count, 2] = shares[k, c] - shares[k, a]
        for axis in range(2):
            steps[count, 3 + 3 * axis] = places[k, a, axis]
            steps[count, 4 + 3 * axis] = places[k, b, axis] - places[k, a, axis]
            steps[count, 5 + 3 * axis] = places[k, c, axis] - places[k, a, axis]
        count += 1
    return count
