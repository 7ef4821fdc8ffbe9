"""Write the mark of an animated WebP, for which ffmpeg has no option."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from PIL import Image

from vid2vid_cli.media.mark import EXIF_DESCRIPTION
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.publishing import tags_of

_HEADER_BYTES = 21  # RIFF, size, WEBP, VP8X, size, flags
_HAS_EXIF = 0x08  # among the flags


def describe_webp(bare: Path, described: Path, provenance: Provenance | None) -> None:
    """Copy an animated WebP and add the description of its provenance as Exif (RFC 9649, section 2.7.1.5)."""
    description = tags_of(provenance).get("description", "")
    shutil.copyfile(bare, described)
    if not description:
        return
    exif = Image.Exif()
    exif[EXIF_DESCRIPTION] = description
    if not _is_extended(bare):  # of frames that are all alike the encoder makes a still
        with Image.open(bare) as still:
            still.save(described, "WEBP", quality=95, exif=exif)
        return
    # In a WebP the data begin with the TIFF header itself.
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"EXIF" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    with described.open("r+b") as file:
        head = file.read(_HEADER_BYTES)
        file.seek(4)
        file.write(struct.pack("<I", struct.unpack("<I", head[4:8])[0] + len(chunk)))
        file.seek(_HEADER_BYTES - 1)
        file.write(bytes([head[20] | _HAS_EXIF]))
        file.seek(0, 2)
        file.write(chunk)


def _is_extended(path: Path) -> bool:
    """Say whether a WebP has the header for animations and metadata."""
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)[12:16] == b"VP8X"
