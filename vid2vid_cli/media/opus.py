"""Encode the sound of a clip as Opus, or copy it if it is Opus already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.audio import AudioSource, SoundTarget, find_sound, tracks_of, write_sound
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


_OGG = ("-f", "ogg")
_COPIED = SoundTarget(frozenset({"opus"}), (), _OGG)
_ENCODED = SoundTarget(frozenset(), (_ENCODER,), _OGG)


@dataclass(frozen=True)
class OpusRequest:
    """What is asked for. how: "copy" raises UsageError unless the sound is Opus already.

    warn: told if another sound than the first is taken. lose: told if none can be used.
    """

    duration_s: Fraction
    how: Literal["copy", "opus"]
    warn: Callable[[str], None]
    lose: Callable[[str], None]


def opus_of(source: AudioSource, request: OpusRequest, file: Path) -> Iterator[bytes | OpusPacket] | None:
    """Return the identification header and the packets of a clip's sound; None if it has none.

    file: where an Ogg file may be written on the way.
    """
    tracks = tracks_of(source)
    if not tracks:
        return None
    if request.how == "copy" and all(track.codec != "opus" for track in tracks):
        raise UsageError(
            f"--audio copy: the sound of {source.path} is {tracks[0].codec}, and a call carries Opus only; "
            "encode it with --audio opus"
        )
    sound = find_sound(tracks, _COPIED if request.how == "copy" else _ENCODED, request.warn)
    if sound is None:
        request.lose(f"{source.path}: its sound ({tracks[0].codec}) cannot be decoded; it is left out")
        return None
    write_sound(sound, request.duration_s, _OGG, file)
    return read_opus(file)
