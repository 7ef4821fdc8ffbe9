"""Turn 64 bits into chips that survive noise, and back: a biorthogonal code of 6 bits on 32 chips."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

PROJECT = 0x7632  # "v2": the upper 16 of the 64 bits; the same in every watermark of this project
ID_BITS = 48
SYMBOL_BITS, SYMBOL_CHIPS = 6, 32
PROJECT_SYMBOLS, ID_SYMBOLS = 3, 8
SYMBOLS = PROJECT_SYMBOLS + ID_SYMBOLS
CHIPS = SYMBOLS * SYMBOL_CHIPS
KNOWN_CHIPS = PROJECT_SYMBOLS * SYMBOL_CHIPS
_SEED = b"vid2vid watermark 1"


@dataclass(frozen=True)
class Decoded:
    """What chips say. number: the 48 bits behind the project's. explained: their share of the chips' energy, 0 to 1."""

    number: int
    explained: float


@dataclass(frozen=True)
class Watermark:
    """A watermark that was read. number: 48 bits. scale: of the picture since it was marked, as far as that shows."""

    number: int
    explained: float
    scale: float


def bits_of(number: int) -> bytes:
    """Return the 64 bits of a watermark: the project's and those of a number of 48."""
    if not 0 <= number < 1 << ID_BITS:
        raise ValueError(f"a watermark holds {ID_BITS} bits, not {number}")
    return ((PROJECT << ID_BITS) | number).to_bytes(8, "big")


def encode(number: int) -> Floats:
    """Return the chips (CHIPS,) of 1 and -1 of a number of 48 bits."""
    bits = int.from_bytes(bits_of(number), "big")
    # 64 bits fill 66: two zeros above the project's bits.
    symbols = [(bits >> (SYMBOL_BITS * place)) & 63 for place in reversed(range(SYMBOLS))]
    rows = [_hadamard()[symbol & 31] * (1 - 2 * (symbol >> 5)) for symbol in symbols]
    return np.concatenate(rows) * scrambling()


@cache
def known_chips() -> Floats:
    """Return the chips (CHIPS,) that every watermark of the project shares; 0 where they depend on the number."""
    chips = encode(0)
    chips[KNOWN_CHIPS:] = 0
    return chips


def decode(chips: Floats) -> Decoded:
    """Return the most likely number of noisy chips (CHIPS,), and how well it explains them with the project's bits."""
    energy = float(chips @ chips)
    plain = (chips * scrambling()).reshape(SYMBOLS, SYMBOL_CHIPS)
    found = plain @ _hadamard()  # (SYMBOLS, 32): symmetric, so rows and columns are the same
    rows = np.abs(found).argmax(1)
    peaks = found[np.arange(SYMBOLS), rows]
    number = 0
    for row, peak in zip(rows[PROJECT_SYMBOLS:], peaks[PROJECT_SYMBOLS:], strict=True):
        number = number << SYMBOL_BITS | int(row) | (32 if peak < 0 else 0)
    known = max(0.0, float(known_chips() @ chips)) ** 2 / KNOWN_CHIPS
    read = float((peaks[PROJECT_SYMBOLS:] ** 2).sum()) / SYMBOL_CHIPS
    return Decoded(number, (known + read) / energy if energy else 0.0)


@cache
def _hadamard() -> Floats:
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < SYMBOL_CHIPS:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix.astype(np.float32)


@cache
def scrambling() -> Floats:
    """Return a sign for each chip, so that no number gives a regular pattern."""
    return np.array([1 - 2 * (order(index) & 1) for index in range(CHIPS)], np.float32)


def order(index: int) -> int:
    """Return a number that is random but always the same, to shuffle by. No generator promises that over versions."""
    return int.from_bytes(hashlib.sha256(_SEED + index.to_bytes(4, "big")).digest()[:8], "big")
