"""The pattern that carries chips: a square tile of cells, repeated over a picture, one chip in each wave of a ring.

A cell is a block of pixels whose mean luma counts. It grows with the picture, so that waves stay large enough for
encoders, which keep little of what is fine, and for whoever makes a large picture small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.media.watermark.code import CHIPS, Floats, order

Complex = npt.NDArray[np.complexfloating[Any, Any]]

TILE = 32  # cells
SMALLEST_CELL_PX = 2
CELL_PX, NOMINAL_PX = 3, 512  # of a picture whose shorter side is that
LONGEST_PERIOD, SHORTEST_PERIOD = 8.0, 2.5  # of the waves, in cells
_SURROUNDINGS = 5  # cells, whose mean is taken off: what is slower than the waves only disturbs them
_NEARBY = 5  # cells, over which it is averaged how much happens
_NOISE = 1.0  # levels, squared: of what happens in flat parts too


def cell_size(size: tuple[int, int]) -> int:
    """Return the width in pixels of a cell in a picture of a size (height, width)."""
    return max(SMALLEST_CELL_PX, round(CELL_PX * min(size) / NOMINAL_PX))


@cache
def waves() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns (CHIPS // 2,) of the waves in a tile's half spectrum (TILE, TILE // 2 + 1), shuffled."""
    rows, columns = np.meshgrid(np.arange(TILE), np.arange(1, TILE // 2), indexing="ij")
    signed = np.where(rows > TILE // 2, rows - TILE, rows)
    radius = np.hypot(signed, columns)
    fits = (radius >= TILE / LONGEST_PERIOD) & (radius <= TILE / SHORTEST_PERIOD)
    places = np.flatnonzero(fits)
    # The slowest waves survive best, so as many as are needed are taken from there; then they are shuffled.
    slowest = places[np.argsort(radius.ravel()[places], kind="stable")][: CHIPS // 2]
    shuffled = sorted(slowest.tolist(), key=order)
    return rows.ravel()[shuffled], columns.ravel()[shuffled]


@cache
def rings() -> npt.NDArray[np.intp]:
    """Return for each chip (CHIPS,) how slow its wave is: 0, the slowest quarter, to 3."""
    rows, columns = waves()
    radius = np.hypot(np.where(rows > TILE // 2, rows - TILE, rows), columns)
    return np.repeat(np.searchsorted(np.quantile(radius, (0.25, 0.5, 0.75)), radius), 2)


def to_spectrum(chips: Floats) -> Complex:
    """Return the half spectrum (TILE, TILE // 2 + 1) of waves that carry chips, cosines and sines in turn."""
    spectrum = np.zeros((TILE, TILE // 2 + 1), np.complex64)
    half = CHIPS // 2
    spectrum[waves()] = chips[0::2][:half] + 1j * chips[1::2][:half]
    return spectrum


def to_chips(spectrum: Complex) -> Floats:
    """Return the chips (CHIPS,) that a half spectrum carries."""
    values = spectrum[waves()]
    chips = np.empty(CHIPS, np.float32)
    chips[0::2], chips[1::2] = values.real, values.imag
    return chips


def draw(spectrum: Complex) -> Floats:
    """Return the tile (TILE, TILE) of a half spectrum. A chip of 1 is a wave of amplitude 1."""
    return np.asarray(np.fft.irfft2(spectrum, (TILE, TILE)) * (TILE * TILE / 2), np.float32)


def analyse(detail: Detail) -> Complex:
    """Return the half spectrum of the tile that a picture repeats, on average."""
    return np.asarray(np.fft.rfft2(fold(detail.values * detail.weights)) * (2 / TILE**2), np.complex64)


def fold(cells: Floats) -> Floats:
    """Return the mean (TILE, TILE) of all tiles of a picture of cells (h, w); 0 where there is none."""
    height, width = cells.shape
    down, across = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((down * TILE, across * TILE), np.float32)
    padded[:height, :width] = cells
    total = padded.reshape(down, TILE, across, TILE).sum((0, 2))
    rows = np.bincount(np.arange(height) % TILE, minlength=TILE)
    columns = np.bincount(np.arange(width) % TILE, minlength=TILE)
    return np.asarray(total / np.maximum(1, np.outer(rows, columns)), np.float32)


@dataclass(frozen=True)
class Detail:
    """How cells differ from those around them. values, activity: (h, w), levels. weights: how much each cell counts."""

    values: Floats
    activity: Floats
    weights: Floats


def detail_of(cells: Floats) -> Detail:
    """Look at a picture of cells (h, w): flat parts tell of a mark, where much happens it drowns."""
    values = cells - cv2.blur(cells, (_SURROUNDINGS, _SURROUNDINGS))
    activity = cv2.blur(np.abs(values), (_NEARBY, _NEARBY))
    weights = 1 / (activity * activity + _NOISE)
    return Detail(values, activity, weights)
