"""A second reader of calls, written from docs/bitstream.md alone: it imports nothing of the package. It is slow."""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAGIC = bytes.fromhex("8F5632560D0A1A0A")
MARK = bytes.fromhex("9E563256")
RATIOS = (
    *(576, 704, 832, 960, 1152, 1407, 1663, 1918, 2301, 2811, 3319, 3827, 4585, 5591, 6589, 7577),
    *(9041, 10950, 12804, 14598, 17167, 20355, 23268, 25916, 29430, 33373, 36621, 39322, 42590, 45903, 48403, 50350),
)
M64 = (1 << 64) - 1


def u(data: bytes) -> int:
    return int.from_bytes(data, "little")


class Cursor:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise EOFError
        self.at += count
        return part

    def u(self, count: int) -> int:
        return u(self.take(count))

    def number(self) -> int:
        value = 0
        for index in range(6):
            byte = self.u(1)
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                return value
        raise ValueError("a number of more than six bytes")


def table(ratio: int) -> list[int]:
    """Return L_0 ... L_64."""
    weights = [1 << 20] + [0] * 62 + [1]
    w = 16 * ratio
    for k in range(1, 32):
        weights[2 * k - 1] = weights[2 * k] = max(w, 1)
        w = (w * max(ratio, 16384)) >> 16
    total = sum(weights)
    frequencies = [(weight << 20) // total for weight in weights]
    frequencies[0] += (1 << 20) - sum(frequencies)
    limits, below = [], 0
    for symbol, frequency in enumerate(frequencies):
        limits.append(below * ((1 << 24) - 64) // (1 << 20) + symbol)
        below += frequency
    return [*limits, 1 << 24]


TABLES = [table(ratio) for ratio in RATIOS]


class RangeDecoder:
    def __init__(self, payload: bytes) -> None:
        self.payload, self.word_at = payload, 0
        self.low, self.range = 0, M64
        self.point = (self.word() << 32) | self.word()

    def word(self) -> int:
        part = self.payload[self.word_at : self.word_at + 4]
        self.word_at += 4
        return int.from_bytes(part + bytes(4 - len(part)), "big")

    def place(self) -> int:
        x = ((self.point - self.low) & M64) // (self.range >> 24)
        if x >= 1 << 24:
            raise ValueError("damaged payload")
        return x

    def narrow(self, begin: int, end: int) -> None:
        scale = self.range >> 24
        self.low = (self.low + scale * begin) & M64
        self.range = scale * (end - begin)
        if self.range < 1 << 32:
            self.low = (self.low << 32) & M64
            self.range <<= 32
            self.point = ((self.point << 32) | self.word()) & M64

    def symbol(self, limits: list[int]) -> int:
        x = self.place()
        s = next(s for s in range(64) if limits[s] <= x < limits[s + 1])
        self.narrow(limits[s], limits[s + 1])
        return s

    def even(self, n: int) -> int:
        share = (1 << 24) // n
        x = min(self.place() // share, n - 1)
        self.narrow(x * share, 1 << 24 if x == n - 1 else (x + 1) * share)
        return x


def read_integers(payload: bytes, states: list[int], beside: list[int] | None = None) -> list[int]:
    """Beside: the states of more integers, which follow."""
    decoder = RangeDecoder(payload)
    return read_part(decoder, states) + read_part(decoder, beside or [])


def read_part(decoder: RangeDecoder, states: list[int]) -> list[int]:
    shifts, symbols = [], []
    for state in states:
        v = state + 4
        o = v.bit_length() - 3
        kind = 4 * o + ((v >> o) & 3)
        shifts.append(0 if kind < 32 else kind // 4 - 7)
        symbols.append(decoder.symbol(TABLES[kind if kind < 32 else 28 + kind % 4]))
    lows = [decoder.even(1 << shift) if shift else 0 for shift in shifts]
    values = []
    for symbol, shift, low in zip(symbols, shifts, lows, strict=True):
        if symbol == 63:
            bits = decoder.even(24)
            sign = -1 if decoder.even(2) else 1
            beyond = (1 << bits) + (decoder.even(1 << bits) if bits else 0)
            high = sign * (31 + beyond)
        else:
            high = -(symbol + 1) // 2 if symbol % 2 else symbol // 2
        values.append((high << shift) + low)
    return values


@dataclass(frozen=True)
class Patch:
    frame: int
    place: tuple[int, ...]
    motion: list[int]
    picture: bytes


@dataclass
class Stream:
    version: int = 0
    family: str = ""
    checkpoint: bytes = b""
    basis: bytes = b""
    fps: Fraction = Fraction(0)
    size: tuple[int, int] = (0, 0)
    keypoints: int = 0
    expressions: int = 0
    extra: tuple[int, ...] = ()
    records: list[tuple[int, int, int]] = field(default_factory=list)
    pieces: dict[int, bytes] = field(default_factory=dict)
    reference: list[int] | None = None
    frames: list[tuple[str, list[int] | None]] = field(default_factory=list)
    sound: bytes | None = None
    audio: list[tuple[int, bytes]] = field(default_factory=list)
    total: int | None = None
    beside_basis: bytes = b""
    beside: list[tuple[int, int, int]] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)

    @property
    def picture(self) -> bytes:
        return b"".join(self.pieces[index] for index in sorted(self.pieces))

    def numbers(self, integers: list[int]) -> list[Fraction]:
        return [Fraction(k * step, 1 << 24) for k, (step, _, _) in zip(integers, self.all_records, strict=True)]

    @property
    def all_records(self) -> list[tuple[int, int, int]]:
        return self.records + self.beside

    def integers(self, payload: bytes) -> list[int]:
        """Those of K, R and V."""
        return read_integers(payload, *([key for _, key, _ in part] for part in (self.records, self.beside)))


def read_head(stream: Stream, cursor: Cursor) -> int:
    """Read the header into `stream`; returns its check."""
    assert cursor.take(8) == MAGIC
    stream.version, length = cursor.u(2), cursor.u(2)
    assert stream.version == 1
    stream.family = cursor.take(cursor.u(1)).decode("ascii")
    stream.checkpoint, stream.basis = cursor.take(32), cursor.take(8)
    stream.fps = Fraction(cursor.u(4), cursor.u(4))
    stream.size = cursor.u(2), cursor.u(2)
    stream.keypoints, stream.expressions = cursor.u(2), cursor.u(2)
    stream.extra = tuple([cursor.u(2) for _ in range(cursor.u(1))])
    extras = 1 if stream.extra else 0
    for side in stream.extra:
        extras *= side
    stream.records = [(cursor.u(4), cursor.u(4), cursor.u(4)) for _ in range(7 + stream.expressions + extras)]
    assert cursor.at == 12 + length
    seed = zlib.crc32(cursor.data[: cursor.at])
    assert cursor.u(4) == seed
    return seed


def read_patch(stream: Stream, time: int, payload: bytes) -> Patch:
    cursor = Cursor(payload)
    place = tuple(cursor.u(2) for _ in range(4))
    assert place[2] and place[3]
    motion = cursor.take(cursor.number())
    assert cursor.at < len(payload)
    return Patch(time, place, stream.integers(motion), payload[cursor.at :])


def read_stream(data: bytes, *, knows_beside: bool = True) -> Stream:
    """Read a whole stream without damage; anything wrong is an error. knows_beside: as the first readers did not."""
    stream, cursor = Stream(), Cursor(data)
    seed = read_head(stream, cursor)
    states: list[int] = []
    last: list[int] = []
    while cursor.at < len(data):
        marked = data[cursor.at : cursor.at + 4] == MARK
        cursor.take(4 if marked else 0)
        begin = cursor.at
        kind, length, time = chr(cursor.u(1)), cursor.number(), cursor.number()
        payload = cursor.take(length)
        assert length <= 8191 and marked == (kind in "PRKSEBV")
        assert zlib.crc32(data[begin : cursor.at], seed) == cursor.u(4)
        if kind == "P":
            index, count = u(payload[:2]), u(payload[2:4])
            assert index < count
            stream.pieces[index] = payload[4:]
        elif kind == "R":
            stream.reference = stream.integers(payload)
        elif kind == "B" and knows_beside:
            assert not stream.beside and not stream.frames and len(payload) % 12 == 8
            stream.beside_basis, rest = payload[:8], Cursor(payload, 8)
            stream.beside = [(rest.u(4), rest.u(4), rest.u(4)) for _ in range(len(payload) // 12)]
        elif kind == "V" and knows_beside:
            stream.patches.append(read_patch(stream, time, payload))
        elif kind == "S":
            stream.sound = payload
        elif kind == "A":
            stream.audio.append((time, payload))
        elif kind == "E":
            stream.total = time
        elif kind in "KDH":
            assert time == len(stream.frames)
            if kind == "K":
                last = stream.integers(payload)
                states = [delta for _, _, delta in stream.all_records]
            elif kind == "D":
                changes = read_integers(payload, states[: len(stream.records)], states[len(stream.records) :])
                last = [k + r for k, r in zip(last, changes, strict=True)]
                states = [s + ((256 * min(abs(r), 1 << 20) - s) >> 3) for s, r in zip(states, changes, strict=True)]
                assert all(abs(k) <= 1 << 22 for k in last)
            else:
                assert not payload
            stream.frames.append((kind, None if kind == "H" else last))
    return stream


def basis_name(components: bytes, weights: bytes) -> bytes:
    return hashlib.sha256(components + weights).digest()[:8]


def turn(axis: int, angle: float) -> Floats:
    """Return Rx, Ry or Rz: of the two other axes, in a circle, it turns the first to the second."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[second, first], matrix[first, second] = math.sin(angle), -math.sin(angle)
    return matrix


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a frame mean: R (3, 3), t (3,), a scale, and offsets of the canonical points (K, 3)."""

    rotation: Floats
    translation: Floats
    scale: float
    offsets: Floats


def meaning(numbers: list[Fraction], components: NDArray[np.float32]) -> Meaning:
    """components: B, (C, K, 3)."""
    x = [float(number) for number in numbers]
    rotation = turn(2, x[2]) @ turn(1, -x[0]) @ turn(0, -x[1])
    offsets = np.einsum("c,cpa->pa", np.array(x[7 : 7 + len(components)]), components.astype(np.float64))
    return Meaning(rotation, np.array(x[3:6]), math.exp(x[6]), offsets)
