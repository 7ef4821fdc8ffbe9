"""Open a still with Pillow on our own terms: known formats only, our own limit of pixels."""

from __future__ import annotations

import threading
from pathlib import Path

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats of stills; none that runs another program, as EPS does, or that is a video, as MPEG is."""

_opening = threading.Lock()


def open_still(path: Path) -> Image.Image:
    """Read the header of a still; PIL.UnidentifiedImageError if it is none of the known formats.

    Pillow has a limit of pixels of its own, a module variable. It is lifted while the header is read: the
    caller knows the limit that holds, and can name it.
    """
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
