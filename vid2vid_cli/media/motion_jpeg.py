"""Tell a row of JPEG pictures in one file, as cameras write it (Motion JPEG), from a single JPEG (ITU-T T.81).

Cameras in a network send such a row in parts with lines of text between them (multipart/x-mixed-replace, RFC 2046).
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

_SOI, _EOI, _SOS, _APP2 = 0xD8, 0xD9, 0xDA, 0xE2
_SIZE = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})  # start of frame
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a segment behind them
_NEXT_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")  # in scanned data: no stuffed zero, no restart
_PART = re.compile(rb"\n\r?\n\xff\xd8\xff")  # an empty line ends the head of a part

Size = tuple[int, int]


def is_motion_jpeg(path: Path) -> bool:
    """Say whether a JPEG is followed at once by another one of its size.

    Phones put more behind a picture: a preview (of another size), a depth or gain map, which the first one announces
    (CIPA DC-007), or a film. Those are stills.
    """
    with path.open("rb") as file:
        if file.read(2) != bytes((0xFF, _SOI)):  # also what is empty, or no file to be mapped
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            first = _walk(data, 0)
            return first is not None and (second := _walk(data, first[1])) is not None and first[0] == second[0]


def count_parts(path: Path) -> int:
    """Count the pictures of a file in parts; 0 if it is none."""
    with path.open("rb") as file:
        if not file.read(4).lstrip(b"\r\n").startswith(b"--"):
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return sum(1 for _ in _PART.finditer(data))


def _walk(data: mmap.mmap, start: int) -> tuple[Size, int] | None:
    """Return the size (height, width) of the JPEG that begins at `start`, and where it ends.

    None if there is none that is whole, or if it announces others itself.
    """
    if data[start : start + 2] != bytes((0xFF, _SOI)):
        return None
    at, size = start + 2, None
    while at + 4 <= len(data) or data[at : at + 2] == bytes((0xFF, _EOI)):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return None
        if marker == 0xFF or marker in _ALONE:  # a byte that fills up, or a marker by itself
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            return None if size is None else (size, at + 2)
        segment = data[at + 4 : at + 9]
        if marker == _APP2 and segment.startswith(b"MPF\0"):
            return None
        if marker in _SIZE:
            size = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return None
            at = found.end() - 2
    return None
