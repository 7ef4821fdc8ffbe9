"""Choose ffmpeg's options for an output: container, codec, colours, tags."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.ffmpeg import each_frame_once
from vid2vid_cli.media.files import names_folder
from vid2vid_cli.media.provenance import MARKED, Provenance
from vid2vid_cli.media.publishing import tags_of
from vid2vid_cli.media.suffixes import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from vid2vid_cli.near_names import nearest_name

log = logging.getLogger(__name__)
_CODEC_NAMES = {
    "h264": "libx264",
    "avc": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "av1": "libsvtav1",
    "prores": "prores_ks",
}


@dataclass(frozen=True)
class Container:
    """A kind of file: ffmpeg's name for it, its video codec, the sounds that it can hold, what other sounds become.

    alpha_codec: the video codec that holds transparency in it; None where there is none that players know.
    """

    muxer: str
    codec: str
    copied_sounds: frozenset[str] = frozenset()
    sound_encoder: str = "aac"
    arguments: tuple[str, ...] = ()
    alpha_codec: str | None = None

    @property
    def is_animation(self) -> bool:
        """Whether it is a picture that moves: without sound, and with nothing to choose about its encoding."""
        return self.muxer in {"gif", "webp"}


_MP4_SOUNDS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
# The index goes to the front, so that a browser can play the file while it still loads.
_FAST_START = ("-movflags", "+faststart")
CONTAINERS = {
    ".mp4": Container("mp4", "libx264", _MP4_SOUNDS, arguments=_FAST_START),
    ".m4v": Container("mp4", "libx264", _MP4_SOUNDS, arguments=_FAST_START),
    ".mov": Container(
        "mov", "libx264", _MP4_SOUNDS - {"opus", "flac"} | {"pcm_s16le"}, "aac", _FAST_START, "prores_ks"
    ),
    ".mkv": Container("matroska", "libx264", _MP4_SOUNDS | {"vorbis", "pcm_s16le", "dts", "mp2"}),
    ".webm": Container("webm", "libvpx-vp9", frozenset({"opus", "vorbis"}), "libopus", alpha_codec="libvpx-vp9"),
    ".gif": Container("gif", "libx264rgb", alpha_codec="ffv1"),
    ".webp": Container("webp", "libwebp_anim", alpha_codec="libwebp_anim"),
}
# A GIF is made from a lossless intermediate video (see gif.py), which has to be fast, not small.
_LOSSLESS = ["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"]
_LOSSLESS_ALPHA = ["-c:v", "ffv1", "-pix_fmt", "bgra"]
_WEBP = ["-c:v", "libwebp_anim", "-quality", "90", "-compression_level", "2", "-loop", "0"]
# The pixel formats of encoders with transparency. ProRes has ten bits of colour.
_ALPHA_FORMATS = {"libvpx-vp9": "yuva420p", "prores_ks": "yuva444p10le"}


@dataclass(frozen=True)
class WriteOptions:
    """How to write a video. None leaves the choice to the container or codec."""

    fps: Fraction
    codec: str | None = None
    """h264, h265, vp9, av1, or the name of one of ffmpeg's encoders."""
    crf: int | None = None
    """Constant quality: a lower number is better and larger."""
    preset: str | None = None
    """The encoder's own name for a speed (for VP9 its -cpu-used)."""
    audio: AudioSource | None = None
    """The sound to add. A file without sound is no error."""
    provenance: Provenance | None = MARKED
    """What the video says of itself; None: nothing, not even that it is synthetic."""
    force: bool = False
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel divided by its height."""
    warn: Callable[[str], None] = log.warning
    """Told in one line what is not as one would expect."""
    lose: Callable[[str], None] = log.warning
    """Told in one line what is missing in the output, such as its sound. The frames are never given up for it."""
    has_alpha: bool = False
    """Whether frames are RGBA (H, W, 4), the alpha straight. Only what `holds_alpha` names can be written then."""

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, not {self.fps}")


def container_of(path: Path) -> Container:
    """Return the container that the suffix of a path names. MediaError if it names none."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        hint = f"; did you mean {path.with_suffix(meant)}?" if (meant := _suffix_meant(path)) else ""
        raise MediaError(f"{path}: not a video; use {known}, or no suffix for a folder of frames{hint}") from None


def _suffix_meant(path: Path) -> str | None:
    """Return the suffix that is written most like one that means nothing, such as .png for .pgn."""
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES | VIDEO_SUFFIXES | SOUND_SUFFIXES:  # of another format, on purpose
        return None
    return nearest_name(suffix, (*CONTAINERS, ".png", ".jpg", ".jpeg"))


def encoder_of(container: Container, codec: str | None, *, has_alpha: bool = False) -> str:
    """Return ffmpeg's name of the encoder for a codec of `WriteOptions`."""
    usual = (container.alpha_codec if has_alpha else None) or container.codec
    return usual if codec is None else _CODEC_NAMES.get(codec, codec)


def holds_alpha(path: str | Path, codec: str | None = None) -> bool:
    """Say whether an output of this name can be transparent. codec: see `WriteOptions`."""
    if names_folder(path):
        return True
    suffix = Path(path).suffix.lower()
    container = CONTAINERS.get(suffix)
    if container is None:
        return suffix == ".png"
    return container.alpha_codec is not None and container.alpha_codec == encoder_of(container, codec, has_alpha=True)


def encode_arguments(path: Path, size: tuple[int, int], options: WriteOptions) -> list[str]:
    """List the arguments that make ffmpeg encode raw RGB frames of `size` (height, width) from pipe:0."""
    container = container_of(path)
    height, width = size
    codec = encoder_of(container, options.codec, has_alpha=options.has_alpha)
    fps = options.fps.limit_denominator(100_000)  # ffmpeg keeps both parts in 32 bits
    source = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgba" if options.has_alpha else "rgb24",
        "-video_size",
        f"{width}x{height}",
    ]
    source += ["-framerate", f"{fps.numerator}/{fps.denominator}", "-i", "pipe:0"]
    return ["-v", "error", *source, *_picture_arguments(container, codec, size, options), *each_frame_once()]


def container_arguments(path: Path, provenance: Provenance | None, codec: str | None = None) -> list[str]:
    """List the arguments that write the container, with the tags of its provenance."""
    container = container_of(path)
    codec = encoder_of(container, codec)
    tags = [part for name, text in tags_of(provenance).items() for part in ("-metadata", f"{name}={text}")]
    # Apple's players play HEVC under this name only.
    codec_tag = ["-tag:v", "hvc1"] if codec == "libx265" and container.muxer in {"mp4", "mov"} else []
    return [*tags, *codec_tag, *container.arguments, "-f", container.muxer]


def _picture_arguments(container: Container, codec: str, size: tuple[int, int], options: WriteOptions) -> list[str]:
    if container.muxer == "gif":
        return _LOSSLESS_ALPHA if options.has_alpha else _LOSSLESS
    if container.muxer == "webp":
        return [*_WEBP, "-pix_fmt", "bgra" if options.has_alpha else "yuv420p"]
    return _video_arguments(codec, size, options)


def _video_arguments(codec: str, size: tuple[int, int], options: WriteOptions) -> list[str]:
    aspect = options.pixel_aspect
    pixels = _ALPHA_FORMATS[codec] if options.has_alpha else _pixel_format(codec, size)
    filters = [
        # Without this ffmpeg would convert by the bt601 matrix, whatever the tags below say.
        "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
        f"format={pixels}",
        "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
        f"setsar={aspect.numerator}/{aspect.denominator}:max=65535",
    ]
    tags = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    return ["-vf", ",".join(filters), "-c:v", codec, *tags, *_quality_arguments(codec, options)]


def _pixel_format(codec: str, size: tuple[int, int]) -> str:
    """Return 4:2:0, which every player shows, except for H.264 and HEVC of odd size, which do not allow it.

    There 4:4:4 keeps the exact size, though not every player shows it. VP9 and AV1 have 4:2:0 at any size.
    """
    is_odd = any(side % 2 for side in size)
    return "yuv444p" if is_odd and codec in {"libx264", "libx265"} else "yuv420p"


def _quality_arguments(codec: str, options: WriteOptions) -> list[str]:
    preset, crf = options.preset, options.crf
    if codec in {"libx264", "libx265"}:
        quiet = ["-x265-params", "log-level=error"] if codec == "libx265" else []
        # x265 reaches the same quality at a higher number.
        usual = 18 if codec == "libx264" else 20
        return ["-preset", preset or "veryfast", "-crf", str(usual if crf is None else crf), *quiet]
    if codec == "libvpx-vp9":
        speed = ["-deadline", "good", "-cpu-used", preset or "5", "-row-mt", "1"]
        # Only with a bit rate of 0 does -crf mean constant quality.
        # A hidden reference frame would have no alpha.
        whole = ["-auto-alt-ref", "0"] if options.has_alpha else []
        return [*speed, *whole, "-b:v", "0", "-crf", str(24 if crf is None else crf)]
    if codec == "prores_ks" and options.has_alpha:
        return ["-profile:v", "4444", "-alpha_bits", "8", "-vendor", "apl0"]
    usual_crf = 28 if codec == "libsvtav1" and crf is None else crf
    arguments = [] if preset is None else ["-preset", preset]
    return arguments if usual_crf is None else [*arguments, "-crf", str(usual_crf)]
