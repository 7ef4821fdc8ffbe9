"""Mark what was made as synthetic, where a viewer's own tools show it, and read the mark back."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.still import open_still
from vid2vid_cli.version import __version__

MARK_PREFIX = "synthetic media"
"""How every mark begins, so that it is told from any other comment."""
SYNTHETIC_MARK = f"{MARK_PREFIX} made with vid2vid {__version__}"

EXIF_DESCRIPTION = 0x010E


def read_mark(path: str | Path) -> str | None:
    """Return the mark of a still or a video; None if there is none (other comments are not marks)."""
    path = Path(path)
    require_file(path)
    try:
        with open_still(path) as still:
            comments = _still_comments(still)
    except UnidentifiedImageError:
        comments = _video_comments(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read: {error}") from error
    return next((text for text in comments if text.startswith(MARK_PREFIX)), None)


def _still_comments(still: Image.Image) -> list[str]:
    found = [still.info.get("Comment"), still.info.get("comment"), still.getexif().get(EXIF_DESCRIPTION)]
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in found if text]


def _video_comments(path: Path) -> list[str]:
    """Ask ffmpeg for the file's tags, one `key=value` a line, special signs behind a backslash."""
    arguments = ["-v", "error", *file_input(path), "-map", "0:v?", "-c", "copy", "-t", "0"]
    with_tags = run([*arguments, "-f", "ffmetadata", "pipe:1"], f"{path}: cannot be read")
    lines = re.findall(r"(?im)^(?:comment|description)=(.*)$", with_tags)
    return [re.sub(r"\\(.)", r"\1", line) for line in lines]
