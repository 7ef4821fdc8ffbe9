"""Find out, before any frame is made, whether a video can be encoded as asked, and if not, which option is at fault."""

from __future__ import annotations

import contextlib
import re
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.encoder import (
    CONTAINERS,
    WriteOptions,
    container_arguments,
    container_of,
    encode_arguments,
    encoder_of,
)
from vid2vid_cli.media.ffmpeg import Child, run
from vid2vid_cli.media.files import names_folder, open_scratch

_TRIAL_SIZE = (192, 256)  # (height, width); hardware encoders refuse smaller pictures
_NAMED_PRESETS = "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow or placebo"
_PRESETS = {"libx264": _NAMED_PRESETS, "libx265": _NAMED_PRESETS}
# ffmpeg states no limit for these two, and x264 silently clips what is beyond it.
_MAX_CRF = {"libx264": 51, "libx265": 51}
_USUAL_MAX_CRF = 63
# In the output of `ffmpeg -h encoder=NAME`: a numeric option with its range, and any option.
_RANGE = re.compile(r"(?m)^ +-(\S+) .*\(from (-?\d+) to (-?\d+|\w+)\)")
_OPTION = re.compile(r"(?m)^ +-(\S+) +<")


@dataclass(frozen=True)
class Encoder:
    """One of ffmpeg's encoders: its options, and the smallest and largest value of those that take a number."""

    name: str
    options: frozenset[str]
    ranges: dict[str, tuple[int, int]]

    @property
    def speed(self) -> str:
        """Return the encoder's own option that --preset sets."""
        return "cpu-used" if self.name == "libvpx-vp9" else "preset"

    def presets(self) -> str:
        """Say what --preset can be."""
        if self.name in _PRESETS:
            return _PRESETS[self.name]
        if self.speed in self.ranges:
            return "{} to {}".format(*self.ranges[self.speed])
        return f"what ffmpeg -h encoder={self.name} lists"


def check_encoding(
    path: str | Path, codec: str | None, crf: int | None, preset: str | None, *, has_alpha: bool = False
) -> None:
    """Raise MediaError unless one frame can be encoded for `path` with these options (see WriteOptions).

    The frame is encoded in a hidden folder beside `path`. If all options are None, nothing is done. The error names
    the option at fault as the command line does, and says what is possible instead.
    """
    request = {"codec": codec, "crf": crf, "preset": preset}
    given = next((f"--{name} {value}" for name, value in request.items() if value is not None), None)
    if given is None:
        return
    if names_folder(path):
        raise MediaError(f"{path}: {given} has no meaning for a folder of frames; leave it out, or name a video")
    path = Path(path)
    if container_of(path).is_animation:
        kind = "a GIF" if container_of(path).muxer == "gif" else "an animated WebP"
        raise MediaError(f"{path}: {given} has no meaning for {kind}; leave it out, or name another kind of video")
    options = WriteOptions(Fraction(25), codec=codec, crf=crf, preset=preset, has_alpha=has_alpha)
    encoder = _find_encoder(path, codec, has_alpha=has_alpha)
    if preset is not None and encoder.speed not in encoder.options:
        raise MediaError(f"{path}: --preset {preset}: the encoder {encoder.name} has no such setting; leave it out")
    _check_crf(path, encoder, crf)
    reason = _try_encoding(path, options)
    if reason is not None:
        raise MediaError(f"{path}: {_find_fault(path, options, encoder, reason)}")


@cache
def _describe(name: str) -> str:
    return run(["-h", f"encoder={name}"], f"encoder {name}")


def _find_encoder(path: Path, codec: str | None, *, has_alpha: bool) -> Encoder:
    name = encoder_of(container_of(path), codec, has_alpha=has_alpha)
    # An unknown name makes ffmpeg list nothing and succeed all the same.
    text = _describe(name) if re.fullmatch(r"[\w-]+", name) else ""
    if not text.startswith("Encoder "):
        raise MediaError(f"{path}: --codec {codec}: this ffmpeg has no such encoder; use {_codecs_for(path)}")
    ranges = {found[1]: (int(found[2]), int(found[3])) for found in _RANGE.finditer(text) if found[3].isdigit()}
    return Encoder(name, frozenset(_OPTION.findall(text)), ranges)


def _codecs_for(path: Path) -> str:
    """List the codecs that are known to fit the container."""
    return "vp9 or av1" if container_of(path).muxer == "webm" else "h264, h265, vp9 or av1"


def _check_crf(path: Path, encoder: Encoder, crf: int | None) -> None:
    if crf is None:
        return
    if "crf" not in encoder.options:
        raise MediaError(f"{path}: --crf {crf}: the encoder {encoder.name} has no such setting; leave it out")
    highest = _MAX_CRF.get(encoder.name) or encoder.ranges.get("crf", (0, _USUAL_MAX_CRF))[1]
    if not 0 <= crf <= highest:
        raise MediaError(f"{path}: --crf {crf}: {encoder.name} takes 0 to {highest}; lower is better and larger")


def _find_fault(path: Path, options: WriteOptions, encoder: Encoder, reason: str) -> str:
    """Find the option that makes the encoding fail, by trying with fewer of them."""
    if options.preset is not None and _try_encoding(path, replace(options, preset=None)) is None:
        return f"--preset {options.preset}: {encoder.name} takes {encoder.presets()}"
    bare = replace(options, preset=None, crf=None)
    if options.crf is not None and _try_encoding(path, bare) is None:
        return f"--crf {options.crf}: {encoder.name} refuses it: {reason}"
    fitting = [
        suffix
        for suffix, container in CONTAINERS.items()
        if not container.is_animation and _try_encoding(path.with_suffix(suffix), bare) is None
    ]
    if fitting:
        advice = f"use {_codecs_for(path)}, or write {' '.join(fitting)}"
        return f"--codec {options.codec}: {encoder.name} does not fit {path.suffix}; {advice}"
    return f"--codec {options.codec}: {encoder.name} cannot encode here: {reason}; use {_codecs_for(path)}"


def _try_encoding(path: Path, options: WriteOptions) -> str | None:
    """Encode one black frame exactly as a video for `path`. Return None if that works, else why it does not."""
    height, width = _TRIAL_SIZE
    with closing(open_scratch(path)) as scratch:
        target = scratch.file(f"trial{path.suffix}")
        arguments = encode_arguments(target, _TRIAL_SIZE, options)
        arguments += container_arguments(target, None, options.codec)
        with Child([*arguments, f"file:{target}"], str(path), has_stdin=True) as child:
            with contextlib.suppress(OSError):  # it has ended already, and its log says why
                child.feed(memoryview(bytes(height * width * (4 if options.has_alpha else 3))))
            return None if child.wait() == 0 else child.error_line()
