"""Mix the pixels of several pictures of a person, each moved in its own way, in one pass over the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.models.compact.layers import Layers

Flags = NDArray[np.uint8]

OWN, OTHER = 2, 3  # values of a pixel for the source's own picture, its place, and for each other: place and share
NOTHING = 1 / 1024  # of full light: a pixel that differs less from the background is left out
_LEAST = np.float32(1 / 256)  # a smaller share is not seen
_ZERO, _ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True)
class PersonPixels:
    """A picture of a person in the frame of the source's crop.

    pixels: (above + H + 1, W + 2 beside + 1, 4), premultiplied RGB and the matte, float32, see layers.Layers; the last
    row and column are there twice. filled: as large, where a pixel or its next ones show anything of the person. about:
    (7,), left, top, right and bottom in px of the crop, of what the picture really shows; `beside` and `above`; and
    over how many px of it from its edges the picture passes into others.
    """

    pixels: Points
    filled: Flags
    about: Points

    @classmethod
    def of(cls, layers: Layers, box: Points, fade_px: float) -> PersonPixels:
        """Take a picture that is split into layers. box: (4,), of what it really shows."""
        pixels = np.pad(layers.pixels, ((0, 1), (0, 1), (0, 0)), mode="edge")
        shown = np.asarray((np.abs(pixels) > NOTHING).any(-1), np.uint8)
        filled = np.asarray(cv2.dilate(shown, np.ones((2, 2), np.uint8), anchor=(0, 0)), np.uint8)
        return cls(pixels, filled, np.array([*box, layers.beside, layers.above, fade_px], np.float32))


def mix_pixels(drawn: Points, own: PersonPixels, others: Sequence[PersonPixels]) -> Points:
    """Return the person as (R, C, 4), premultiplied RGB and the matte.

    drawn: (R, C, K), for each pixel the place in the source's own picture, the place and the share of each of the
    others, and, if any of the own is mirrored, that place and its share of the own. Places are in px of
    the crop, from the middle of its first pixel. What others do not show is the source's own.
    """
    mixed, left = np.zeros((*drawn.shape[:2], 4), np.float32), np.ones(drawn.shape[:2], np.float32)
    for number, other in enumerate(others):
        at = OWN + OTHER * number
        _add(mixed, left, _taken(other), drawn, (at, at + 2, 0))
    at = OWN + OTHER * len(others)
    if drawn.shape[2] > at:
        _add(mixed, left, _taken(own), drawn, (at, at + 2, 1))
    _add(mixed, left, _taken(own), drawn, (0, -1, 0))
    return mixed


def lay_before(mixed: Points, background: Points) -> Points:
    """Return a person (H, W, 4), premultiplied, before a background (3, H, W): (3, H, W) in [0, 1]."""
    image = np.empty_like(background)
    _lay(mixed, background, image)
    return image


def _taken(person: PersonPixels) -> tuple[Points, Flags, Points]:
    return person.pixels, person.filled, person.about


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add(
    mixed: Points, left: Map, picture: tuple[Points, Flags, Points], drawn: Points, channels: tuple[int, int, int]
) -> None:
    """Add a picture at the places in two channels, bilinearly, and take its share off what is left.

    channels: of x, of its share (-1: all that is left), and 1 if that is a share of what is left.
    """
    pixels, filled, about = picture
    at, share_at, is_relative = channels
    low_x, low_y, high_x, high_y = about[0], about[1], about[2], about[3]
    beside, above, fade = about[4], about[5], about[6]
    last_x, last_y = np.float32(pixels.shape[1] - 2), np.float32(pixels.shape[0] - 2)
    for y in range(drawn.shape[0]):
        for x in range(drawn.shape[1]):
            share = left[y, x]
            if share_at >= 0:
                share = drawn[y, x, share_at] * (share if is_relative else _ONE)
            if share < _LEAST:
                continue
            px, py = drawn[y, x, at], drawn[y, x, at + 1]
            room = min(px - low_x, high_x - px, py - low_y, high_y - py)
            if room < fade:
                share *= max(room, _ZERO) / fade
            left[y, x] -= share
            px, py = min(max(px + beside, _ZERO), last_x), min(max(py + above, _ZERO), last_y)
            column, row = int(px), int(py)
            if not filled[row, column]:
                continue
            # A row and a column more than the picture has keep its last ones from being looked for.
            along, down = px - np.float32(column), py - np.float32(row)
            a, b = (_ONE - along) * (_ONE - down) * share, along * (_ONE - down) * share
            c, d = (_ONE - along) * down * share, along * down * share
            for k in range(4):
                mixed[y, x, k] += (
                    a * pixels[row, column, k]
                    + b * pixels[row, column + 1, k]
                    + c * pixels[row + 1, column, k]
                    + d * pixels[row + 1, column + 1, k]
                )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _lay(mixed: Points, background: Points, image: Points) -> None:
    for y in range(mixed.shape[0]):
        for x in range(mixed.shape[1]):
            left = _ONE - mixed[y, x, 3]
            for k in range(3):
                image[k, y, x] = min(max(mixed[y, x, k] + left * background[k, y, x], _ZERO), _ONE)


@numba.njit(cache=True, nogil=True, fastmath=True)
def displacement_of(drawn: Points, at: int, scale: float, displacement: Points) -> None:
    """Write what is drawn, places (h, w, 2) from a channel on, as displacements in halves of the longer side.

    scale: px of the crop for each that is drawn.
    """
    height, width = drawn.shape[:2]
    unit = np.float32(2 / (max(height, width) * scale))
    step, first = np.float32(scale), np.float32(scale / 2 - 0.5)
    for y in range(height):
        for x in range(width):
            displacement[y, x, 0] = (drawn[y, x, at] - first - step * np.float32(x)) * unit
            displacement[y, x, 1] = (drawn[y, x, at + 1] - first - step * np.float32(y)) * unit
