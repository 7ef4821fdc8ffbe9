"""A contact sheet of what was judged: rows of labelled squares, few enough to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.pipeline.output import PICTURES, is_picture_name

MOST_ROWS = 24
CELL_PX = 256
CHARACTERS = 34  # of a label that fit above a cell
WHITE_ERROR = 64  # the difference, of 255, that an error map shows as white


@dataclass(frozen=True)
class SheetCell:
    """A picture (H, W, 3) and its label."""

    picture: Frame
    label: str


class Sheet:
    """Rows of cells, at most MOST_ROWS of them."""

    def __init__(self, columns: int, size_px: int) -> None:
        self._columns, self._size_px = columns, min(CELL_PX, size_px)
        self._cells: list[SheetCell] = []
        self._left_out = 0

    def add(self, row: Sequence[SheetCell]) -> None:
        """Add a row, unless the sheet is full. Short rows are padded with white cells."""
        if len(self._cells) >= MOST_ROWS * self._columns:
            self._left_out += 1
            return
        size = (self._size_px, self._size_px)
        blank = SheetCell(np.full((*size, 3), 255, np.uint8), "")
        cells = [SheetCell(resize_frame(cell.picture, size), cell.label) for cell in row]
        self._cells += [*cells, *[blank] * (self._columns - len(cells))]

    def write(self, path: str | None, *, force: bool, provenance: Provenance, warn: Callable[[str], None]) -> None:
        """Write all rows as one picture, if a path is given."""
        if path is None or not self._cells:
            return
        pictures, labels = [cell.picture for cell in self._cells], [shorten(cell.label) for cell in self._cells]
        write_image(path, contact_sheet(pictures, self._columns, labels), provenance=provenance, force=force)
        if self._left_out:
            warn(f"{path}: shows the first {MOST_ROWS} rows, {self._left_out} more were left out")


class SheetCollector(Protocol):
    """Choose which frames of a clip become rows of a sheet, in one pass over them."""

    rows: list[Sequence[SheetCell]]

    def offer(self, error: float, make: Callable[[], Sequence[SheetCell]]) -> None:
        """Consider one more frame. error: of its rendering. make: builds its row; called only for a chosen frame."""
        ...


class WorstFrameCollector:
    """Keep the frame with the largest error."""

    def __init__(self) -> None:
        self.rows: list[Sequence[SheetCell]] = []
        self._error = -1.0  # below every error, so that the first frame is kept

    def offer(self, error: float, make: Callable[[], Sequence[SheetCell]]) -> None:
        """Keep the frame if its error is larger than all before."""
        if error > self._error:
            self._error, self.rows = error, [make()]


class SpreadFramesCollector:
    """Keep at most `most` frames, evenly spread over a clip of unknown length."""

    def __init__(self, most: int) -> None:
        self.rows: list[Sequence[SheetCell]] = []
        self._most, self._step, self._seen = most, 1, 0

    def offer(self, error: float, make: Callable[[], Sequence[SheetCell]]) -> None:
        """Keep every n-th frame. When there are too many, drop every other one and double n."""
        if self._seen % self._step == 0:
            self.rows.append(make())
        self._seen += 1
        if len(self.rows) > self._most:
            self.rows = self.rows[::2]
            self._step *= 2


def error_map(truth: Frame, shown: Frame) -> Frame:
    """Draw the difference of two frames (H, W, 3): from black, through red and yellow, to white at WHITE_ERROR."""
    error = np.abs(truth.astype(np.float32) - shown).mean(-1, keepdims=True) / WHITE_ERROR
    # Red rises over the first third, green over the second, blue over the last.
    return np.asarray(np.clip(3 * error - np.arange(3), 0, 1) * 255, np.uint8)


def shorten(label: str) -> str:
    """Shorten a label to what fits above its cell."""
    return label if len(label) <= CHARACTERS else label[: CHARACTERS - 1] + "…"


def check_sheet(path: str | None, *, force: bool, inputs: Sequence[Path]) -> None:
    """Raise unless a sheet can be written to `path`."""
    if path is None:
        return
    if not is_picture_name(path):
        raise UsageError(f"--sheet {path}: a sheet is a picture ({' '.join(PICTURES)})")
    check_output(path, force=force, inputs=inputs, is_file=True)
