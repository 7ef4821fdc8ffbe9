"""Look at bytes that no hash of the library's covers: padding, box types, labels (ISO 19566-5), the kind of an MP4.

What they hold means nothing or little, so the library does not look at them. But a file of ours in which one has
changed is not the file that was signed.
"""

from __future__ import annotations

import mmap
import re
import zlib
from pathlib import Path

_TYPE = b"\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"  # behind the four letters of a box's kind
_OUTER = b"jumdc2pa" + _TYPE
# By kind: the flags of a box, 3 for a label by which it may be asked for and 16 for salt, and how its label begins.
_USUAL = {
    b"c2pa": b"\x03c2pa\0",
    b"c2ma": b"\x03urn:c2pa:",
    b"c2as": b"\x03c2pa.assertions\0",
    b"c2cl": b"\x03c2pa.claim.v2\0",
    b"c2cs": b"\x03c2pa.signature\0",
    b"cbor": b"\x13",
}
_BOX_HEADER = 8
_FILE_TYPE, _LONGEST_FILE_TYPE = b"ftyp", 256
# What stands between the beginning of a box and the store in it.
_MP4_FRAME = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(4) + b"manifest\0" + bytes(8)
_JPEG_SEGMENT, _SEGMENT_HEADER = b"\xff\xeb", 12  # marker, length, "JP", number of the box, number of the segment
_JPEG_BOX = b"JP\x02\x11"
_JPEG_BEGIN, _PNG_BEGIN = b"\xff\xd8", b"\x89PNG"
_PAD = re.compile(rb"\x63pad\x59(..)", re.DOTALL)  # CBOR: the text "pad", and a byte string whose length has 16 bits
_GIF_EXTENSION = b"\x21\xff\x0bC2PA_GIF"
_GIF_VERSION_BYTES = 3


def is_as_written(path: Path) -> bool:
    """Say whether padding, lengths and types of boxes around and in a store of vid2vid are as they were.

    path: the file, or its sidecar.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        store = _store_in(content)
    descriptions = [found.end() for found in re.finditer(rb"jumd", store)]
    are_usual = bool(descriptions) and all(_is_usual(store, begin) for begin in descriptions)
    return are_usual and _is_filled(store, 0, len(store)) and _is_blank(store)


def file_type(path: Path) -> str:
    """Return the first box of an MP4 or MOV, which names its kind (ISO 14496-12), as hex digits; empty elsewhere."""
    with path.open("rb") as file:
        head = file.read(_BOX_HEADER)
        length = int.from_bytes(head[:4], "big")
        if head[4:] != _FILE_TYPE or not _BOX_HEADER <= length <= _LONGEST_FILE_TYPE:
            return ""
        return (head + file.read(length - _BOX_HEADER)).hex()


def _store_in(content: mmap.mmap) -> bytes:
    """Return the bytes of the store; empty if it does not begin as it should."""
    extension = content.find(_GIF_EXTENSION) if content[:3] == b"GIF" else -1
    if extension >= 0:
        return _joined(content, extension + len(_GIF_EXTENSION) + _GIF_VERSION_BYTES)
    begin = content.find(_OUTER) - 2 * _BOX_HEADER + 4
    if begin < 0:
        return b""
    if content[:2] == _JPEG_BEGIN:
        return _joined_segments(content, begin - _SEGMENT_HEADER)
    end = begin + _number(content, begin)
    return content[begin:end] if _is_framed(content, begin, end) else b""


def _joined_segments(content: mmap.mmap, place: int) -> bytes:
    """Join the segments of a JPEG, numbered from 1. Each but the first begins as the store does, once more."""
    parts: list[bytes] = []
    while content[place : place + 2] == _JPEG_SEGMENT:
        number = (len(parts) + 1).to_bytes(4, "big")
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 4 : place + _SEGMENT_HEADER] != _JPEG_BOX + number:
            break
        parts.append(content[place + _SEGMENT_HEADER + (_BOX_HEADER if parts else 0) : end])
        place = end
    return b"".join(parts)


def _is_framed(content: mmap.mmap, begin: int, end: int) -> bool:
    """Say whether what stands around a store in an MP4 or a PNG is what vid2vid writes there."""
    if content[4:8] == _FILE_TYPE:
        box = begin - len(_MP4_FRAME) - _BOX_HEADER
        return content[box + _BOX_HEADER : begin] == _MP4_FRAME and _number(content, box) == end - box
    if content[:4] == _PNG_BEGIN:
        chunk = content[begin - 4 : end]
        return _number(content, begin - 8) == end - begin and _number(content, end) == zlib.crc32(chunk)
    return True


def _number(content: bytes | mmap.mmap, place: int) -> int:
    return int.from_bytes(content[place : place + 4], "big")


def _joined(content: mmap.mmap, place: int) -> bytes:
    """Join the sub-blocks of a GIF: a length, that many bytes, and so on up to a length of 0."""
    parts = []
    while place < len(content) and content[place]:
        parts.append(content[place + 1 : place + 1 + content[place]])
        place += 1 + content[place]
    return b"".join(parts)


def _is_usual(store: bytes, begin: int) -> bool:
    """Say whether a description box has a known type, flags and label. begin: where its type begins."""
    usual = _USUAL.get(store[begin : begin + 4])
    return usual is not None and store[begin + 4 : begin + 16] == _TYPE and store.startswith(usual, begin + 16)


def _is_filled(store: bytes, begin: int, end: int) -> bool:
    """Say whether the boxes of a part of a store fill it, and so on in those that hold others."""
    while begin < end:
        after = begin + _number(store, begin)
        if not begin + _BOX_HEADER <= after <= end:
            return False
        if store[begin + 4 : begin + _BOX_HEADER] == b"jumb" and not _is_filled(store, begin + _BOX_HEADER, after):
            return False
        begin = after
    return begin == end


def _is_blank(store: bytes) -> bool:
    pads = [(found.end(), int.from_bytes(found[1], "big")) for found in _PAD.finditer(store)]
    return bool(pads) and not any(store[begin : begin + length].strip(b"\0") for begin, length in pads)
