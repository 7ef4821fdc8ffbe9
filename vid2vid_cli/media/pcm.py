"""Sound as numbers at full quality, for cutting: read in blocks, and written without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import AudioSource, decodable_track
from vid2vid_cli.media.ffmpeg import Child, file_input

Pcm = NDArray[np.float32]

RATE = 48000
CHANNELS = 2
BLOCK = RATE // 2
_SAMPLE_BYTES = 4 * CHANNELS


def read_pcm(source: AudioSource, length: int) -> Iterator[Pcm]:
    """Yield exactly `length` samples from `start_s` on, in blocks (N, 2) float32 at 48 kHz.

    They are of the first sound that can be decoded.

    What lies before the beginning of the file, or after its end, is silence. A sound of one channel has both alike.
    """
    start = round((source.start_s or 0.0) * RATE)
    yield from _silence(min(length, max(0, -start)))
    wanted = length - max(0, -start)
    if wanted <= 0:
        return
    # By the samples themselves: a seek lands between packets, and packets are not samples.
    first_s = max(0, start) / RATE
    early_s = max(0.0, first_s - 1.0)
    trim = f"atrim=start_sample={max(0, start) - round(early_s * RATE)}"
    seek = ["-ss", f"{early_s:.6f}"] if early_s else []
    mixed = f"aresample={RATE}:async=1:first_pts=0,aformat=sample_fmts=flt:channel_layouts=stereo,{trim}"
    arguments = ["-v", "error", *file_input(source.path, *seek), "-map", f"0:a:{_number(source)}", "-af", mixed]
    given = 0
    with Child([*arguments, "-f", "f32le", "-ac", "2", "pipe:1"], str(source.path), has_stdout=True) as child:
        while given < wanted and len(block := _read(child, min(BLOCK, wanted - given))):
            given += len(block)
            yield block
    yield from _silence(wanted - given)


def _number(source: AudioSource) -> int:
    track = decodable_track(source.path)
    return track.number if track is not None else 0


def _silence(count: int) -> Iterator[Pcm]:
    while count > 0:
        yield np.zeros((min(BLOCK, count), CHANNELS), np.float32)
        count -= BLOCK


def _read(child: Child, count: int) -> Pcm:
    buffer, filled = bytearray(_SAMPLE_BYTES * count), 0
    view = memoryview(buffer)
    while filled < len(buffer):
        part = child.read_into(view[filled:])
        if not part:
            break
        filled += part
    samples = np.frombuffer(buffer, np.float32, filled // _SAMPLE_BYTES * CHANNELS).reshape(-1, CHANNELS)
    return np.clip(np.nan_to_num(samples), -1, 1)


def write_pcm(blocks: Iterable[Pcm], path: Path) -> None:
    """Write blocks (N, 2) at 48 kHz as FLAC, without loss but for rounding to 24 bits."""
    arguments = ["-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", "pipe:0", "-c:a", "flac"]
    arguments += ["-sample_fmt", "s32", "-bits_per_raw_sample", "24", f"file:{path}"]
    with Child(arguments, f"{path}: cannot be written", has_stdin=True) as child:
        try:
            for block in blocks:
                child.feed(np.ascontiguousarray(block, np.float32).data.cast("B"))
        except OSError as error:
            child.wait()
            raise MediaError(f"{path}: cannot be written: {child.error_line()}") from error
        if child.wait() != 0:
            raise MediaError(f"{path}: cannot be written: {child.error_line()}")
