"""Where one shot of a film ends and another begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame

GRID = 16  # a frame is compared as 16 x 16 means of its colours
CUT, SOFT_CUT = 24.0, 10.0
"""Mean differences of the grid, of 255: heads and hands make up to 22 between two frames, cuts between places 40 to 70;
a cut within a place makes 10 to 20."""
STANDS_OUT, SOFT_STANDS_OUT = 4.0, 10.0
"""How many times more than between the frames before and after it: a quick movement goes on, and a flash goes back."""
REMEMBERED = 4  # frames before it
RECALLED = 4  # shots that may go on after another one

Grid = NDArray[np.float32]


class ShotCounter:
    """Tells for each frame of a film which shot it belongs to, from 0. A shot may go on after another one."""

    def __init__(self) -> None:
        self._shot, self._shots = 0, 1
        self._last: Grid | None = None
        self._ends: dict[int, Grid] = {}  # of the latest shots, how they ended
        self._differences: list[float] = []

    def __call__(self, grid: Grid, after: Grid) -> int:
        """Take the grids of the next frame and of the one after it; return the number of the next frame's shot."""
        if self._last is not None and self._is_cut(_difference(self._last, grid), _difference(grid, after)):
            self._ends = {**dict(list(self._ends.items())[1 - RECALLED :]), self._shot: self._last}
            self._shot, self._differences = self._seen_before(grid), []
        self._last = grid
        return self._shot

    def _seen_before(self, grid: Grid) -> int:
        """Return the number of the shot that goes on with a frame: as two people who talk are seen in turn."""
        for shot, end in self._ends.items():
            if _difference(grid, end) < SOFT_CUT:
                return shot
        self._shots += 1
        return self._shots - 1

    def _is_cut(self, difference: float, after: float) -> bool:
        stands_out = difference / max(1.0, after, *self._differences)
        self._differences = [*self._differences[1 - REMEMBERED :], difference]
        is_hard = difference > CUT and stands_out > STANDS_OUT
        return is_hard or (difference > SOFT_CUT and stands_out > SOFT_STANDS_OUT)


def number_shots(pictures: Iterable[Frame]) -> Iterator[tuple[int, Frame]]:
    """Yield each frame (H, W, 3) of a film with the number of its shot, once the one after it has come."""
    count = ShotCounter()
    waiting: tuple[Frame, Grid] | None = None
    for picture in pictures:
        grid = _grid(picture)
        if waiting is not None:
            yield count(waiting[1], grid), waiting[0]
        waiting = picture, grid
    if waiting is not None:
        yield count(waiting[1], waiting[1]), waiting[0]


def _difference(one: Grid, other: Grid) -> float:
    return float(np.abs(one - other).mean())


def _grid(frame: Frame) -> Grid:
    """Return the mean colours of a frame's parts, (16, 16, 3), less their mean: a change of light alone is no cut."""
    thinned = frame[:: max(1, frame.shape[0] // (4 * GRID)), :: max(1, frame.shape[1] // (4 * GRID))]
    rows, columns = (np.linspace(0, side, GRID, endpoint=False).astype(int) for side in thinned.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(thinned.astype(np.float32), rows, axis=0), columns, axis=1)
    heights, widths = (np.diff(at, append=side) for at, side in zip((rows, columns), thinned.shape, strict=False))
    means = sums / (heights[:, None, None] * widths[:, None])
    centred: Grid = means - means.mean((0, 1))
    return centred
