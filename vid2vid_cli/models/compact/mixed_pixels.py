"""Mix the pixels of pictures of a person, each moved in its own way, in one pass over the frame, row by row.

For a row of pixels it is first written down where the mesh takes them from, channel by channel, then which pixels of a
picture these are and by which weights, and then those are added. All but the last are loops without branches, which the
compiler turns into vectors; and a row stays in the processor's nearest cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Indices, Map, Points
from vid2vid_cli.models.compact.mesh.lanes import LANES, write_ramp
from vid2vid_cli.models.compact.mesh.rasterizer import nearest_triangles, shares_along
from vid2vid_cli.models.compact.weighted_pixels import add_four

Flags = NDArray[np.uint8]
Parts = NDArray[np.int64]

FAR = 1e6  # px: beyond every picture
EVERYWHERE: Points = np.array([-FAR, -FAR, FAR, FAR], np.float32)
NOTHING = 1 / 1024  # of full light: a pixel that differs less from the background is left out
_LEAST = np.float32(1 / 256)  # a smaller share is not seen
_ZERO, _ONE = np.float32(0), np.float32(1)


class Taken(IntEnum):
    """How much of a pixel a part shows: all that those before it left, its share, or its share of what they left."""

    REST = 0
    SHARE = 1
    SHARE_OF_REST = 2


_REST, _SHARE, _SHARE_OF_REST = (int(each) for each in Taken)


@dataclass(frozen=True)
class PersonPicture:
    """A picture of a person in the frame of the source's crop, (H, W).

    pixels: (above + H, W + 2 beside, 4), premultiplied RGB and the matte, float32, see layers.Layers. box: (4,), left,
    top, right and bottom in px of the crop, of what it really shows. fade_px: over how much of that, from its edges, it
    passes into others.
    """

    pixels: Points
    above: int
    beside: int
    box: Points
    fade_px: float


@dataclass(frozen=True)
class PersonPixels:
    """K pictures of a person, one after the other.

    pixels: (4 N,), row by row; the last row and column of each are there twice. filled: (N,), where a pixel or its next
    ones show anything of the person. frames: (K, 3), where each begins in px, its height and its width. about: (K, 7),
    box, `beside`, `above` and fade of each.
    """

    pixels: Points
    filled: Flags
    frames: NDArray[np.int64]
    about: Points

    @classmethod
    def of(cls, pictures: Sequence[PersonPicture]) -> PersonPixels:
        """Join pictures."""
        # A row and a column more than a picture has keep its last ones from being looked for.
        padded = [np.pad(each.pixels, ((0, 1), (0, 1), (0, 0)), mode="edge") for each in pictures]
        sizes = np.array([each.shape[:2] for each in padded], np.int64)
        begins = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
        about = [[*each.box, each.beside, each.above, each.fade_px] for each in pictures]
        return cls(
            np.concatenate([each.ravel() for each in padded]),
            np.concatenate([_filled(each).ravel() for each in padded]),
            np.column_stack([begins, sizes]),
            np.array(about, np.float32),
        )


def _filled(pixels: Points) -> Flags:
    """Return where a pixel, the right one, or those below show anything: (h, w)."""
    shown = np.asarray((np.abs(pixels) > NOTHING).any(-1), np.uint8)
    return np.asarray(cv2.dilate(shown, np.ones((2, 2), np.uint8), anchor=(0, 0)), np.uint8)


@dataclass(frozen=True)
class MovedMesh:
    """A mesh in a frame, and what it takes from pictures.

    vertices_px: (V, 3), from the middle of the first pixel. triangles: (T, 3). values: (V, C), places in px of the
    crop, from the middle of its first pixel, and shares. parts: (P, 4), the number of a picture, the channel of x, that
    of its share, and how much that is, see Taken; the last part shows the rest. main: the channel of the place that
    edges are found by.
    """

    vertices_px: Points
    triangles: Indices
    values: Points
    parts: Parts
    main: int


def mix_pixels(mesh: MovedMesh, pictures: PersonPixels, size: tuple[int, int]) -> tuple[Points, Points]:
    """Return a person (H, W, 4), premultiplied RGB and the matte, and how far the main places lie from their pixels.

    These are (H, W, 2), in px. What the mesh does not cover is the last part's, unmoved.
    """
    numbers = nearest_triangles(mesh.vertices_px, mesh.triangles, size)
    person, displacement = np.zeros((*size, 4), np.float32), np.empty((*size, 2), np.float32)
    _mix(
        numbers,
        (mesh.vertices_px, mesh.triangles, mesh.values),
        (mesh.parts, mesh.main),
        _arrays(pictures),
        (person.reshape(-1), displacement),
    )
    return person, displacement


def mix_places(places: Points, parts: Parts, pictures: PersonPixels) -> Points:
    """Return the mean (E, 4) of several samples of E pixels. places: (S, C, E), the channels of a mesh's values."""
    person = np.zeros((places.shape[2], 4), np.float32)
    _mix_samples(places, parts, _arrays(pictures), person.reshape(-1))
    return person / np.float32(len(places))


def lay_before(person: Points, background: Points) -> Points:
    """Return a person (H, W, 4), premultiplied, before a background (3, H, W): (3, H, W) in [0, 1]."""
    image = np.empty_like(background)
    _lay(person, background, image)
    return image


def _arrays(pictures: PersonPixels) -> tuple[Points, Flags, NDArray[np.int64], Points]:
    return pictures.pixels, pictures.filled, pictures.frames, pictures.about


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mix(
    numbers: Indices,
    mesh: tuple[Points, Indices, Points],
    taken: tuple[Parts, int],
    pictures: tuple[Points, Flags, NDArray[np.int64], Points],
    onto: tuple[Points, Points],
) -> None:
    (height, width), (parts, main), (person, displacement) = numbers.shape, taken, onto
    rows = np.zeros((mesh[2].shape[1], width + LANES), np.float32)
    left, weights, found = _buffers(width)
    for y in range(height):
        _write_row(numbers[y], y, mesh, taken, rows)
        x_row, y_row = rows[main], rows[main + 1]
        for x in range(width):
            displacement[y, x, 0] = x_row[x] - np.float32(x)
            displacement[y, x, 1] = y_row[x] - np.float32(y)
        left[:] = _ONE
        for part in range(len(parts)):
            _find(rows, parts[part], pictures, left, (weights, found))
            _add(person[4 * y * width : 4 * (y + 1) * width], parts[part], pictures, (weights, found))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mix_samples(
    places: Points, parts: Parts, pictures: tuple[Points, Flags, NDArray[np.int64], Points], person: Points
) -> None:
    left, weights, found = _buffers(places.shape[2])
    for sample in range(len(places)):
        left[:] = _ONE
        for part in range(len(parts)):
            _find(places[sample], parts[part], pictures, left, (weights, found))
            _add(person, parts[part], pictures, (weights, found))


@numba.njit(cache=True, nogil=True, inline="always")
def _buffers(width: int) -> tuple[Points, Points, Indices]:
    """Return room for what is left of each pixel of a row, for four weights of each, and for a place."""
    return np.empty(width, np.float32), np.empty((4, width), np.float32), np.empty(width, np.int32)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _write_row(
    numbers: Indices, y: int, mesh: tuple[Points, Indices, Points], taken: tuple[Parts, int], rows: Points
) -> None:
    """Write down what a row of pixels takes: rows (C, W + LANES). Places in pictures without any share are left."""
    (vertices, triangles, values), (parts, main), width = mesh, taken, len(numbers)
    first = 0
    while first < width:
        number, end = numbers[first], first + 1
        while end < width and numbers[end] == number:
            end += 1
        if number < 0:
            _stay(rows, parts, first, end, y)
            first = end
            continue
        a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
        v, w, v_step, w_step = shares_along((vertices, triangles), number, first, y)
        for part in range(len(parts)):
            at, share_at, how = parts[part, 1], parts[part, 2], parts[part, 3]
            begin, channels_end = at, at + 2
            if how != _REST:
                seen = max(values[a, share_at], values[b, share_at], values[c, share_at]) >= _LEAST
                begin, channels_end = at if seen or at == main else share_at, share_at + 1
            for k in range(begin, channels_end):
                value, to_b, to_c = values[a, k], values[b, k] - values[a, k], values[c, k] - values[a, k]
                value += v * to_b + w * to_c
                step = v_step * to_b + w_step * to_c
                for x in range(first, end, LANES):
                    write_ramp(rows, np.uint64(k * rows.shape[1] + x), value, step)
                    value += np.float32(LANES) * step
        first = end


@numba.njit(cache=True, nogil=True, inline="always")
def _stay(rows: Points, parts: Parts, first: int, end: int, y: int) -> None:
    """Write down pixels from `first` to before `end` that no triangle covers."""
    for part in range(len(parts)):
        for x in range(first, end):
            rows[parts[part, 1], x], rows[parts[part, 1] + 1, x] = x, y
            if parts[part, 3] != _REST:
                rows[parts[part, 2], x] = _ZERO


@numba.njit(cache=True, nogil=True, fastmath=True)
def _find(
    rows: Points,
    part: Parts,
    pictures: tuple[Points, Flags, NDArray[np.int64], Points],
    left: Points,
    onto: tuple[Points, Indices],
) -> None:
    """Find the pixels that a part takes for a row of the frame, with their weights, and take its shares off `left`."""
    (weights, found), (_, _, frames, abouts) = onto, pictures
    x_row, y_row, shares, how = rows[part[1]], rows[part[1] + 1], rows[part[2]], part[3]
    begin, wide = np.int32(frames[part[0], 0]), np.int32(frames[part[0], 2])
    last_x, last_y = np.float32(frames[part[0], 2] - 2), np.float32(frames[part[0], 1] - 2)
    about = abouts[part[0]]
    low_x, low_y, high_x, high_y = about[0], about[1], about[2], about[3]
    beside, above, fade = about[4], about[5], _ONE / about[6]
    for x in range(len(left)):
        share = left[x]
        if how == _SHARE:
            share = shares[x]
        elif how == _SHARE_OF_REST:
            share *= shares[x]
        share = share if share >= _LEAST else _ZERO
        px, py = x_row[x], y_row[x]
        room = min(px - low_x, high_x - px, py - low_y, high_y - py)
        share *= min(max(room * fade, _ZERO), _ONE)
        left[x] -= share
        px, py = min(max(px + beside, _ZERO), last_x), min(max(py + above, _ZERO), last_y)
        column, row = np.int32(px), np.int32(py)
        along, down = px - np.float32(column), py - np.float32(row)
        below = down * share
        beyond = share - below
        found[x] = begin + row * wide + column if share > _ZERO else np.int32(-1)
        weights[0, x], weights[1, x] = beyond - beyond * along, beyond * along
        weights[2, x], weights[3, x] = below - below * along, below * along


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add(
    person: Points,
    part: Parts,
    pictures: tuple[Points, Flags, NDArray[np.int64], Points],
    taken: tuple[Points, Indices],
) -> None:
    """Add the pixels found to a row of a person."""
    (pixels, filled, frames, _), (weights, found) = pictures, taken
    wide = np.uint64(frames[part[0], 2])
    for x in range(len(found)):
        if found[x] < 0:
            continue
        place = np.uint64(found[x])
        if filled[place]:
            four = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
            add_four(person, pixels, (4 * np.uint64(x), 4 * place, 4 * (place + wide)), four)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _lay(person: Points, background: Points, image: Map) -> None:
    for y in range(person.shape[0]):
        for x in range(person.shape[1]):
            left = _ONE - person[y, x, 3]
            for k in range(3):
                image[k, y, x] = min(max(person[y, x, k] + left * background[k, y, x], _ZERO), _ONE)
