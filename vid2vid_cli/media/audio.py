"""Carry the sound of one file into another: copied if the container can hold its codec, else encoded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import Child, file_input, run
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.probe import VideoInfo
from vid2vid_cli.media.reader import ReadOptions, frame_range

_ENCODERS = {
    "aac": ["-c:a", "aac", "-b:a", "192k"],
    # Opus takes only the channel layouts that its specification names.
    "libopus": ["-c:a", "libopus", "-b:a", "128k", "-af", "aformat=channel_layouts=7.1|5.1|stereo|mono"],
}


@dataclass(frozen=True)
class AudioSource:
    """The sound of `path` from `start_s` to `end_s`, seconds on that file's clock. None: its start, its end."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Sound:
    """A source that is known to have sound, and its codec."""

    source: AudioSource
    codec: str


def audio_of(path: str | Path, info: VideoInfo, options: ReadOptions | None = None) -> AudioSource | None:
    """Return the sound that belongs to the frames that `read_video` yields for `options`; None if the clip has none."""
    if not info.has_audio:
        return None
    options = options or ReadOptions()
    start_s = max(options.start_s or 0.0, info.start_s)
    # read_video begins with a whole frame, so the sound must begin with that frame, not at the time asked for.
    if info.is_constant_rate:
        start_s = info.start_s + frame_range(info, options)[0] / float(info.fps)
    return AudioSource(Path(path), start_s, options.end_s)


def find_sound(source: AudioSource | None) -> Sound | None:
    """Look for sound in `source`. Return None if it has none; MediaError if the file cannot be read at all."""
    if source is None:
        return None
    require_file(source.path)
    with Child(["-v", "info", *file_input(source.path)], str(source.path)) as child:
        child.wait()  # always fails, since there is no output, but only after it has listed the streams
        log = child.log()
        if "Stream #" not in log:
            raise MediaError(f"{source.path}: cannot be read for its sound: {child.error_line()}")
    found = re.search(r"Stream #0:\d+\S*: Audio: (\w+)", log)
    return Sound(source, found[1]) if found else None


def codec_arguments(codec: str, copied: frozenset[str], encoder: str) -> list[str]:
    """Return ffmpeg's options that copy a sound of `codec`, if `copied` has it, or else encode it."""
    return ["-c:a", "copy"] if codec in copied else _ENCODERS[encoder]


@dataclass(frozen=True)
class Muxing:
    """How to add sound to a video: which, for how long, and ffmpeg's options for its codec and the container."""

    sound: Sound
    duration_s: Fraction
    codec_arguments: list[str]
    container_arguments: list[str]


def add_sound(silent: Path, muxing: Muxing, path: Path) -> None:
    """Copy the video of `silent`, and the sound cut to the video's duration, into `path`.

    The video is never cut: if the sound is too short, it just ends. (Encoding and adding sound in one run would not
    do: ffmpeg would have to know the number of frames beforehand, or would cut the video too.)
    """
    source, duration_s = muxing.sound.source, float(muxing.duration_s)
    start_s = source.start_s or 0.0
    if source.end_s is not None:
        duration_s = min(duration_s, source.end_s - start_s)
    times = ["-t", f"{max(0.0, duration_s):.6f}"]
    if start_s > 0:  # even a seek to 0 would drop the packets before it, which a decoder needs to warm up
        times = ["-ss", f"{start_s:.6f}", *times]
    arguments = ["-v", "error", *file_input(silent), *file_input(source.path, *times)]
    arguments += ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", *muxing.codec_arguments]
    arguments += ["-map_metadata", "0", "-map_chapters", "-1", *muxing.container_arguments, f"file:{path}"]
    run(arguments, f"{source.path}: its sound cannot be written")
