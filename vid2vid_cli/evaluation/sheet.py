"""A picture of what was judged: rows of labelled squares, few enough to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.pipeline.output import PICTURES, is_picture_name

Cell = tuple[Frame, str]
"""A picture (H, W, 3) and what it is."""

MOST_ROWS = 24
CELL_PX = 256
CHARACTERS = 34  # of a label that fit over a cell
WHITE_ERROR = 64  # the difference, of 255, that an error map shows in white


class Sheet:
    """Rows of cells, the first MOST_ROWS of them."""

    def __init__(self, columns: int, size_px: int) -> None:
        self._columns, self._size_px = columns, min(CELL_PX, size_px)
        self._cells: list[Cell] = []
        self._left_out = 0

    def add(self, row: Sequence[Cell]) -> None:
        """Add a row, unless there are too many already."""
        if len(self._cells) >= MOST_ROWS * self._columns:
            self._left_out += 1
            return
        blank: Cell = (np.full((self._size_px, self._size_px, 3), 255, np.uint8), "")
        cells = [(resize_frame(picture, (self._size_px, self._size_px)), label) for picture, label in row]
        self._cells += [*cells, *[blank] * (self._columns - len(cells))]

    def write(self, path: str | None, *, force: bool, warn: Callable[[str], None]) -> None:
        """Write all rows as one picture, where one is asked for."""
        if path is None or not self._cells:
            return
        pictures, labels = zip(*self._cells, strict=True)
        write_image(path, contact_sheet(pictures, self._columns, [shorten(label) for label in labels]), force=force)
        if self._left_out:
            warn(f"{path}: shows the first {MOST_ROWS} rows, {self._left_out} more are left out")


class Keeper(Protocol):
    """Chooses which of a clip's frames make the rows of a sheet, while they go by."""

    rows: list[Sequence[Cell]]

    def offer(self, error: float, make: Callable[[], Sequence[Cell]]) -> None:
        """Consider one more frame. error: how badly it was shown. make: makes its row, if that is wanted."""
        ...


class Worst:
    """Keeps the one frame that was shown worst."""

    def __init__(self) -> None:
        self.rows: list[Sequence[Cell]] = []
        self._error = -1.0

    def offer(self, error: float, make: Callable[[], Sequence[Cell]]) -> None:
        """Keep the frame if it is worse than all before."""
        if error > self._error:
            self._error, self.rows = error, [make()]


class Spread:
    """Keeps a few frames, evenly spread over a clip of unknown length; never more than `most`."""

    def __init__(self, most: int) -> None:
        self.rows: list[Sequence[Cell]] = []
        self._most, self._step, self._seen = most, 1, 0

    def offer(self, error: float, make: Callable[[], Sequence[Cell]]) -> None:
        """Keep every so-manieth frame; when there are too many, every other one of them."""
        if self._seen % self._step == 0:
            self.rows.append(make())
        self._seen += 1
        if len(self.rows) > self._most:
            self.rows = self.rows[::2]
            self._step *= 2


def error_map(truth: Frame, shown: Frame) -> Frame:
    """Draw the difference of two frames (H, W, 3): black where equal, over red and yellow to white at WHITE_ERROR."""
    error = np.abs(truth.astype(np.float32) - shown).mean(-1, keepdims=True) / WHITE_ERROR
    return np.asarray(np.clip(3 * error - np.arange(3), 0, 1) * 255, np.uint8)


def shorten(label: str) -> str:
    """Cut a label to what fits over its cell."""
    return label if len(label) <= CHARACTERS else label[: CHARACTERS - 1] + "…"


def check_sheet(path: str | None, *, force: bool, inputs: Sequence[Path]) -> None:
    """Raise unless a sheet may be written to `path`."""
    if path is None:
        return
    if not is_picture_name(path):
        raise UsageError(f"--sheet {path}: a sheet is a picture ({' '.join(PICTURES)})")
    check_output(path, force=force, inputs=inputs, is_file=True)
