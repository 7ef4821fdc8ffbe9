"""The part of a head's square that is compared: as far as a frame covers it, so that no pixels are spent beyond."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.motion_layout import CELLS

SIDE = 144  # px: of what is compared
LEAST_CELLS = 6  # along a side: a search for flow needs some room

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class ComparedSquare:
    """Some cells of the square around a head.

    whole: that square. left, top: the first cells. cells: how many along a side.
    """

    whole: Box
    left: int
    top: int
    cells: int

    @classmethod
    def over(cls, seen: Box, whole: Box) -> ComparedSquare:
        """Return the smallest square of cells of a whole that covers all that is seen of it."""
        step = whole.width / CELLS
        # A hair's breadth of a cell is no reason for one more.
        low = np.floor((seen.low - whole.low) / step + 0.01).astype(int).clip(0, CELLS - LEAST_CELLS)
        high = np.ceil((seen.high - whole.low) / step - 0.01).astype(int).clip(low, CELLS)
        cells = max(int((high - low).max()), LEAST_CELLS)
        left, top = np.minimum(low, CELLS - cells).tolist()
        return cls(whole, left, top, cells)

    @property
    def box(self) -> Box:
        """Where it lies, in the unit of the whole."""
        step, (left, top) = self.whole.width / CELLS, self.whole.low
        x, y = left + self.left * step, top + self.top * step
        return Box(x, y, x + self.cells * step, y + self.cells * step)

    def cut(self, picture: Picture) -> Picture:
        """Cut it out of a picture of the whole (S, S), S a multiple of CELLS: (N, N), N at most SIDE."""
        step = len(picture) // CELLS
        rows, columns = (slice(step * first, step * (first + self.cells)) for first in (self.top, self.left))
        side = min(step * self.cells, SIDE)
        return _shrunk(np.ascontiguousarray(picture[rows, columns]), side)

    def as_fine(self, picture: Picture) -> Picture:
        """Return a picture of the whole (S, S) as fine as what `cut` gives of it."""
        cells_px = len(picture) // CELLS * self.cells
        return picture if cells_px <= SIDE else _shrunk(picture, round(len(picture) * SIDE / cells_px))

    def means(self, values: Points) -> Points:
        """Return means of values over it (N, N, ...) in the cells of the whole: (CELLS, CELLS, ...), 0 beyond."""
        spread = np.zeros((CELLS, CELLS, *values.shape[2:]), np.float32)
        rows, columns = (slice(first, first + self.cells) for first in (self.top, self.left))
        spread[rows, columns] = cv2.resize(values, (self.cells, self.cells), interpolation=cv2.INTER_AREA)
        return spread


def _shrunk(picture: Picture, side: int) -> Picture:
    if len(picture) == side:
        return picture
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
