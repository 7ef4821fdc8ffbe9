"""Encode the sound of a clip as Opus, or copy it if it is Opus already."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.audio import AudioSource, find_sound
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.ogg import OpusPacket, read_opus

# async: gaps in the sound become silence, so that packets keep their time. Opus in calls has one or two channels.
_ENCODER = [
    "-c:a",
    "libopus",
    "-b:a",
    "32k",
    "-af",
    "aresample=async=1:first_pts=0,aformat=channel_layouts=stereo|mono",
]


def opus_of(
    source: AudioSource, duration_s: Fraction, how: Literal["copy", "opus"], file: Path
) -> Iterator[bytes | OpusPacket] | None:
    """Return the identification header and the packets of a clip's sound; None if it has none.

    how: "copy" raises UsageError unless the sound is Opus already. file: where an Ogg file may be written on the way.
    """
    sound = find_sound(source)
    if sound is None:
        return None
    if how == "copy" and sound.codec != "opus":
        raise UsageError(
            f"--audio copy: the sound of {source.path} is {sound.codec}, and a call carries Opus only; "
            "encode it with --audio opus"
        )
    start_s = source.start_s or 0.0
    length_s = float(duration_s) if source.end_s is None else min(float(duration_s), source.end_s - start_s)
    # A seek to 0 would drop the packets before it, which a decoder needs to warm up.
    times = [*(["-ss", f"{start_s:.6f}"] if start_s > 0 else []), "-t", f"{max(0.0, length_s):.6f}"]
    codec = ["-c:a", "copy"] if how == "copy" else _ENCODER
    arguments = ["-v", "error", *file_input(source.path, *times), "-map", "0:a:0", *codec]
    run([*arguments, "-map_metadata", "-1", "-f", "ogg", f"file:{file}"], f"{source.path}: its sound cannot be read")
    return read_opus(file)
