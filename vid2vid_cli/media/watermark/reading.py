"""Find a watermark in a picture: at any offset, and at the scales that pictures are usually brought to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.media.watermark.code import Decoded, Floats, Watermark, decode, known_chips
from vid2vid_cli.media.watermark.lattice_reading import read_on_lattice
from vid2vid_cli.media.watermark.tile import (
    TILE,
    Complex,
    analyse,
    cell_size,
    detail_of,
    rings,
    to_chips,
    to_spectrum,
    waves,
)

SCALES = (1.0, 0.5, 2 / 3, 0.75, 2.0, 1.5, 10 / 9, 0.9, 1 / 3, 0.25)
EXPLAINED = 0.33  # of the chips' energy, at least: see docs/provenance.md
_LEAST_WEIGHT = 0.15
_LEAST_STRENGTH = 1e-9  # of a wave: nothing
_LEAST_TILE = 0.6  # of a tile must be in a picture
TRIED = 6  # offsets, the most likely ones


def read_watermark(luma: Floats, frames: Sequence[npt.NDArray[np.uint8]] = ()) -> Watermark | None:
    """Find the watermark in the luma (H, W), 0 to 255, of a picture, or in the mean of a film's frames.

    frames: the luma of these frames, which small films are read from; none for a picture.
    """
    small = read_on_lattice(frames or [np.asarray(np.rint(luma), np.uint8)])
    if small is not None:
        return small
    best = find_best(luma)
    return best if best is not None and best.explained >= EXPLAINED else None


def find_best(luma: Floats) -> Watermark | None:
    """Return what looks most like the watermark of a picture that is not small, whether it is one or not."""
    best: Watermark | None = None
    for scale, cell in _cell_sizes((luma.shape[0], luma.shape[1])):
        for decoded in _at_cell_size(luma, cell):
            if best is None or decoded.explained > best.explained:
                best = Watermark(decoded.number, decoded.explained, scale)
        if best is not None and best.explained > 1.3 * EXPLAINED:
            break
    return best


def _cell_sizes(size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Yield the scales to try, each with the size in pixels that a cell would have."""
    seen: set[int] = set()
    for scale in SCALES:
        for before in (1, 1 / 0.9, 1 / 0.8):  # a picture that was cropped may have had larger cells
            marked = min(size) / scale * before
            cell = scale * cell_size((round(marked), round(marked)))
            if cell >= 1 and round(cell * 500) not in seen and min(size) >= TILE * cell * _LEAST_TILE:
                seen.add(round(cell * 500))
                yield scale, cell


def _at_cell_size(luma: Floats, cell: float) -> Iterator[Decoded]:
    """Yield what the most likely offsets give."""
    found: list[tuple[float, int, int, Complex]] = []
    for top in (0.0, cell / 2):
        for left in (0.0, cell / 2):
            spectrum = _limited(analyse(detail_of(_cells(luma, cell, top, left))))
            match = np.fft.irfft2(spectrum * np.conj(to_spectrum(known_chips())), (TILE, TILE))
            spread = float(np.sqrt(np.mean(match**2))) or 1.0
            for place in np.argsort(match.ravel())[-2:]:
                down, across = divmod(int(place), TILE)
                found.append((float(match[down, across]) / spread, down, across, spectrum))
    found.sort(key=lambda each: -each[0])
    for _, down, across, spectrum in found[:TRIED]:
        yield decode(_weighed(to_chips(spectrum * _shift(down, across))))


def _limited(spectrum: Complex) -> Complex:
    """Hold down the waves of a half spectrum that stand out in their ring: they are the picture's own.

    A sheet that shows a face again and again has such waves, which would drown all others.
    """
    limited = np.zeros_like(spectrum)
    values, ring = spectrum[waves()], rings()[::2]  # two chips to a wave
    strengths = np.abs(values)
    usual = np.array([np.median(strengths[ring == each]) for each in range(int(ring.max()) + 1)])[ring]
    limited[waves()] = values * np.minimum(1, usual / np.maximum(strengths, _LEAST_STRENGTH))
    return limited


def _weighed(chips: Floats) -> Floats:
    """Weigh chips (CHIPS,) by how well those that are known arrive: what encoders leave depends on a wave's length."""
    weighed = np.zeros_like(chips)
    for ring in range(int(rings().max()) + 1):
        among = rings() == ring
        spread = float(np.sqrt(np.mean(chips[among] ** 2))) or 1.0
        arrived = float(np.sum(chips[among] * known_chips()[among])) / float(np.abs(known_chips()[among]).sum())
        weighed[among] = chips[among] / spread * np.clip(arrived / spread, _LEAST_WEIGHT, 1)
    return weighed


def _shift(down: int, across: int) -> Complex:
    """Return the factors of a half spectrum that move a tile up and to the left."""
    rows = np.exp(2j * np.pi * down * np.arange(TILE) / TILE)
    columns = np.exp(2j * np.pi * across * np.arange(TILE // 2 + 1) / TILE)
    return np.asarray(np.outer(rows, columns), np.complex64)


def _cells(luma: Floats, cell: float, top: float, left: float) -> Floats:
    """Return the means of the cells (h, w) that begin at an offset in pixels."""
    height, width = luma.shape
    down, across = int((height - top) / cell), int((width - left) / cell)
    if top == left == 0 and float(cell).is_integer():
        whole = luma[: int(down * cell), : int(across * cell)]
        return np.asarray(cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA), np.float32)
    # Whole cells of fractions of pixels: first a picture with four samples a cell, then their means.
    matrix = np.array([[cell / 4, 0, left + cell / 8 - 0.5], [0, cell / 4, top + cell / 8 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(luma, matrix, (across * 4, down * 4), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(fine, (across, down), interpolation=cv2.INTER_AREA), np.float32)
