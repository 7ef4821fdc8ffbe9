"""The pattern of small pictures: one chip in each block of 8 by 8 pixels, as a place between the steps of a lattice.

What a block shows of one slow wave is moved to the nearest place that says its chip (quantisation index modulation,
Chen and Wornell, 2001), so that the picture itself disturbs nothing. Small pictures have too few pixels for a pattern
that is added to what they show.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.media.watermark.code import CHIPS, Floats, order

LARGEST_PX = 400
"""Pictures with a shorter side below this have this pattern, others that of `tile`."""
BLOCK_PX = 8
DOWN, ACROSS = 16, 22  # blocks of a tile, in which each chip stands once
STEP = 50.0  # levels of a wave of length 1: a step of the lattice, between two places that say the same
FLAT, LIVELY = 0.58, 0.72  # how far a block goes of its way: a flat one less, since the mark would show there
CALM, BUSY = 1.0, 3.0  # levels: standard deviation of such blocks
ROOM = 2.0  # levels from white or black at which a pixel takes all of the mark
RMS = 1.215  # levels of a whole mark at most: PSNR 46.2 dB after rounding


@cache
def waves() -> tuple[Floats, Floats]:
    """Return half a wave across a block and one down it (BLOCK_PX, BLOCK_PX), each of length 1. Blocks take turns."""
    phase = np.pi * (np.arange(BLOCK_PX) + 0.5) / BLOCK_PX
    across = np.outer(np.ones(BLOCK_PX), np.cos(phase)).astype(np.float32)
    across /= np.linalg.norm(across)
    return across, np.ascontiguousarray(across.T)


@cache
def places() -> npt.NDArray[np.intp]:
    """Return which chip stands in each block of a tile (DOWN, ACROSS), shuffled."""
    shuffled = sorted(range(CHIPS), key=lambda index: order(CHIPS + index))
    return np.array(shuffled, np.intp).reshape(DOWN, ACROSS)


def is_across(down: int, across: int) -> npt.NDArray[np.bool_]:
    """Return which blocks (down, across) of a picture have the wave across: like the white fields of a chessboard."""
    return np.asarray(np.add.outer(np.arange(down), np.arange(across)) % 2 == 0)


def mark_of(luma: Floats, chips: Floats) -> Floats:
    """Return what is added to the luma (H, W), 0 to 255, of a small picture, in levels, to carry chips (CHIPS,).

    The shorter side holds at least one block.
    """
    height, width = luma.shape
    down, across = height // BLOCK_PX, width // BLOCK_PX
    inner = luma[: down * BLOCK_PX, : across * BLOCK_PX]
    lacking = _lacking(inner, chips) * _gain(inner)
    first = is_across(down, across)
    mark = _drawn(np.where(first, lacking, 0)) + _drawn(np.where(first, 0, lacking).T).T
    mark *= np.clip(np.minimum(inner, 255 - inner) * np.float32(1 / ROOM), 0, 1)  # clean white and black stay clean
    mark *= min(1.0, RMS / max(1e-6, float(np.sqrt(np.vdot(mark, mark) / luma.size))))
    return np.pad(mark, ((0, height - inner.shape[0]), (0, width - inner.shape[1])))


def _lacking(inner: Floats, chips: Floats) -> Floats:
    """Return how far the wave in each block is from where it says its chip, in levels of a wave of length 1."""
    down, across = inner.shape[0] // BLOCK_PX, inner.shape[1] // BLOCK_PX
    shown = shown_in_blocks(inner)
    aim = np.tile(chips[places()], (-(-down // DOWN), -(-across // ACROSS)))[:down, :across] * np.float32(STEP / 4)
    return np.asarray(np.rint((shown - aim) * np.float32(1 / STEP)) * np.float32(STEP) + aim - shown, np.float32)


def shown_in_blocks(inner: Floats) -> Floats:
    """Return how much of its wave each block of a picture of whole blocks shows."""
    down, across = inner.shape[0] // BLOCK_PX, inner.shape[1] // BLOCK_PX
    return np.where(is_across(down, across), _shown(inner), _shown(inner.T).T)


def _shown(pixels: Floats) -> Floats:
    """Return how much of the wave across there is in each block."""
    height, width = pixels.shape
    lines = pixels.reshape(height, width // BLOCK_PX, BLOCK_PX) @ waves()[0][0]
    return np.asarray(lines.reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX).sum(1), np.float32)


def _drawn(strengths: Floats) -> Floats:
    """Draw the wave across in each block, with a strength for each."""
    lines = (strengths[:, :, None] * waves()[0][0]).reshape(len(strengths), -1)
    return np.repeat(lines.astype(np.float32), BLOCK_PX, 0)


def _gain(inner: Floats) -> Floats:
    """Return how far each block goes of its way."""
    size = inner.shape[1] // BLOCK_PX, inner.shape[0] // BLOCK_PX
    means = cv2.resize(inner, size, interpolation=cv2.INTER_AREA)
    squares = cv2.resize(inner * inner, size, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(squares - means * means, 0))
    return np.interp(deviation, (CALM, BUSY), (FLAT, LIVELY)).astype(np.float32)
