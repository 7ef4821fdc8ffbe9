"""The sha256 of files, which identifies checkpoints, inputs and outputs."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as hex digits."""
    digest = hashlib.sha256()
    add_file(digest, path)
    return digest.hexdigest()


def add_file(digest: hashlib._Hash, path: Path) -> None:
    """Add the content of a file to a digest, in pieces, so that any size fits into memory."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
