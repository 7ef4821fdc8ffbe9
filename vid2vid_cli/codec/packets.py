"""Packets, which follow a stream's header one after the other, each with its checksum."""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

SYNC = b"\x9eV2V"
"""Precedes the packets at which a reader can start."""
LONGEST_PAYLOAD = 8191
CHECK_BYTES = 4
LONGEST_NUMBER = 6
LONGEST_PACKET = len(SYNC) + 1 + 2 * LONGEST_NUMBER + LONGEST_PAYLOAD + CHECK_BYTES


class Kind(enum.IntEnum):
    """The types of packets, by their byte."""

    PICTURE = ord("P")
    REFERENCE = ord("R")
    KEY = ord("K")
    DELTA = ord("D")
    HOLD = ord("H")
    SOUND = ord("S")
    AUDIO = ord("A")
    END = ord("E")
    BESIDE = ord("B")
    PATCH = ord("V")


SYNCHRONISED = frozenset(
    {Kind.PICTURE, Kind.REFERENCE, Kind.KEY, Kind.SOUND, Kind.END, Kind.BESIDE, Kind.PATCH},
)
FRAMES = frozenset({Kind.KEY, Kind.DELTA, Kind.HOLD})
_KINDS = frozenset(range(0x41, 0x5B))  # A to Z: readers skip those they do not know


@dataclass(frozen=True)
class Packet:
    """One packet. kind: its byte. time: the number of its frame, for AUDIO the number of its first sample at 48 kHz."""

    kind: int
    time: int
    payload: bytes

    def write(self, seed: int) -> bytes:
        """Return the bytes. seed: the checksum of the stream's header, so that streams cannot be mixed."""
        if len(self.payload) > LONGEST_PAYLOAD:
            raise ValueError(f"a payload of {len(self.payload)} bytes does not fit into a packet")
        body = bytes([self.kind]) + write_number(len(self.payload)) + write_number(self.time) + self.payload
        mark = SYNC if self.kind in SYNCHRONISED else b""
        return mark + body + zlib.crc32(body, seed).to_bytes(CHECK_BYTES, "little")


@dataclass(frozen=True)
class Damage:
    """Bytes of a stream that are not a packet. start, stop: where they are."""

    start: int
    stop: int


class Bytes(Protocol):
    """What a stream is read from: bytes, or a file mapped into memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...
    def find(self, part: bytes, start: int, /) -> int:
        """Return where a part first begins at or after `start`, or -1."""
        ...


def write_number(value: int) -> bytes:
    """Return a number from 0 up as 7 bits a byte, lowest first; the top bit says that more follow."""
    out = bytearray()  # LEB128
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read such a number of at most six bytes. Returns it and where it ends; ValueError if there is none."""
    value = 0
    for index, byte in enumerate(data[at : at + LONGEST_NUMBER]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("no number")


def read_packets(data: Bytes, start: int, seed: int) -> Iterator[tuple[Packet | Damage, int]]:
    """Yield the packets of a stream and the damage between them, each with where it ends.

    After a damaged packet, the next one is looked for where the length of the damaged one says, else at the next SYNC.
    Nothing is read past the end of the data, and every byte only a few times.
    """
    at = start
    while at < len(data):
        packet, end = _read_one(data, at, seed)
        if packet is None:
            begin, at = at, _find_next(data, at, end, seed)
            yield Damage(begin, at), at
        else:
            at = end
            yield packet, at


def _find_next(data: Bytes, at: int, claimed_end: int, seed: int) -> int:
    """Return where the next whole packet may begin after damage at `at`."""
    # Often only the payload is damaged, and its length still holds.
    if claimed_end > at and claimed_end < len(data) and _read_one(data, claimed_end, seed)[0] is not None:
        return claimed_end
    # A payload may contain these bytes by chance: only a packet with a valid checksum ends the search.
    found = data.find(SYNC, at + 1)
    while found >= 0:
        if _read_one(data, found, seed)[0] is not None:
            return found
        found = data.find(SYNC, found + 1)
    return len(data)


def _read_one(data: Bytes, at: int, seed: int) -> tuple[Packet | None, int]:
    """Read the packet at a place and return where it ends.

    Where there is none, None and the end that its length claims, or 0 if it claims none.
    """
    at += len(SYNC) if data[at : at + len(SYNC)] == SYNC else 0
    head = data[at : at + 16]  # kind, length and time take at most 13 bytes
    try:
        length, time_at = read_number(head, 1)
        time, payload_at = read_number(head, time_at)
    except ValueError:
        return None, 0
    end = at + payload_at + length + CHECK_BYTES
    if not head or head[0] not in _KINDS or length > LONGEST_PAYLOAD:
        return None, 0
    body = data[at : end - CHECK_BYTES]
    if end > len(data) or zlib.crc32(body, seed).to_bytes(CHECK_BYTES, "little") != data[end - CHECK_BYTES : end]:
        return None, end
    return Packet(head[0], time, body[payload_at:]), end
