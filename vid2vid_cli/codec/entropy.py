"""Integers to bytes and back: a range coder whose models follow how large the numbers have been.

docs/bitstream.md, "Numbers to bytes", specifies the arithmetic. All of it is in integers, so that bytes are the same on
every machine. The coder of `constriction` gets probabilities that are multiples of 2^-20, which it does not round.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import CallFileError

Integers = NDArray[np.int64]

LARGEST = 31  # |u| that has a symbol of its own
ESCAPE = 2 * LARGEST + 1
FLOOR = 4  # of a state, in 1/256: no number is ever quite certain
LARGEST_CHANGE = 1 << 20
ESCAPE_BITS = 24
# How fast probability falls from one magnitude to the next in each of the 32 tables, in 1/65536.
RATIOS = (
    *(576, 704, 832, 960, 1152, 1407, 1663, 1918, 2301, 2811, 3319, 3827, 4585, 5591, 6589, 7577),
    *(9041, 10950, 12804, 14598, 17167, 20355, 23268, 25916, 29430, 33373, 36621, 39322, 42590, 45903, 48403, 50350),
)
SLOWEST = 16384  # least ratio after the first magnitude: movement starts suddenly
_THRESHOLDS = np.array([(4 + quarter) << octave for octave in range(27) for quarter in range(4)], np.int64)
_CATEGORICAL: Any = constriction.stream.model.Categorical(perfect=False)
_UNIFORM: Any = constriction.stream.model.Uniform()


def make_frequencies(ratio: int) -> list[int]:
    """Return the frequencies of a table's 64 symbols (0, -1, 1, -2, 2 ... 31, escape), which sum to 2^20."""
    falling, weight = [1 << 20], ratio << 4
    for _ in range(LARGEST):
        falling.append(max(weight, 1))
        weight = weight * max(ratio, SLOWEST) >> 16
    weights = [falling[0]] + [weight for weight in falling[1:] for _ in range(2)] + [1]
    total = sum(weights)
    frequencies = [(weight << 20) // total for weight in weights]
    frequencies[0] += (1 << 20) - sum(frequencies)
    return frequencies


PROBABILITIES = np.array([make_frequencies(ratio) for ratio in RATIOS], np.float64) / (1 << 20)


def choose_models(states: Integers) -> tuple[Integers, Integers]:
    """Return the table of each number, and how many of its low bits are sent as they are. states: (D,), in 1/256."""
    classes = np.searchsorted(_THRESHOLDS, states + FLOOR, "right") - 1
    shifts = np.maximum(classes // 4 - 7, 0)
    return np.where(classes < 32, classes, 28 + classes % 4), shifts


def follow(states: Integers, changes: Integers) -> Integers:
    """Return the states after changes (D,): each moves an eighth of the way to the magnitude of its change."""
    magnitudes = np.minimum(np.abs(changes), LARGEST_CHANGE) << 8
    return states + ((magnitudes - states) >> 3)


def encode_numbers(numbers: Integers, states: Integers, first: int | None = None) -> bytes:
    """Return numbers (D,), each below 2^24 in magnitude, as bytes, under models for `states` (D,).

    first: how many of them come first, as if there were no others: a reader that knows of no others reads those.
    """
    encoder: Any = constriction.stream.queue.RangeEncoder()
    for part in _parts(len(states), first):
        _encode_part(encoder, numbers[part], states[part])
    return _shortest(encoder, numbers, states, first)


def _parts(count: int, first: int | None) -> list[slice]:
    edges = (0, count) if first is None else (0, first, count)
    return [slice(start, stop) for start, stop in pairwise(edges) if stop > start]


def _encode_part(encoder: Any, numbers: Integers, states: Integers) -> None:
    tables, shifts = choose_models(states)
    high = numbers >> shifts
    is_escaped = np.abs(high) > LARGEST
    symbols = np.where(is_escaped, ESCAPE, 2 * np.abs(high) - (high < 0))
    encoder.encode(symbols.astype(np.int32), _CATEGORICAL, PROBABILITIES[tables])
    _put(encoder, (numbers & ((1 << shifts) - 1))[shifts > 0], 1 << shifts[shifts > 0])
    for value in high[is_escaped]:
        beyond = int(abs(value)) - LARGEST
        bits = beyond.bit_length()
        _put(encoder, np.array([bits - 1, int(value < 0)]), np.array([ESCAPE_BITS, 2]))
        if bits > 1:
            _put(encoder, np.array([beyond - (1 << (bits - 1))]), np.array([1 << (bits - 1)]))


def _put(encoder: Any, values: Integers, sizes: Integers) -> None:
    """Encode values, each equally likely among as many as `sizes` says."""
    if len(values):
        encoder.encode(values.astype(np.int32), _UNIFORM, sizes.astype(np.int32))


def _shortest(encoder: Any, numbers: Integers, states: Integers, first: int | None) -> bytes:
    """Return the fewest bytes that decode to the numbers, given that a reader appends zeros."""
    whole: bytes = encoder.get_compressed().astype(">u4").tobytes()
    for length in range(max(0, len(whole) - 8), len(whole)):
        for more in (0, 1):
            value = int.from_bytes(whole[:length], "big") + more
            if value < 1 << (8 * length):
                short = value.to_bytes(length, "big")
                if _reads_as(short, numbers, states, first):
                    return short
    return whole


def _reads_as(data: bytes, numbers: Integers, states: Integers, first: int | None) -> bool:
    try:
        return bool(np.array_equal(decode_numbers(data, states, first), numbers))
    except CallFileError:
        return False


def decode_numbers(data: bytes, states: Integers, first: int | None = None) -> Integers:
    """Return the numbers (D,) in some bytes. CallFileError for bytes that no encoder writes. first: see above."""
    padded = data + bytes(-len(data) % 4)
    decoder: Any = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
    try:
        return np.concatenate([_decode_part(decoder, states[part]) for part in _parts(len(states), first)])
    except AssertionError as error:  # the library raises this for invalid bytes
        raise CallFileError("a packet holds no numbers") from error


def _decode_part(decoder: Any, states: Integers) -> Integers:
    tables, shifts = choose_models(states)
    symbols = decoder.decode(_CATEGORICAL, PROBABILITIES[tables]).astype(np.int64)
    low = np.zeros(len(states), np.int64)
    if (shifts > 0).any():
        low[shifts > 0] = decoder.decode(_UNIFORM, (1 << shifts[shifts > 0]).astype(np.int32))
    high = np.where(symbols % 2 == 1, -(symbols + 1) // 2, symbols // 2)
    for index in np.flatnonzero(symbols == ESCAPE):
        high[index] = _take_escaped(decoder)
    return np.asarray((high << shifts) + low)


def _take_escaped(decoder: Any) -> int:
    bits, is_negative = map(int, decoder.decode(_UNIFORM, np.array([ESCAPE_BITS, 2], np.int32)))
    beyond = 1 << bits
    if bits:
        beyond += int(decoder.decode(_UNIFORM, np.array([1 << bits], np.int32))[0])
    return -(LARGEST + beyond) if is_negative else LARGEST + beyond
