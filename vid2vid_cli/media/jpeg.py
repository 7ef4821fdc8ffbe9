"""Pictures as the bytes of JPEG files: small, quickly decoded everywhere, and without anything but the picture."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import PersonFileError
from vid2vid_cli.media.files import check_pixels
from vid2vid_cli.person_file import PersonFile, load_person

LARGEST_PX = 4096  # of a side


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """Return a frame (H, W, 3) as the bytes of a JPEG with full colour resolution."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def decode_jpeg(content: bytes) -> Frame:
    """Return the frame (H, W, 3) of a JPEG. ValueError for anything else, and for one that is damaged or too large."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as opened:
            if max(opened.size) > LARGEST_PX:
                raise ValueError(f"{opened.width} by {opened.height} pixels")
            return np.array(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error) as error:
        raise ValueError("a picture that cannot be decoded") from error


def view_picture(person: PersonFile, number: int) -> Frame:
    """Decode a view of a person. PersonFileError, which does not name a file, if it is damaged."""
    try:
        return decode_jpeg(person.views[number].picture)
    except ValueError as error:
        raise PersonFileError(f"damaged person file (view {number}: {error}); make it again") from error


def all_pictures(path: Path) -> list[Frame]:
    """Return the pictures (H, W, 3) of a person file, in its order. PersonFileError if one is damaged."""
    person = load_person(path)
    try:
        return [view_picture(person, number) for number in range(len(person.views))]
    except PersonFileError as error:
        raise PersonFileError(f"{path}: {error}") from error


def read_main_view(path: Path, max_pixels: int) -> Frame:
    """Return the picture (H, W, 3) that stands for the person of a file."""
    person = load_person(path)
    try:
        picture = view_picture(person, person.main)
    except PersonFileError as error:
        raise PersonFileError(f"{path}: {error}") from error
    check_pixels(path, (picture.shape[0], picture.shape[1]), max_pixels)
    return picture
