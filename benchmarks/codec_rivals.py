"""Other ways to transmit a head: video codecs, and other codings of the same numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.codec_material import SIDE, Clip, feed_ffmpeg
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.video import Frame, read_video

FIELD_SCALE = 256  # the GFVC recipe: differences times this, rounded


@dataclass(frozen=True)
class Setting:
    """A setting of an encoder. side: the picture is shrunk to it before encoding, and enlarged again afterwards."""

    codec: str
    side: int
    crf: int


ENCODERS = {
    "H.264 veryslow": ["-c:v", "libx264", "-preset", "veryslow"],
    "H.264 zerolatency": ["-c:v", "libx264", "-preset", "medium", "-tune", "zerolatency"],
    "H.265 slow": ["-c:v", "libx265", "-preset", "slow", "-x265-params", "log-level=error"],
}
# (side, crf): from full size at a common quality, down to what a few hundred bit/s can carry.
POINTS = ((512, 36), (512, 46), (256, 40), (256, 51), (128, 40), (128, 51), (64, 48))
SETTINGS = [Setting(codec, side, crf) for codec, (side, crf) in product(ENCODERS, POINTS)]


def encode_video(clip: Clip, setting: Setting, folder: Path) -> tuple[list[int], list[Frame]]:
    """Encode a clip. Returns the bytes of its frames in the order they are sent, and what a receiver sees.

    Only the first frame is a key frame.
    """
    film = folder / "film.mkv"
    shrink = ["-vf", f"scale={setting.side}:{setting.side}:flags=area,format=yuv420p"]
    endless = ["-g", "9999", "-sc_threshold", "0"]
    options = [*shrink, *ENCODERS[setting.codec], "-crf", str(setting.crf), *endless]
    feed_ffmpeg(clip.frames, clip.fps, options, film)
    listing = run(["-v", "error", *file_input(film), "-c", "copy", "-f", "framecrc", "pipe:1"], str(film))
    sizes = [int(line.split(",")[4]) for line in listing.splitlines() if not line.startswith("#")]
    return sizes, [resize_frame(frame, (SIDE, SIDE)) for frame in read_video(film)]


def float16_bytes(space: MotionSpace) -> float:
    """Return the bytes of a frame whose numbers are sent uncompressed, in half precision."""
    return 2.0 * space.count


def zstd_bytes(integers: NDArray[np.int64]) -> dict[str, float]:
    """Return the bytes a frame of zstd -19 over the differences of integers (T, D), as one file and as packets.

    Packets: the stream is flushed after each frame, so that it can be sent. The window is kept.
    """
    import zstandard

    changes = np.diff(integers, axis=0, prepend=0).astype("<i2")
    whole = len(zstandard.ZstdCompressor(level=19).compress(changes.T.tobytes()))
    stream = zstandard.ZstdCompressor(level=19).compressobj()
    packets = sum(
        len(stream.compress(row.tobytes())) + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)) for row in changes
    )
    sizes = {"zstd -19, the whole file": whole, "zstd -19, one packet per frame": packets}
    return {name: size / len(integers) for name, size in sizes.items()}


class AdaptiveBits:
    """Count the bits of an ideal adaptive binary arithmetic coder, with a probability for each context from counts."""

    def __init__(self) -> None:
        self._counts: dict[object, list[float]] = defaultdict(lambda: [0.4, 0.4])  # of zeros and ones so far
        self.bits = 0.0

    def code(self, bit: int, context: object) -> None:
        """Add the cost of one bit."""
        counts = self._counts[context]
        self.bits -= math.log2(counts[bit] / sum(counts))
        counts[bit] += 1


def field_bytes(numbers: Numbers, rotations: NDArray[np.float64]) -> float:
    """Return the bytes per frame of the public reference recipe (GFVC, arXiv 2410.15105) over the same motion.

    Rotations are matrices (T, 3, 3), the other numbers (T, D) stay as they are. Closed-loop differences are scaled by
    256, rounded, zig-zag and exp-Golomb coded, and the bits go through an adaptive binary arithmetic coder.
    """
    values = np.concatenate([rotations.reshape(len(rotations), 9), numbers[:, 3:]], 1)
    integers = np.rint(values * FIELD_SCALE).astype(np.int64)  # equals rounded closed-loop differences
    coder = AdaptiveBits()
    for changes in np.diff(integers, axis=0, prepend=0):
        for index, change in enumerate(changes.tolist()):
            code = (2 * change - 1 if change > 0 else -2 * change) + 1
            length = code.bit_length() - 1
            kind = "R" if index < 9 else "t" if index < 13 else "e"
            for k in range(length):
                coder.code(1, (kind, "prefix", k))
            coder.code(0, (kind, "prefix", length))
            for k in reversed(range(length)):
                coder.code(code >> k & 1, (kind, "suffix", k))
    return coder.bits / 8 / len(values)
