"""The mark that calls an output synthetic: in metadata that viewers show, and read back from there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.provenance import MARK_PREFIX, Provenance
from vid2vid_cli.media.still import open_still

EXIF_DESCRIPTION = 0x010E


class MetadataMark:
    """A seal that writes the mark as comment and as description, since players differ in which one they show."""

    def metadata(self, provenance: Provenance) -> Mapping[str, str]:
        """Return the two tags."""
        return {"comment": provenance.mark, "description": provenance.mark}

    def seal(self, file: Path, provenance: Provenance) -> None:
        """Leave the file as it is: encoders have written the tags.

        Motion files, calls and weights have no place for them.
        """


def read_mark(path: str | Path) -> str | None:
    """Return the mark of a still or a video; None if it has none. Other comments are not marks."""
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
    # Pillow keeps PNG's text as Comment and the comments of JPEG and GIF as comment; WebP has Exif only.
    found = [still.info.get("Comment"), still.info.get("comment"), still.getexif().get(EXIF_DESCRIPTION)]
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in found if text]


def _video_comments(path: Path) -> list[str]:
    """Ask ffmpeg for the file's tags: one `key=value` per line, special characters behind a backslash."""
    # -t 0 copies no packet, so only the header is read, however long the clip.
    arguments = ["-v", "error", *file_input(path), "-map", "0:v?", "-c", "copy", "-t", "0"]
    with_tags = run([*arguments, "-f", "ffmetadata", "pipe:1"], f"{path}: cannot be read")
    lines = re.findall(r"(?im)^(?:comment|description)=(.*)$", with_tags)
    return [re.sub(r"\\(.)", r"\1", line) for line in lines]
