"""Put a watermark into frames."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.watermark import code, trellis
from vid2vid_cli.media.watermark.code import Floats
from vid2vid_cli.media.watermark.lattice import LARGEST_PX, mark_of
from vid2vid_cli.media.watermark.tile import (
    TILE,
    Detail,
    analyse,
    cell_size,
    detail_of,
    draw,
    to_chips,
    to_spectrum,
)

PATTERN, SMALL_PATTERN = "org.vid2vid.luma-1", "org.vid2vid.luma-3"
"""What credentials call the pattern of `tile`, and that of `lattice`, which small pictures have."""
EARLIER_PATTERNS = ("org.vid2vid.luma-2",)
"""Those that are read, and not made any more: that of `lattice` with a weaker code."""
SMALLEST_PX = 128
"""Pictures with a shorter side hold too few chips and get no watermark."""
RMS = 1.22  # levels, of a whole mark at most: PSNR 46.2 dB after rounding
FLAT, LIVELY = 0.75, 2.1  # levels: how strong the mark is where nothing and where much happens
CALM, BUSY = 0.3, 4.0  # levels: how far cells differ from those around them there
ROOM = 2.0  # levels from white or black at which a cell takes all of the mark
_CAP = 2.5  # how far one wave may go beyond the others to make up for the picture's own pattern
_STEPS = 10  # of halving an interval
_FRACTION_BITS = 6
_BESIDE = 5  # cells


def watermarker_for(provenance: Provenance | None, size: tuple[int, ...]) -> Watermarker | None:
    """Return what marks the frames of an output of a size (height, width); None if they get no watermark."""
    if provenance is None or not provenance.wants_watermark or min(size) < SMALLEST_PX:
        return None
    return Watermarker(provenance.number)


def marked_provenance(provenance: Provenance | None, size: tuple[int, ...]) -> Provenance | None:
    """Return a provenance that says that the frames, of a size (height, width), are marked, and with which pattern."""
    pattern = SMALL_PATTERN if min(size) < LARGEST_PX else PATTERN
    return None if provenance is None else replace(provenance, pattern=pattern)


class Watermarker:
    """Puts one number into every frame that is given to it."""

    def __init__(self, number: int) -> None:
        """Take the number, of 48 bits."""
        self.number = number

    @cached_property
    def _chips(self) -> Floats:
        return code.encode(self.number)

    @cached_property
    def _small_chips(self) -> Floats:
        return trellis.encode(self.number)

    def __call__(self, frame: Frame) -> Frame:
        """Return a frame (H, W, 3 or 4), uint8 RGB, with the mark in its luma; alpha stays as it is."""
        if min(frame.shape[:2]) < SMALLEST_PX:
            return frame
        colours, mark = np.ascontiguousarray(frame[..., :3]), self._mark(frame)
        marked = np.asarray(cv2.add(colours, cv2.merge([mark, mark, mark]), dtype=cv2.CV_8U), np.uint8)
        return marked if frame.shape[2] == 3 else np.dstack([marked, frame[..., 3:]])

    def _mark(self, frame: Frame) -> npt.NDArray[np.int16]:
        """Return what is added to each pixel (H, W), int16 levels."""
        height, width = frame.shape[:2]
        luma = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY)
        if min(height, width) < LARGEST_PX:
            return np.asarray(np.rint(mark_of(luma.astype(np.float32), self._small_chips)), np.int16)
        cell = cell_size((height, width))
        down, across = height // cell, width // cell
        inner = luma[: down * cell, : across * cell]
        cells = cv2.resize(inner, (across, down), interpolation=cv2.INTER_AREA).astype(np.float32)
        detail = detail_of(cells)
        gain = _gain(detail) * _room(cells)
        tile = self._tile(detail, float((gain * detail.weights).mean()))
        mark = np.tile(tile, (-(-down // TILE) + 1, -(-across // TILE) + 1))[: down + 1, : across + 1]
        mark = mark * cv2.copyMakeBorder(gain, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
        rms = float(np.sqrt(np.mean(mark**2)))
        if rms > RMS:
            mark *= RMS / rms
        # In whole 64ths of a level, which are resized twice as fast as floats; half a level more, to round.
        fine = np.asarray(mark * (1 << _FRACTION_BITS) + (1 << _FRACTION_BITS - 1), np.int16)
        full = cv2.resize(fine, ((across + 1) * cell, (down + 1) * cell), interpolation=cv2.INTER_CUBIC)
        np.right_shift(full, _FRACTION_BITS, out=full)
        return np.asarray(full[:height, :width], np.int16)

    def _tile(self, detail: Detail, passed: float) -> Floats:
        """Return the tile (TILE, TILE) to add, in levels: what the picture itself lacks of the chips.

        passed: the share of it that readers see. What the picture's own pattern says is made up for (Malvar, 2003).
        """
        own = to_chips(analyse(detail)) * self._chips
        low, high = 0.0, 0.2 * passed
        for _ in range(_STEPS):
            middle = (low + high) / 2
            lacking = np.clip(middle - own, 0, _CAP * middle)
            low, high = (middle, high) if float(lacking @ lacking) < 2 * passed**2 else (low, middle)
        return draw(to_spectrum(self._chips * np.clip(low - own, 0, _CAP * low) / passed))


def _room(cells: Floats) -> Floats:
    """Return the share of the mark that each cell takes: none in pure white or black, which would only turn dirty."""
    return np.asarray(np.clip(np.minimum(cells, 255 - cells) / ROOM, 0, 1), np.float32)


def _gain(detail: Detail) -> Floats:
    """Return the mark's strength in each cell, in levels: more where the picture itself is lively."""
    steepness = (LIVELY - FLAT) / (BUSY - CALM)
    # The least around a cell: beside an edge, flat parts are still flat.
    least = cv2.erode(detail.activity, np.ones((_BESIDE, _BESIDE), np.uint8))
    return np.asarray(np.clip(FLAT + steepness * (least - CALM), FLAT, LIVELY), np.float32)
