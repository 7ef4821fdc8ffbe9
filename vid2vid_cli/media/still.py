"""Open a still with Pillow: known formats only, with a limit of pixels of our own."""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from vid2vid_cli.errors import MediaError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Formats of stills. None of them starts another program, as EPS does, or is a video, as MPEG is."""

# Pillow's limit is a module variable, and two threads may open stills at once.
_opening = threading.Lock()
# Brands of ISO media files (ISO 23008-12): HEIC and AVIF look alike but for these four letters.
_BRANDS = {
    "heic": "HEIC",
    "heix": "HEIC",
    "heim": "HEIC",
    "heis": "HEIC",
    "mif1": "HEIC",
    "avif": "AVIF",
    "avis": "AVIF",
}
_PILLOW_NAMES = {"HEIC": "HEIF", "AVIF": "AVIF"}


def _check_decoder(path: Path) -> None:
    """Raise MediaError for a HEIC or AVIF that Pillow cannot decode. ffmpeg would show one tile of it at best."""
    with path.open("rb") as file:
        head = file.read(64)
    kind = _BRANDS.get(head[8:12].decode("latin-1")) if head[4:8] == b"ftyp" else None
    if kind == "HEIC" and b"avif" in head[16 : int.from_bytes(head[:4], "big")]:  # both may call themselves mif1
        kind = "AVIF"
    if kind == "HEIC" and "HEIF" not in Image.OPEN and find_spec("pillow_heif") is not None:
        import_module("pillow_heif").register_heif_opener()
    if kind is not None and _PILLOW_NAMES[kind] not in Image.OPEN:
        cure = "pip install 'vid2vid[heif]'" if kind == "HEIC" else "install a newer Pillow"
        raise MediaError(f"{path}: is in {kind} format, which this Pillow cannot decode; {cure}, or convert it to PNG")


def open_still(path: Path) -> Image.Image:
    """Read the header of a still. PIL.UnidentifiedImageError if it has none of the known formats.

    Pillow's own limit of pixels is lifted while the header is read: the caller applies ours, and can name it.
    """
    Image.init()
    _check_decoder(path)
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
