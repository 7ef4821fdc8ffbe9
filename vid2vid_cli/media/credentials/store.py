"""Look at bytes of a manifest store that no hash and no signature covers: padding, box types, labels (ISO 19566-5).

What they hold means nothing, so the library does not look at them. But a file of ours in which one has changed is not
the file that was signed.
"""

from __future__ import annotations

import mmap
import re
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
_PAD = re.compile(rb"\x63pad\x59(..)", re.DOTALL)  # CBOR: the text "pad", and a byte string whose length has 16 bits
_GIF_EXTENSION = b"\x21\xff\x0bC2PA_GIF"
_GIF_VERSION_BYTES = 3


def is_as_written(path: Path) -> bool:
    """Say whether padding and box types in a store of vid2vid are as they were. path: the file, or its sidecar."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        store = _store_in(content)
    descriptions = [found.end() for found in re.finditer(rb"jumd", store)]
    return bool(descriptions) and all(_is_usual(store, begin) for begin in descriptions) and _is_blank(store)


def _store_in(content: mmap.mmap) -> bytes:
    """Return the bytes of the store; empty if it does not begin as it should."""
    extension = content.find(_GIF_EXTENSION) if content[:3] == b"GIF" else -1
    if extension >= 0:
        return _joined(content, extension + len(_GIF_EXTENSION) + _GIF_VERSION_BYTES)
    begin = content.find(_OUTER) - 2 * _BOX_HEADER + 4
    if begin < 0:
        return b""
    return content[begin : begin + int.from_bytes(content[begin : begin + 4], "big")]


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


def _is_blank(store: bytes) -> bool:
    pads = [(found.end(), int.from_bytes(found[1], "big")) for found in _PAD.finditer(store)]
    return bool(pads) and not any(store[begin : begin + length].strip(b"\0") for begin, length in pads)
