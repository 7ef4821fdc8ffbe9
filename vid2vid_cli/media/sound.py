"""Read the sound of a file as numbers, in blocks: one channel at 16 kHz, whatever the file holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import AudioSource, decodable_track, other_track_note, tracks_of
from vid2vid_cli.media.ffmpeg import Child, file_input
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.probe import read_stream

Samples = NDArray[np.float32]

SAMPLE_RATE = 16000
BLOCK = SAMPLE_RATE  # samples: a second
CLIPPED, CLIPPED_SHARE = 0.999, 0.01  # so many samples that are so loud were cut off when it was recorded
MISSING_S = 0.25  # a file whose sound ends so much before its packets do is damaged
# What is nothing but sound, by its first bytes. Other files may hold a film as well, so ffmpeg is asked.
_PLAIN = (b"fLaC", b"ID3", b"#!AMR", b"caff", b".snd", b"wvpk", b"TTA1", b"MAC ")
_RIFF, _AIFF = b"WAVE", (b"AIFF", b"AIFC")
_BOXES = (b"\x1aE\xdf\xa3", b"OggS", b"0&\xb2u")  # Matroska, Ogg, ASF
_STREAM = re.compile(r"Stream #0:\d+\S*: (Video|Audio): .*")
_MPEG_FRAME = 0xFFE0, 0xFFF0  # the first bits of MP3, and of AAC in ADTS


@dataclass(frozen=True)
class SoundInfo:
    """What a file's sound holds. duration_s: to its end, from the beginning of the file."""

    duration_s: float


def holds_sound_alone(path: Path) -> bool:
    """Say whether a file holds sound and no moving picture, by its content. It exists and is not empty."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_PLAIN) or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == _RIFF):
        return True
    if head[:4] == b"FORM" and head[8:12] in _AIFF:
        return True
    first = int.from_bytes(head[:2], "big")
    may_be = head.startswith(_BOXES) or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
    may_be = may_be or any(first & mask == mask for mask in _MPEG_FRAME) or head[:2] == b"\x0bw"  # AC-3
    if not may_be:
        return False
    stat = path.stat()
    kinds = _kinds(path, stat.st_size, stat.st_mtime_ns)
    return "Audio" in kinds and "Video" not in kinds


@lru_cache(maxsize=256)
def _kinds(path: Path, size: int, changed: int) -> frozenset[str]:
    """Return which kinds of streams a file holds. size, changed: so that a file that was replaced is asked again."""
    with Child(["-v", "info", *file_input(path)], str(path)) as child:
        child.wait()  # always fails, since there is no output, but only after it has listed the streams
        log = child.log()
    # Cover art in a music file is a video stream to ffmpeg.
    return frozenset(found[1] for found in _STREAM.finditer(log) if "(attached pic)" not in found[0])


def probe_sound(path: str | Path) -> SoundInfo:
    """Read all packets of the first sound that can be decoded, without decoding them. MediaError if there is none."""
    path = Path(path)
    require_file(path)
    stream = read_stream(path, f"0:a:{_track_number(path)}")
    ends = [pts + duration for pts, duration in zip(stream.packets.pts, stream.packets.durations, strict=True)]
    duration_s = float(max(ends, default=0) * stream.tick_s)
    if duration_s <= 0:
        raise MediaError(_why_no_sound(path, stream.log, stream.reason))
    return SoundInfo(duration_s)


def _track_number(path: Path) -> int:
    """Return the place of the sound that counts among those of a file; 0 for a file that cannot be read, too."""
    try:
        track = decodable_track(path)
    except MediaError:  # whoever reads it says more
        return 0
    return track.number if track is not None else 0


def _why_no_sound(path: Path, log: str, reason: str) -> str:
    if "Stream #0:" in log and ": Audio:" not in log:
        return f"{path}: holds no sound; name a sound, or a film that has one"
    if ": Audio:" in log:
        return f"{path}: its sound is empty or damaged: {reason}; make it again"
    return f"{path}: cannot be read as sound: {reason}; download or make it again"


def read_sound(source: AudioSource, info: SoundInfo, warn: Callable[[str], None]) -> Iterator[Samples]:
    """Yield the sound from `start_s` to `end_s` in blocks of a second at most, (N,) float32 in [-1, 1] at 16 kHz.

    Silence stands where a file has gaps, and for what cannot be decoded at its end, which is warned of: blocks always
    add up to the length that `info` says. All channels are mixed. MediaError if nothing can be decoded.
    """
    start_s = source.start_s or 0.0
    end_s = info.duration_s if source.end_s is None else min(source.end_s, info.duration_s)
    wanted = max(0, round((end_s - start_s) * SAMPLE_RATE))
    seek = ["-ss", f"{start_s:.6f}"] if start_s > 0 else []
    number = _track_number(source.path)
    if number:
        first, *others = tracks_of(source)
        warn(other_track_note(others[number - 1], first.codec))
    mixed = ["-af", f"aresample={SAMPLE_RATE}:async=1:first_pts=0", "-ac", "1", "-f", "f32le", "pipe:1"]
    arguments = ["-v", "error", *file_input(source.path, *seek), "-map", f"0:a:{number}", *mixed]
    given = clipped = 0
    with Child(arguments, str(source.path), has_stdout=True) as child:
        while given < wanted:
            block = _read_block(child, min(BLOCK, wanted - given))
            if not len(block):
                break
            given += len(block)
            clipped += int((np.abs(block) >= CLIPPED).sum())
            yield block
        if not given and wanted:
            raise MediaError(f"{source.path}: its sound cannot be decoded: {child.error_line()}; make it again")
    if wanted - given > MISSING_S * SAMPLE_RATE:
        warn(f"{source.path}: damaged: its sound ends after {given / SAMPLE_RATE:.1f} s; silence follows")
    elif clipped > CLIPPED_SHARE * given:
        warn(f"{source.path}: is clipped, its loud parts are cut off; record it softer for lips that follow exactly")
    while given < wanted:
        block = np.zeros(min(BLOCK, wanted - given), np.float32)
        given += len(block)
        yield block


def _read_block(child: Child, count: int) -> Samples:
    """Return the next `count` samples, fewer at the end. What is no number is silence."""
    buffer, filled = bytearray(4 * count), 0
    view = memoryview(buffer)
    while filled < len(buffer):
        part = child.read_into(view[filled:])
        if not part:
            break
        filled += part
    samples = np.frombuffer(buffer, np.float32, filled // 4)
    return np.clip(np.nan_to_num(samples), -1, 1)
