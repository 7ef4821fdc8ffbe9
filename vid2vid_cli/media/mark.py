"""Mark what was made as synthetic, where a viewer's own tools show it, and read the mark back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from vid2vid_cli import __version__
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.still import open_still

MARK_PREFIX = "synthetic media"
"""How every mark begins, so that it is told from any other comment."""
SYNTHETIC_MARK = f"{MARK_PREFIX} made with vid2vid {__version__}"

EXIF_DESCRIPTION = 0x010E
_GIF_TRAILER, _GIF_EXTENSION, _GIF_IMAGE, _GIF_COMMENT = 0x3B, 0x21, 0x2C, 0xFE


def read_mark(path: str | Path) -> str | None:
    """Return the mark of a still or a video; None if there is none (other comments are not marks)."""
    path = Path(path)
    require_file(path)
    try:
        with open_still(path) as still:
            comments = _gif_comments(path) if still.format == "GIF" else _still_comments(still)
    except UnidentifiedImageError:
        comments = _video_comments(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read: {error}") from error
    return next((text for text in comments if text.startswith(MARK_PREFIX)), None)


def _still_comments(still: Image.Image) -> list[str]:
    found = [still.info.get("Comment"), still.info.get("comment"), still.getexif().get(EXIF_DESCRIPTION)]
    return [
        text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in found if text
    ]


def _video_comments(path: Path) -> list[str]:
    """Ask ffmpeg for the file's tags, one `key=value` a line, special signs behind a backslash."""
    arguments = ["-v", "error", *file_input(path), "-map", "0:v?", "-c", "copy", "-t", "0"]
    with_tags = run([*arguments, "-f", "ffmetadata", "pipe:1"], f"{path}: cannot be read")
    lines = re.findall(r"(?im)^(?:comment|description)=(.*)$", with_tags)
    return [re.sub(r"\\(.)", r"\1", line) for line in lines]


def add_gif_comment(path: Path, text: str) -> None:
    """Write a comment extension before the trailer, the last byte of a GIF (GIF89a, section 24)."""
    data = text.encode("utf-8")[:255]
    with path.open("r+b") as gif:
        gif.seek(-1, 2)
        if gif.read(1) != bytes([_GIF_TRAILER]):
            raise MediaError(f"{path}: is not a whole GIF")
        gif.seek(-1, 2)
        gif.write(bytes([_GIF_EXTENSION, _GIF_COMMENT, len(data)]) + data + bytes([0, _GIF_TRAILER]))


def _gif_comments(path: Path) -> list[str]:
    with path.open("rb") as gif:
        return list(_walk_gif(gif))


def _walk_gif(gif: BinaryIO) -> Iterator[str]:
    """Step from block to block of a GIF (GIF89a, appendix B) and yield its comments."""
    header = gif.read(13)
    if len(header) == 13:
        gif.seek(_colour_table_bytes(header[10]), 1)
    while kind := gif.read(1):
        if kind[0] == _GIF_EXTENSION:
            label = gif.read(1)
            text = b"".join(_sub_blocks(gif))
            if label == bytes([_GIF_COMMENT]):
                yield text.decode("utf-8", "replace")
        elif kind[0] == _GIF_IMAGE:
            flags = gif.read(9)[8:]
            gif.seek(_colour_table_bytes(flags[0]) if flags else 0, 1)
            gif.seek(1, 1)  # the least code size
            for _ in _sub_blocks(gif):
                pass
        else:
            return


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(gif: BinaryIO) -> Iterator[bytes]:
    while (length := gif.read(1)) not in (b"", b"\0"):
        yield gif.read(length[0])
