"""How a person file is recognised, without the libraries that read it."""

from __future__ import annotations

from pathlib import Path

SUFFIX = ".person"
MARK = "vid2vid_person"  # the entry of the header that makes a safetensors file a person
MAX_HEADER_BYTES = 1 << 20


def is_person_file(path: Path) -> bool:
    """Say whether a file is a person by its header, of whatever schema."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            if head[8:] != b"{" or length > MAX_HEADER_BYTES:
                return False
            return f'"{MARK}"'.encode() in b"{" + file.read(length - 1 if length else 0)
    except (OSError, ValueError):
        return False
