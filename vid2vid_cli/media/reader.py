"""Read videos frame by frame, in upright RGB."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.colour import WHITE, Colour
from vid2vid_cli.media.ffmpeg import Child, each_frame_once, file_input, has_decoder, has_filter
from vid2vid_cli.media.motion_jpeg import count_parts
from vid2vid_cli.media.probe import VideoInfo, probe_video

HD_HEIGHT_PX = 720
"""From this height on, a video that names no colour matrix is taken for bt709, as players do."""

# HDR to ordinary video: to linear light with white at 100 cd/m2, into the range of the screen, and back to bt709.
_TONE_MAP = (
    "zscale=transfer=linear:npl=100,format=gbrpf32le,zscale=primaries=bt709,tonemap=hable:desat=0,"
    "zscale=transfer=bt709:matrix=bt709:range=tv,format=yuv444p"
)

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

FEW = 0.001  # of the pixels: a frame with fewer transparent ones is taken for opaque

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """Which part of a clip to read, and how. Times are seconds on the file's clock; the end is excluded."""

    start_s: float | None = None
    end_s: float | None = None
    fps: Fraction | None = None
    """Resample to this rate by time stamps, repeating and dropping frames. None keeps every frame."""
    background: Colour | None = WHITE
    """What shows through transparent parts of a clip. None: frames of clips that may have some keep their alpha."""
    warn: Callable[[str], None] = log.warning
    """Called with one line about a file that ends early or is damaged."""

    def __post_init__(self) -> None:
        start_s, end_s = self.start_s or 0.0, self.end_s
        if start_s < 0 or (end_s is not None and end_s <= start_s):
            raise ValueError(f"no time between start_s={self.start_s} and end_s={self.end_s}")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"fps must be positive, not {self.fps}")
        if self.background is not None and not all(0 <= part <= 255 for part in self.background):
            raise ValueError(f"background must be three numbers from 0 to 255, not {self.background}")


def frames_to_read(info: VideoInfo, options: ReadOptions | None = None) -> int:
    """Return how many frames `read_video` yields: exact for a constant rate without `fps`, else within one."""
    options = options or ReadOptions()
    if info.is_constant_rate and options.fps is None:
        first, last = frame_range(info, options)
        return last - first
    start_s = max(options.start_s or 0.0, info.start_s)
    end_s = info.start_s + info.duration_s
    if options.end_s is not None:
        end_s = min(end_s, options.end_s)
    return max(0, round((end_s - start_s) * (options.fps or info.fps)))


def read_video(
    path: str | Path, options: ReadOptions | None = None, info: VideoInfo | None = None
) -> Generator[Frame, None, None]:
    """Yield the frames (H, W, 3) of a video, upright, uint8 RGB, each a new array; see ReadOptions.background.

    A clip of constant rate yields exactly its frames. One of variable rate is resampled to `info.fps`.
    A damaged file yields what can be decoded, then calls `options.warn`; MediaError if that is nothing.
    Closing the generator kills the decoder. info: spares probing a file that has been probed already.
    """
    path, options = Path(path), options or ReadOptions()
    info = info or probe_video(path)
    if info.hdr is not None:
        how = "its colours are mapped to an ordinary screen" if _is_tone_mapped(info) else "its colours will look pale"
        options.warn(f"{path}: is HDR video ({info.hdr}); {how}")
    if info.has_hidden_alpha and not _is_hidden_alpha_read(info):
        options.warn(f"{path}: its transparency is not shown, since this ffmpeg has no decoder for it")
    with Child(_decode_arguments(path, info, options), str(path), has_stdout=True) as child:
        count = 0
        for frame in _cut_frames(child, info, options.background):
            count += 1
            yield frame
        status, reason = child.wait(), child.log().strip() and child.error_line()
    # Killed by the system, perhaps because memory ran out: the file itself is not damaged.
    if status < 0:
        raise MediaError(f"{path}: reading broke off after {count} frames: {reason or _killed(status)}; run it again")
    if count == 0:
        raise MediaError(f"{path}: {_why_no_frame(info, options, reason)}")
    if status != 0 or (reason and not _is_end_of_parts(path, info, reason)):
        options.warn(f"{path}: is damaged, {count} frames could be read: {reason}")


def _is_end_of_parts(path: Path, info: VideoInfo, reason: str) -> bool:
    """Say whether ffmpeg only met the line that ends pictures in parts, behind which it looks for one more."""
    return reason.startswith("Error during demuxing") and 0 < count_parts(path) <= info.frame_count + 1


def _killed(status: int) -> str:
    return f"ffmpeg was killed by signal {-status}"


def _why_no_frame(info: VideoInfo, options: ReadOptions, reason: str) -> str:
    if not reason and frames_to_read(info, options) == 0:
        end_s = info.start_s + info.duration_s
        return f"no frame in the requested time; the video lasts from {info.start_s:.3f} to {end_s:.3f} s"
    return f"no frame can be decoded: {reason or 'ffmpeg gave none'}"


def frame_range(info: VideoInfo, options: ReadOptions) -> tuple[int, int]:
    """Return the numbers of the first frame in the requested time, and of the first one after it."""

    def index(time_s: float) -> int:
        # With a tolerance of a thousandth of a frame: 0.3333 s means frame 10 at 30 fps, as 1/3 does.
        return math.ceil((time_s - info.start_s) * info.fps - 1e-3)

    first = max(0, index(options.start_s)) if options.start_s is not None else 0
    last = min(info.frame_count, index(options.end_s)) if options.end_s is not None else info.frame_count
    return first, max(first, last)


def _time_arguments(info: VideoInfo, options: ReadOptions) -> list[str]:
    """Return ffmpeg's options that cut the clip: halfway between two evenly spaced frames, so that rounding is safe."""
    start_s, end_s = options.start_s, options.end_s
    if info.is_constant_rate:
        first, last = frame_range(info, options)
        start_s = info.start_s + (first - 0.5) / float(info.fps) if first > 0 else None
        end_s = info.start_s + (last - 0.5) / float(info.fps) if end_s is not None else None
    arguments = [] if start_s is None else ["-ss", f"{max(0.0, start_s):.6f}"]
    # ffmpeg refuses an end of 0, which a cut before the first frame would have.
    return arguments if end_s is None else [*arguments, "-to", f"{max(0.000001, end_s):.6f}"]


def _decode_arguments(path: Path, info: VideoInfo, options: ReadOptions) -> list[str]:
    fps = options.fps or (None if info.is_constant_rate else info.fps)
    filters = ["bwdif=mode=send_frame:deint=interlaced"] if info.is_interlaced else []
    filters += [] if fps is None else [f"fps={fps.numerator}/{fps.denominator}"]
    filters += [_TONE_MAP] if _is_tone_mapped(info) else []
    # The size is the clip's own, but named: a stream may change its size midway, and the pipe must not.
    flags = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    filters.append(f"scale={info.width}:{info.height}:{flags}{_input_matrix(info)}")
    return [
        "-v",
        "error",
        *file_input(path, *_decoder_arguments(info), *_time_arguments(info, options)),
        *["-map", "0:V:0", "-vf", ",".join(filters)],
        *[
            *each_frame_once(),
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgba" if _may_be_transparent(info) else "rgb24",
            "pipe:1",
        ],
    ]


def _decoder_arguments(info: VideoInfo) -> list[str]:
    """Choose the decoder that sees transparency which ffmpeg's own one drops."""
    return ["-c:v", _ALPHA_DECODERS[info.video_codec]] if _is_hidden_alpha_read(info) else []


def _is_hidden_alpha_read(info: VideoInfo) -> bool:
    return info.has_hidden_alpha and has_decoder(_ALPHA_DECODERS.get(info.video_codec, ""))


def _is_tone_mapped(info: VideoInfo) -> bool:
    return info.hdr is not None and has_filter("zscale") and has_filter("tonemap")


def _input_matrix(info: VideoInfo) -> str:
    is_untagged_hd = info.colour_matrix is None and info.height >= HD_HEIGHT_PX
    return ":in_color_matrix=bt709" if is_untagged_hd and info.pixel_format.startswith("yuv") else ""


def _may_be_transparent(info: VideoInfo) -> bool:
    """Say whether frames may have transparent pixels."""
    return _is_hidden_alpha_read(info) or info.pixel_format.startswith(
        ("bgra", "rgba", "argb", "abgr", "pal8", "ya", "yuva", "gbrap")
    )


def shows_through(path: str | Path, info: VideoInfo) -> bool:
    """Say whether the first frame of a video shows what lies behind it in more than a few places."""
    if not _may_be_transparent(info):
        return False
    frames = read_video(path, ReadOptions(background=None, warn=lambda _line: None), info)
    with contextlib.closing(frames):
        return bool((next(frames)[..., 3] < 128).mean() > FEW)


def _cut_frames(child: Child, info: VideoInfo, background: Colour | None) -> Iterator[Frame]:
    channels = 4 if _may_be_transparent(info) else 3
    while True:
        # A new array for each frame: the last one may still be in use in another thread.
        frame: Frame = np.empty((info.height, info.width, channels), np.uint8)
        if not _fill(child, frame.data.cast("B")):
            return
        yield frame if channels == 3 or background is None else lay_over(background, frame)


def _fill(child: Child, buffer: memoryview) -> bool:
    """Fill `buffer` from the child without a copy. Return False if the stream ends first."""
    filled = 0
    while filled < len(buffer):
        count = child.read_into(buffer[filled:])
        if not count:
            return False
        filled += count
    return True


def lay_over(background: Colour, frame: npt.NDArray[np.uint8]) -> Frame:
    """Lay RGBA (H, W, 4) over a colour and return (H, W, 3). The alpha is straight, not multiplied in."""
    colour, alpha = frame[..., :3], frame[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    # Integers, rounded by the + 127, so that every machine gets the same bytes.
    mixed = colour.astype(np.uint16) * alpha + np.array(background, np.uint16) * (255 - alpha.astype(np.uint16))
    return ((mixed + 127) // 255).astype(np.uint8)
