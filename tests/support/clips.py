"""Make small clips whose frames carry their own number, so that a test can tell which frame it got."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vid2vid_cli.media.ffmpeg import executable

Frame = npt.NDArray[np.uint8]

BITS = 10
SIZE = (64, 80)  # (height, width)


def numbered_frame(number: int, size: tuple[int, int] = SIZE) -> Frame:
    """Draw `number` as ten black or white columns on the upper half, over a smooth coloured ground."""
    height, width = size
    ramp = np.linspace(60, 180, width)[None, :].repeat(height, axis=0)
    frame = np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 120)], axis=-1).astype(np.uint8)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit, (left, right) in enumerate(itertools.pairwise(edges)):
        frame[: height // 2, left:right] = 235 if number >> bit & 1 else 16
    return frame


def number_of(frame: Frame) -> int:
    """Read the number back."""
    edges = np.linspace(0, frame.shape[1], BITS + 1).round().astype(int)
    row = frame[frame.shape[0] // 4].mean(axis=-1)
    middles = [int(left + right) // 2 for left, right in itertools.pairwise(edges)]
    return sum(int(row[middle] > 128) << bit for bit, middle in enumerate(middles))


def numbered_frames(count: int, size: tuple[int, int] = SIZE) -> list[Frame]:
    return [numbered_frame(number, size) for number in range(count)]


def ffmpeg(*arguments: str | Path, feed: bytes | None = None) -> bytes:
    """Run ffmpeg, fail loudly; its standard output."""
    command = [executable(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=feed, check=True, capture_output=True).stdout


def make_clip(
    path: Path,
    frames: Sequence[Frame] | int = 25,
    fps: str = "25",
    options: Sequence[str] = ("-c:v", "libx264", "-crf", "16"),
    sound: Sequence[str] | None = None,
) -> Path:
    """Encode frames (or so many numbered ones); `sound` is a source of lavfi and its options."""
    frames = numbered_frames(frames) if isinstance(frames, int) else frames
    height, width = frames[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", fps, "-i", "pipe:0"]
    sounds = [] if sound is None else ["-f", "lavfi", "-i", sound[0], "-map", "0:v", "-map", "1:a", *sound[1:]]
    ffmpeg(*source, *sounds, "-preset", "ultrafast", *options, path, feed=b"".join(map(bytes, frames)))
    return path


def packets(path: Path, stream: str) -> list[tuple[float, float]]:
    """List (time, duration) in seconds of a stream's packets, "v:0" or "a:0"."""
    listing = ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "pipe:1").decode()
    lines = listing.splitlines()
    ticks, per = next(line.split(":")[1] for line in lines if line.startswith("#tb")).split("/")
    tick_s = int(ticks) / int(per)
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    return [(int(row[2]) * tick_s, int(row[3]) * tick_s) for row in rows]


def end_of(path: Path, stream: str) -> float:
    """Tell when a stream ends, in seconds."""
    return max(time_s + duration_s for time_s, duration_s in packets(path, stream))


def decoded(path: Path, size: tuple[int, int], *decoder: str) -> npt.NDArray[np.uint8]:
    """Read a clip of frames of a size back as RGBA, by ffmpeg."""
    raw = ffmpeg(*decoder, "-i", path, "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, *size, 4)


def animation(path: Path) -> npt.NDArray[np.uint8]:
    """Read an animation back as RGBA, by Pillow."""
    with Image.open(path) as opened:
        frames = []
        for number in range(opened.n_frames):  # type: ignore[attr-defined]
            opened.seek(number)
            frames.append(np.array(opened.convert("RGBA")))
    return np.stack(frames)
