"""Lay several pictures of one mesh over a frame, each as far as each vertex says, in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Indices, Points
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize

LEAST = np.float32(1 / 64)  # a smaller share is not seen
_ONE, _HALF, _BYTE = np.float32(1), np.float32(0.5), np.float32(1 / 255)


@dataclass(frozen=True)
class Pictures:
    """K pictures of the same mesh, one after the other.

    pixels: (N, 3), uint8, row by row. frames: (K, 3), where each begins, its height and its width. places: (K, V, 2),
    the mesh in px of each, the centre of the first at 0. shares: (K, V), how much of each vertex is shown of it.
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
        pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures])
        return cls(pixels, np.column_stack([begins, sizes]), places, np.zeros(places.shape[:2], np.float32))

    def some(self, which: NDArray[np.integer], shares: Points) -> Pictures:
        """Return some of them, with how much of each vertex is shown of each: (len(which), V)."""
        return Pictures(self.pixels, self.frames[which], self.places[which], np.ascontiguousarray(shares, np.float32))


def lay_pictures(
    image: Points, vertices_px: Points, triangles: Indices, pictures: Pictures, box: tuple[int, int, int, int]
) -> None:
    """Lay pictures over an image (3, H, W) in [0, 1], in place; what their shares leave is the image's own.

    vertices_px: (V, 3), the mesh in the image, from its left and top edge; the nearest triangle wins. box: left, top,
    right and bottom of the part of the image that may change, in px.
    """
    left, top, right, bottom = box
    alone = np.ascontiguousarray(vertices_px[triangles].reshape(-1, 3), np.float32)
    alone[:, :2] -= (left + _HALF, top + _HALF)
    corners = np.arange(len(alone), dtype=np.int32).reshape(-1, 3)
    # Each triangle has its own corners, so that they can carry its number (from 1: nothing drawn is 0).
    numbers = np.repeat(np.arange(1, len(triangles) + 1), 3)
    at_corner = np.tile([[0, 0], [1, 0], [0, 1]], (len(triangles), 1))
    attributes = np.column_stack([numbers, at_corner]).astype(np.float32)
    drawn = rasterize(alone, attributes, corners, (bottom - top, right - left))
    _blend(
        image[:, top:bottom, left:right],
        drawn,
        triangles,
        (pictures.pixels, pictures.frames),
        (pictures.places, pictures.shares),
    )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _blend(
    image: Points,
    drawn: Points,
    triangles: Indices,
    pictures: tuple[NDArray[np.uint8], NDArray[np.int64]],
    mesh: tuple[Points, Points],
) -> None:
    """Blend pictures into what triangles cover of an image. drawn: (H, W, 3), a triangle's number and its shares."""
    pixels, frames = pictures
    places, shares = mesh
    shown, count, last = np.zeros(frames.shape[0], np.int64), 0, -1  # which of them the last triangle shows
    for y in range(drawn.shape[0]):
        for x in range(drawn.shape[1]):
            t = int(drawn[y, x, 0] + _HALF) - 1
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            if t != last:
                last, count = t, 0
                for k in range(frames.shape[0]):
                    if max(shares[k, a], shares[k, b], shares[k, c]) >= LEAST:
                        shown[count] = k
                        count += 1
            if count == 0:
                continue
            v, w = drawn[y, x, 1], drawn[y, x, 2]
            u = _ONE - v - w
            red = green = blue = total = np.float32(0)
            for place in range(count):
                k = shown[place]
                share = u * shares[k, a] + v * shares[k, b] + w * shares[k, c]
                if share < LEAST:
                    continue
                # Linearly between four pixels; the edge of a picture is repeated outside.
                width = frames[k, 2]
                px = u * places[k, a, 0] + v * places[k, b, 0] + w * places[k, c, 0]
                py = u * places[k, a, 1] + v * places[k, b, 1] + w * places[k, c, 1]
                px = min(max(px, np.float32(0)), np.float32(width - 1))
                py = min(max(py, np.float32(0)), np.float32(frames[k, 1] - 1))
                left, top = min(int(px), width - 2), min(int(py), frames[k, 1] - 2)
                right, low = px - np.float32(left), py - np.float32(top)
                at = frames[k, 0] + top * width + left
                below = at + width
                p, q = (_ONE - right) * (_ONE - low) * share, right * (_ONE - low) * share
                r, s = (_ONE - right) * low * share, right * low * share
                red += p * pixels[at, 0] + q * pixels[at + 1, 0] + r * pixels[below, 0] + s * pixels[below + 1, 0]
                green += p * pixels[at, 1] + q * pixels[at + 1, 1] + r * pixels[below, 1] + s * pixels[below + 1, 1]
                blue += p * pixels[at, 2] + q * pixels[at + 1, 2] + r * pixels[below, 2] + s * pixels[below + 1, 2]
                total += share
            if total > 0:
                image[0, y, x] += red * _BYTE - total * image[0, y, x]
                image[1, y, x] += green * _BYTE - total * image[1, y, x]
                image[2, y, x] += blue * _BYTE - total * image[2, y, x]
