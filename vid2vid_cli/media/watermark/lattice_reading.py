"""Find the watermark of small pictures (see `lattice`) at any offset, and at the scales that they are brought to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.media.watermark import code, trellis
from vid2vid_cli.media.watermark.code import CHIPS, KNOWN_CHIPS, Decoded, Floats, Watermark, known_chips
from vid2vid_cli.media.watermark.lattice import (
    ACROSS,
    BLOCK_PX,
    DOWN,
    LARGEST_PX,
    STEP,
    is_across,
    places,
    shown_in_blocks,
    waves,
)
from vid2vid_cli.media.watermark.trellis import explained, least_explained

SCALES = (1.0, 0.5, 2 / 3, 0.75, 2.0, 1.5, 10 / 9, 0.9)
SMALLEST_PX = 104  # what is left of the smallest picture that is marked when a tenth is cropped from two sides
FALSE_ALARMS = 1e-6  # the probability that a mark is found where there is none, at most
LOOKED_AT = 8  # frames of a film, whose chips are added up
_ROUNDED_PX = range(-2, 4)  # what halving may have taken off or added to make a size whole and even
_PROMISING = 2.0  # standard deviations, of the project's chips
_CLEARLY_EXPLAINED = 0.45  # enough to look no further
_TRIED = 8  # placements, the most likely ones
_CODES = 2
_TRIES_IN_PLACE = 2 + len(_ROUNDED_PX) ** 2
_TRIES = 2 * BLOCK_PX**2 * CHIPS * len(SCALES)

Frames = Sequence[npt.NDArray[np.uint8]]


def read_on_lattice(frames: Frames) -> Watermark | None:
    """Read the watermark of a small picture in the luma (H, W) of it or of frames of a film; None if there is none."""
    return _best(_in_place(frames), _TRIES_IN_PLACE) or _anywhere(frames)


def _best(found: Iterable[tuple[Floats, float]], tries: int) -> Watermark | None:
    """Return what is read in the best of chips (CHIPS,), each with a scale; None where chance may say as much."""
    best: Watermark | None = None
    for chips, scale in found:
        decoded = _decoded(chips)
        needed = least_explained(chips, _CODES * tries, FALSE_ALARMS)
        if decoded.explained >= max(needed, best.explained if best is not None else 0):
            best = Watermark(decoded.number, decoded.explained, scale)
    return best


def _decoded(chips: Floats) -> Decoded:
    """Decode chips (CHIPS,) by that of the codes which explains more."""
    numbers = (trellis.decode(chips), trellis.encode), (code.decode(chips).number, code.encode)
    return max(
        (Decoded(number, explained(chips, encode(number))) for number, encode in numbers), key=lambda d: d.explained
    )


def _in_place(frames: Frames) -> Iterator[tuple[Floats, float]]:
    """Yield chips (CHIPS,) that stand where they were put, with the scale: of frames as they are, and as if halved."""
    height, width = frames[0].shape
    # Encoders spend most on the first frame, and later ones may have lost more than they add.
    if _may_be_marked((width, height)):
        yield _chips_in_place(frames[:1]), 1.0
        yield _chips_in_place(_some(frames)), 1.0
    for down in _ROUNDED_PX:
        for across in _ROUNDED_PX:
            size = 2 * width + across, 2 * height + down
            if _may_be_marked(size):
                chips = _chips_in_place([_resized(frames[0], size)])
                if known_chips() @ chips > _PROMISING * np.sqrt(chips @ chips * KNOWN_CHIPS / CHIPS):
                    yield chips, 0.5


def _may_be_marked(size: tuple[int, int]) -> bool:
    return SMALLEST_PX <= min(size) < LARGEST_PX


def _chips_in_place(frames: Frames) -> Floats:
    height, width = (length // BLOCK_PX * BLOCK_PX for length in frames[0].shape)
    shown = [shown_in_blocks(frame[:height, :width].astype(np.float32)) for frame in frames]
    return _chips(_fold(np.sum(_what_says(np.stack(shown)), 0)), 0, 0)


def _some(frames: Frames) -> Frames:
    return frames[:: -(-len(frames) // LOOKED_AT)]


def _chips(folded: Floats, down: int, across: int) -> Floats:
    """Return the chips (CHIPS,) in a sum of tiles (DOWN, ACROSS) whose first block is at that place."""
    chips = np.zeros(CHIPS, np.float32)
    chips[places()] = np.roll(folded, (-down, -across), (0, 1))
    return chips


def _anywhere(frames: Frames) -> Watermark | None:
    """Look at all offsets and scales."""
    frames = _some(frames)
    height, width = frames[0].shape
    best: Watermark | None = None
    for scale in SCALES:
        size = round(width / scale), round(height / scale)
        if _may_be_marked(size):
            placed = _most_likely(_said([_resized(frame, size) for frame in frames]))
            found = _best(((chips, scale) for chips in placed), _TRIES)
            if found is not None and (best is None or found.explained > best.explained):
                best = found
        if best is not None and best.explained > _CLEARLY_EXPLAINED:
            break
    return best


def _resized(frame: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bring a frame to a size (width, height)."""
    is_larger = size[0] > frame.shape[1]
    flags = cv2.INTER_CUBIC if is_larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(frame, size, interpolation=flags), np.uint8)


def _said(frames: Frames) -> list[Floats]:
    """Return for the wave across and the one down what blocks that begin at each pixel say: sums (H, W) over frames."""
    return [np.sum([_said_of(frame, wave) for frame in frames], 0, np.float32) for wave in waves()]


def _said_of(frame: npt.NDArray[np.uint8], wave: Floats) -> Floats:
    shown = cv2.filter2D(frame, cv2.CV_32F, wave, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    return _what_says(np.asarray(shown, np.float32))


def _what_says(shown: Floats) -> Floats:
    """Return how clearly waves say a chip of 1 (1) or -1 (-1), or neither (0), by how much of them is shown."""
    return np.asarray(np.sin(shown * np.float32(2 * np.pi / STEP)), np.float32)


def _most_likely(said: list[Floats]) -> Iterator[Floats]:
    """Yield the chips (CHIPS,) of the placements that the project's chips speak for most."""
    known = np.conj(np.fft.rfft2(known_chips()[places()]))
    found: list[tuple[float, int, int, Floats]] = []
    for folded in _folds(said):
        match = np.fft.irfft2(np.fft.rfft2(folded) * known, (DOWN, ACROSS))
        spread = float(np.sqrt(np.mean(match**2))) or 1.0
        for place in np.argsort(match.ravel())[-2:]:
            down, across = divmod(int(place), ACROSS)
            found.append((float(match[down, across]) / spread, down, across, folded))
    found.sort(key=lambda each: -each[0])
    for _, down, across, folded in found[:_TRIED]:
        yield _chips(folded, down, across)


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
