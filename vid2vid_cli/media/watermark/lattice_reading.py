"""Find the watermark of small pictures (see `lattice`) at any offset, and at the scales that they are brought to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.media.watermark.code import CHIPS, Decoded, Floats, Watermark, decode, known_chips
from vid2vid_cli.media.watermark.lattice import (
    ACROSS,
    BLOCK_PX,
    DOWN,
    LARGEST_PX,
    STEP,
    is_across,
    places,
    waves,
)

SCALES = (1.0, 0.5, 2 / 3, 0.75, 2.0, 1.5, 10 / 9, 0.9)
SMALLEST_PX = 104  # what is left of the smallest picture that is marked when a tenth is cropped from two sides
EXPLAINED = 0.335  # of the chips' energy, at least: see docs/provenance.md
EXPLAINED_IN_PLACE = 0.28  # the same where it was put: there is but one such place, so that chance explains less
LOOKED_AT = 8  # frames of a film, whose chips are added up
_TRIED = 8  # placements, the most likely ones


def read_on_lattice(frames: Sequence[npt.NDArray[np.uint8]]) -> Watermark | None:
    """Read the watermark of a small picture in the luma (H, W) of it or of frames of a film; None if there is none."""
    if SMALLEST_PX <= min(frames[0].shape) < LARGEST_PX:
        # Encoders spend most on the first frame, and later ones may have lost more than they add.
        in_place = max(map(_in_place, (frames[:1], _some(frames))), key=lambda decoded: decoded.explained)
        if in_place.explained >= EXPLAINED_IN_PLACE:
            return Watermark(in_place.number, in_place.explained, 1.0)
    best = find_on_lattice(frames)
    return best if best is not None and best.explained >= EXPLAINED else None


def _in_place(frames: Sequence[npt.NDArray[np.uint8]]) -> Decoded:
    """Decode what stands where it was put, in frames that were neither cropped nor scaled."""
    return decode(_chips(next(_folds(_said(frames))), 0, 0))


def _some(frames: Sequence[npt.NDArray[np.uint8]]) -> Sequence[npt.NDArray[np.uint8]]:
    return frames[:: -(-len(frames) // LOOKED_AT)]


def _chips(folded: Floats, down: int, across: int) -> Floats:
    """Return the chips (CHIPS,) in a sum of tiles (DOWN, ACROSS) whose first block is at that place."""
    chips = np.zeros(CHIPS, np.float32)
    chips[places()] = np.roll(folded, (-down, -across), (0, 1))
    return chips


def find_on_lattice(frames: Sequence[npt.NDArray[np.uint8]]) -> Watermark | None:
    """Return what looks most like the watermark of a small picture, in the luma (H, W) of it or of frames of a film.

    None if they have no size that a small picture could have been brought to.
    """
    frames = _some(frames)
    height, width = frames[0].shape
    best: Watermark | None = None
    for scale in SCALES:
        size = round(width / scale), round(height / scale)
        if not SMALLEST_PX <= min(size) < LARGEST_PX:
            continue
        as_marked = [_resized(frame, size) for frame in frames]
        for decoded in _decoded(_said(as_marked), is_untouched=scale == 1):
            if best is None or decoded.explained > best.explained:
                best = Watermark(decoded.number, decoded.explained, scale)
        if best is not None and best.explained > 1.3 * EXPLAINED:
            break
    return best


def _resized(frame: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bring a frame to a size (width, height)."""
    is_larger = size[0] > frame.shape[1]
    flags = cv2.INTER_CUBIC if is_larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(frame, size, interpolation=flags), np.uint8)


def _said(frames: Sequence[npt.NDArray[np.uint8]]) -> list[Floats]:
    """Return for the wave across and the one down what blocks that begin at each pixel say: sums (H, W) over frames."""
    return [np.sum([_said_of(frame, wave) for frame in frames], 0, np.float32) for wave in waves()]


def _said_of(frame: npt.NDArray[np.uint8], wave: Floats) -> Floats:
    shown = cv2.filter2D(frame, cv2.CV_32F, wave, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(np.sin(shown * np.float32(2 * np.pi / STEP)), np.float32)


def _decoded(said: list[Floats], *, is_untouched: bool) -> Iterator[Decoded]:
    """Yield what the most likely placements give, and that of a picture that was neither cropped nor scaled."""
    known = np.conj(np.fft.rfft2(known_chips()[places()]))
    found: list[tuple[float, int, int, Floats]] = []
    for folded in _folds(said):
        match = np.fft.irfft2(np.fft.rfft2(folded) * known, (DOWN, ACROSS))
        spread = float(np.sqrt(np.mean(match**2))) or 1.0
        if is_untouched and not found:
            found.append((float("inf"), 0, 0, folded))
        for place in np.argsort(match.ravel())[-2:]:
            down, across = divmod(int(place), ACROSS)
            found.append((float(match[down, across]) / spread, down, across, folded))
    found.sort(key=lambda each: -each[0])
    for _, down, across, folded in found[:_TRIED]:
        yield decode(_chips(folded, down, across))


def _folds(said: list[Floats]) -> Iterator[Floats]:
    """Yield the sums of all tiles (DOWN, ACROSS) for each offset of the blocks, and for either colour of the first."""
    height, width = said[0].shape
    for top in range(BLOCK_PX):
        for left in range(BLOCK_PX):
            down, across = (height - top) // BLOCK_PX, (width - left) // BLOCK_PX
            inner = np.s_[top : top + down * BLOCK_PX : BLOCK_PX, left : left + across * BLOCK_PX : BLOCK_PX]
            first = is_across(down, across)
            yield _fold(np.where(first, said[0][inner], said[1][inner]))
            yield _fold(np.where(first, said[1][inner], said[0][inner]))


def _fold(chips: Floats) -> Floats:
    down, across = chips.shape
    whole = np.zeros((-(-down // DOWN) * DOWN, -(-across // ACROSS) * ACROSS), np.float32)
    whole[:down, :across] = chips
    return np.asarray(whole.reshape(-1, DOWN, whole.shape[1] // ACROSS, ACROSS).sum((0, 2)), np.float32)
