"""Take Opus sound out of an Ogg file as packets, and put packets back into one (RFC 3533, 6716 and 7845)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vid2vid_cli.errors import MediaError

RATE = 48000
"""Samples per second in which Opus counts time, whatever the rate of the original sound."""
# capture pattern, version, flags, granule position, serial number, page number, checksum, number of segments
_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4
_SERIAL = 0x76327600  # any number will do for a single stream
_TAGS = b"OpusTags" + struct.pack("<I", 7) + b"vid2vid" + struct.pack("<I", 0)
# The bits of every byte in reverse order: see `_checksum`.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MAX_PACKET = 255 * 255 - 1  # bytes that fit into one page


@dataclass(frozen=True)
class OpusPacket:
    """One packet. time, duration: in samples at 48 kHz."""

    time: int
    duration: int
    data: bytes


def packet_duration(data: bytes) -> int:
    """Return the length of an Opus packet in samples at 48 kHz (RFC 6716, 3.1 and 3.2); 0 if it is damaged."""
    if not data:
        return 0
    config, code = data[0] >> 3, data[0] & 3
    # Configurations of SILK, of the hybrid mode, and of CELT: samples per frame.
    if config < 12:
        frame = (480, 960, 1920, 2880)[config % 4]
    elif config < 16:
        frame = (480, 960)[config % 2]
    else:
        frame = (120, 240, 480, 960)[config % 4]
    if code < 3:
        return frame * (1 if code == 0 else 2)
    # Code 3: any number of frames, given by the next byte.
    return frame * (data[1] & 63) if len(data) > 1 else 0


def read_opus(path: Path) -> Iterator[bytes | OpusPacket]:
    """Yield the identification header of an Ogg Opus file, then its packets. MediaError if it is damaged."""
    with path.open("rb") as file:
        time, number = 0, 0
        for granule, packets in _read_pages(file, path):
            # Past the two headers. A sound that begins later than its clip says so on its first page.
            if number >= 2 and not time:
                time = max(0, granule - sum(map(packet_duration, packets)))
            for data in packets:
                number += 1
                if number == 1:
                    yield data
                elif number > 2:
                    yield OpusPacket(time, packet_duration(data), data)
                    time += packet_duration(data)


def _read_pages(file: IO[bytes], path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the time stamp of each page, and the packets that end on it."""
    rest = b""
    while head := file.read(_PAGE.size):
        if len(head) < _PAGE.size or head[:4] != b"OggS":
            raise MediaError(f"{path}: is not a complete Ogg file")
        granule, segments = _PAGE.unpack(head)[3], _PAGE.unpack(head)[7]
        packets = []
        for length in file.read(segments):
            rest += file.read(length)
            if length < 255:  # a packet ends with the first segment that is not full
                packets.append(rest)
                rest = b""
        yield granule, packets


def write_opus(path: Path, description: bytes, packets: Iterable[OpusPacket]) -> None:
    """Write an Ogg Opus file. description: the identification header. Gaps between packets are kept."""
    with path.open("wb") as file:
        file.write(_page(description, 0, 0, _FIRST))
        file.write(_page(_TAGS, 0, 1, 0))
        last: OpusPacket | None = None
        number = 1
        # Each packet is written when the next one is known, since the last page has a flag of its own.
        for number, packet in enumerate(packets, 2):
            if last is not None:
                file.write(_page(last.data, last.time + last.duration, number - 1, 0))
            last = packet
        if last is not None:
            file.write(_page(last.data, last.time + last.duration, number, _LAST))


def _page(data: bytes, granule: int, number: int, flags: int) -> bytes:
    """Return a page that holds one packet."""
    if len(data) > _MAX_PACKET:
        raise MediaError("the sound holds a packet that is not Opus; leave it out with --audio none")
    lacing = bytes([255] * (len(data) // 255) + [len(data) % 255])
    head = _PAGE.pack(b"OggS", 0, flags, granule, _SERIAL, number, 0, len(lacing))
    # The checksum is taken over the page with zeros in its own place.
    check = _checksum(head + lacing + data)
    return head[:22] + check.to_bytes(4, "little") + head[26:] + lacing + data


def _checksum(data: bytes) -> int:
    """Return the CRC of Ogg: that of zlib with all bits reversed, and without the inversion before and after."""
    plain = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{plain:032b}"[::-1], 2)
