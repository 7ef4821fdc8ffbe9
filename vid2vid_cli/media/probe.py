"""Find out what a media file holds: its kind by content, its size, exact rate and number of frames."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import UnidentifiedImageError

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import Child, file_input, has_demuxer
from vid2vid_cli.media.files import MAX_PIXELS, check_pixels, require_file
from vid2vid_cli.media.motion_jpeg import is_motion_jpeg
from vid2vid_cli.media.rate import Stamps, measure_rate
from vid2vid_cli.media.still import open_still
from vid2vid_cli.person_mark import is_person_file

# Patterns in ffmpeg's log; a colour description may itself hold parentheses.
_STREAM = re.compile(r"Stream #0:(\d+)\S*: (Video|Audio): (\w+)")
_PICTURE = re.compile(r", (?P<format>\w+)(?:\((?P<colour>(?:[^()]|\([^()]*\))*)\))?, (?P<width>\d+)x(?P<height>\d+)")
_MATRICES = {"bt709", "smpte170m", "bt470bg", "fcc", "smpte240m", "bt2020nc", "bt2020c", "gbr", "ycgco"}
_NO_TIME = -(1 << 63)  # ffmpeg's AV_NOPTS_VALUE
_NEVER_SHOWN = 0x2 | 0x4  # flags of a packet: corrupt, and decoded only because others need it


@dataclass(frozen=True)
class VideoInfo:
    """What a clip holds. Sizes are in pixels, upright, after the rotation that the file asks for."""

    height: int
    width: int
    fps: Fraction
    """Exact frames per second; for a clip of variable rate, the rate at which `read_video` resamples it."""
    frame_count: int
    """Frames in the file. `frames_to_read` says how many of them `read_video` yields for given options."""
    has_audio: bool
    rotation: int
    """Degrees by which the stored picture has to be turned clockwise: 0, 90, 180 or 270."""
    duration_s: float
    is_constant_rate: bool
    start_s: float = 0.0
    """When the first frame is shown, on the file's own clock. The sound may begin earlier."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel divided by its height. Frames are never rescaled for it."""
    video_codec: str = ""
    audio_codec: str | None = None
    pixel_format: str = ""
    colour_matrix: str | None = None
    """The colour matrix that the file names (bt709, smpte170m, ...); None if it names none."""
    hdr: Literal["PQ", "HLG"] | None = None
    """The transfer function of HDR video; None for all others."""
    is_interlaced: bool = False
    has_hidden_alpha: bool = False
    """Whether transparency lies beside the picture, where ffmpeg's own decoders do not look (VP8, VP9)."""

    @property
    def size(self) -> tuple[int, int]:
        """The upright size (height, width) in pixels."""
        return self.height, self.width


def probe_video(path: str | Path, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Read all packets of the first video stream without decoding them, and describe the clip.

    ffmpeg's log rounds its numbers, so rate and count come from the packets' own time stamps.
    """
    path = Path(path)
    require_file(path)
    stream = read_stream(path, "0:V:0")
    if not stream.packets:
        raise MediaError(_why_no_video(path, stream.log, stream.reason))
    info = _describe(stream.log.split("Stream mapping:")[0], _stamps(stream.packets, stream.tick_s))
    check_pixels(path, info.size, max_pixels)
    return info


@dataclass(frozen=True)
class Packets:
    """Starts and durations of all packets that are shown, in ticks. A packet takes 16 bytes, in clips of any length."""

    pts: array[int] = field(default_factory=lambda: array("q"))
    durations: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.pts)

    def append(self, pts: int, duration: int) -> None:
        """Add a packet."""
        self.pts.append(pts)
        self.durations.append(duration)


@dataclass(frozen=True)
class CodedStream:
    """A stream as it lies in a file. packets: in ticks of tick_s. log: ffmpeg's. reason: its last informative line."""

    tick_s: Fraction
    packets: Packets
    log: str
    reason: str


def read_stream(path: Path, which: str) -> CodedStream:
    """Read all packets of a stream without decoding them. which: as ffmpeg's -map names it, such as 0:a:0."""
    arguments = [*file_input(path), "-map", which, "-c", "copy", "-f", "framecrc", "pipe:1"]
    with Child(arguments, str(path), has_stdout=True) as child:
        tick_s, packets = _read_packets(child)
        if child.wait() < 0:
            raise MediaError(f"{path}: reading broke off: {child.error_line()}; run it again")
        return CodedStream(tick_s, packets, child.log(), child.error_line())


def _read_packets(child: Child) -> tuple[Fraction, Packets]:
    """Parse lines of `stream, dts, pts, duration, size, checksum[, flags]`; keep the packets that are shown."""
    tick_s, packets = Fraction(1), Packets()
    for line in _lines(child):
        if line.startswith("#tb 0:"):
            tick_s = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            packet = _parse_packet(line)
            if packet is not None:
                packets.append(*packet)
    return tick_s, packets


def _lines(child: Child) -> Iterator[str]:
    rest = b""
    for part in child.output():
        # The last piece may be half a line.
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode("ascii", "replace") for line in lines)
    if rest:
        yield rest.decode("ascii", "replace")


def _parse_packet(line: str) -> tuple[int, int] | None:
    words = [word.strip() for word in line.split(",")]
    try:
        dts, pts, duration = (int(word) for word in words[1:4])
        flags = next((int(word[2:], 16) for word in words[6:] if word.startswith("F=")), 0)
    except ValueError:  # not a line of a packet
        return None
    if flags & _NEVER_SHOWN:
        return None
    return (dts if pts == _NO_TIME else pts), duration


def _stamps(packets: Packets, tick_s: Fraction) -> Stamps:
    pts = np.array(packets.pts, dtype=np.int64)
    if (pts == _NO_TIME).any():  # a bare stream has no clock: count by the durations
        pts = np.arange(len(packets), dtype=np.int64) * max(1, packets.durations[0])
    # Packets come in the order of decoding; the last one shown is another.
    last = packets.durations[int(pts.argmax())]
    return Stamps(np.sort(pts), tick_s, max(0, last))


def _why_no_video(path: Path, log: str, reason: str) -> str:
    with path.open("rb") as file:
        if file.read(12)[8:] == b"WEBP" and not has_demuxer("webp_anim"):
            return f"{path}: this ffmpeg reads no animated WebP; pip install -U imageio-ffmpeg, or convert it to GIF"
    streams = [found for found in map(_STREAM.search, log.splitlines()) if found]
    if any(stream[2] == "Audio" for stream in streams):
        return f"{path}: holds sound but no moving picture; name a video"
    return f"{path}: cannot be read as a video: {reason}; download or make it again"


def _describe(log: str, stamps: Stamps) -> VideoInfo:
    video, audio_codec = _find_streams(log)
    head = video.splitlines()[0]
    picture = _PICTURE.search(head)
    if picture is None:
        raise MediaError(f"ffmpeg cannot tell the size of the picture: {head.strip()}")
    rotation = _rotation(video)
    height, width = int(picture["height"]), int(picture["width"])
    if rotation in (90, 270):
        height, width = width, height
    rate = measure_rate(stamps, _rate_hints(head))
    aspect = re.search(r"SAR (\d+):(\d+)", head)
    codec = _STREAM.search(head)
    return VideoInfo(
        height=height,
        width=width,
        fps=rate.fps,
        frame_count=len(stamps.ticks),
        has_audio=audio_codec is not None,
        rotation=rotation,
        duration_s=float(stamps.duration_s) or float(1 / rate.fps),
        is_constant_rate=rate.is_constant,
        start_s=float(int(stamps.ticks[0]) * stamps.tick_s),
        pixel_aspect=_aspect(aspect, is_rotated=rotation in (90, 270)),
        video_codec=codec[3] if codec else "",
        audio_codec=audio_codec,
        pixel_format=picture["format"],
        colour_matrix=_colour_matrix(picture["colour"] or ""),
        hdr=_hdr(picture["colour"] or ""),
        has_hidden_alpha=bool(re.search(r"(?im)^\s*alpha_mode\s*: 1\s*$", video)),
        is_interlaced=bool(re.search(r"(top|bottom)( coded)? first", picture["colour"] or "")),
    )


def _rate_hints(head: str) -> list[float]:
    """Read the rounded rates in the log. A GIF states none, and ffmpeg's guess for it is bad."""
    if "Video: gif" in head:
        return []
    return [float(rate) for rate in re.findall(r" ([\d.]+) (?:tbr|fps)", head)][::-1]


def _find_streams(log: str) -> tuple[str, str | None]:
    """Return the log's block about the first real video stream, and the codec of the first sound."""
    blocks = [block for block in re.split(r"(?m)^(?= *Stream #)", log) if _STREAM.match(block.strip())]
    # Cover art in a music file is a video stream to ffmpeg.
    video = next((b for b in blocks if ": Video: " in b.splitlines()[0] and "(attached pic)" not in b), "")
    sounds = [found for found in map(_STREAM.search, blocks) if found and found[2] == "Audio"]
    if not video:
        raise MediaError("ffmpeg lists no video stream")
    return video, (sounds[0][3] if sounds else None)


def _rotation(block: str) -> int:
    """Return the clockwise rotation from the log, where ffmpeg counts counter-clockwise."""
    found = re.search(r"rotation of (-?[\d.]+) degrees", block)
    return -round(float(found[1])) % 360 if found else 0


def _aspect(found: re.Match[str] | None, *, is_rotated: bool) -> Fraction:
    # Some files state 0:1, which means unknown.
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        return Fraction(1)
    aspect = Fraction(int(found[1]), int(found[2]))
    return 1 / aspect if is_rotated else aspect


def _colour_matrix(colour: str) -> str | None:
    """Find the colour matrix in text like `tv, bt709, progressive` or `pc, bt470bg/unknown/unknown`."""
    for word in (part.strip() for part in colour.split(",")):
        matrix = word.split("/")[0]
        if matrix in _MATRICES:
            return matrix
    return None


def _hdr(colour: str) -> Literal["PQ", "HLG"] | None:
    if "smpte2084" in colour:
        return "PQ"
    return "HLG" if "arib-std-b67" in colour else None


def sniff(path: str | Path) -> Literal["still", "video"]:
    """Tell a still from a video by content, never by name.

    An animated GIF, PNG or WebP is a video, and so are several JPEGs in one file. A person file counts as a still: it
    has a view that stands for the person, which `media.image.read_image` reads.
    Whatever is not a still is taken for a video without a closer look: `probe_video` finds out whether it is one.
    """
    path = Path(path)
    require_file(path)
    if is_person_file(path):
        return "still"
    try:
        with open_still(path) as opened:
            moves = opened.format in {"GIF", "PNG", "WEBP", "AVIF"} and getattr(opened, "is_animated", False)
            return "video" if moves or (opened.format == "JPEG" and is_motion_jpeg(path)) else "still"
    except UnidentifiedImageError:
        return "video"
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read: {error}; download or make it again") from error
