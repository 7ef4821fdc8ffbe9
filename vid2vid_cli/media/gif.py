"""Make a GIF from a video in two passes: one palette for all frames, and no frames held in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import each_frame_once, file_input, run
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.publishing import tags_of

_HEADER_BYTES = 13  # signature and logical screen descriptor


def make_gif(video: Path, gif: Path, provenance: Provenance | None, output: Path, *, has_alpha: bool = False) -> None:
    """Turn `video` into a GIF with a palette of its own, and the comment of its provenance.

    output: the final name of the GIF, for messages. has_alpha: whether pixels may be transparent; in a GIF they are
    wholly so, from half on. Intermediate files stay beside `gif`, in its scratch folder.
    """
    palette, bare = gif.with_name("palette.png"), gif.with_name("bare.gif")
    failure = f"{output}: cannot be written"
    source = ["-v", "error", *file_input(video)]
    make_palette = ["-vf", f"palettegen=reserve_transparent={int(has_alpha)}", "-frames:v", "1", "-update", "1"]
    run([*source, *make_palette, f"file:{palette}"], failure)
    # Ordered dithering stays in place from frame to frame. Error diffusion flickers and takes longer.
    use = [
        "-i",
        f"file:{palette}",
        "-filter_complex",
        "[0:v][1:v]paletteuse=dither=bayer:bayer_scale=4:alpha_threshold=128",
    ]
    run([*source, *use, *each_frame_once(), "-f", "gif", f"file:{bare}"], failure)
    try:
        _copy_with_comment(bare, gif, tags_of(provenance).get("comment", ""))
    except OSError as error:
        raise MediaError(f"{failure}: {error.strerror or error}") from error


def _copy_with_comment(bare: Path, gif: Path, comment: str) -> None:
    """Insert a comment extension after the header and its colour table (GIF89a, sections 17 to 19 and 24)."""
    data = comment.encode("utf-8")[:255]  # one sub-block holds no more
    with bare.open("rb") as source, gif.open("xb") as target:
        header = source.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            raise OSError(f"ffmpeg wrote only {len(header)} bytes")
        # The lowest three bits of the flags give the size of the colour table, the highest says whether there is one.
        flags = header[10]
        table = source.read(3 * 2 ** ((flags & 7) + 1)) if flags & 0x80 else b""
        target.write(header + table)
        if data:
            target.write(b"\x21\xfe" + bytes([len(data)]) + data + b"\0")
        shutil.copyfileobj(source, target, 1 << 20)
