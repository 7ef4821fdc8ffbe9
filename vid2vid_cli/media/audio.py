"""Carry the sound of one file into another: copied if the container can hold its codec, else encoded.

What works is tried out on the first moments of the sound before any frame is made: codecs, layouts and containers have
too many exceptions to be known by heart.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import Child, file_input, run
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.probe import VideoInfo
from vid2vid_cli.media.reader import ReadOptions, frame_range

_BIT_RATES = {"aac": "192k", "libopus": "128k"}
# Layouts that every encoder takes; ffmpeg mixes all others to the nearest of them.
_USUAL_LAYOUTS = ["-af", "aformat=channel_layouts=7.1|5.1|stereo|mono"]
_FIRST_TWO = [
    "-af",
    "pan=stereo|c0=c0|c1=c1",
]  # of channels that ffmpeg cannot mix, since nobody says where they belong
_TRIAL_S = 0.5


@dataclass(frozen=True)
class AudioSource:
    """The sound of `path` from `start_s` to `end_s`, seconds on that file's clock. None: its start, its end."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Track:
    """One of the sounds in a file. number: its place among them. codec: ffmpeg's name for it."""

    source: AudioSource
    number: int
    codec: str


@dataclass(frozen=True)
class Sound:
    """A track, and ffmpeg's options that were found to bring it into the container."""

    track: Track
    codec_arguments: list[str]


@dataclass(frozen=True)
class SoundTarget:
    """What sound is brought into. copied: codecs that are taken as they are. encodings: what others become, in turn.

    container_arguments: of ffmpeg, which name the container.
    """

    copied: frozenset[str]
    encodings: Sequence[Sequence[str]]
    container_arguments: Sequence[str]

    def ways(self, codec: str) -> Iterator[list[str]]:
        """Yield the options to try for a codec, best first."""
        if codec in self.copied:
            yield ["-c:a", "copy"]
        yield from map(list, self.encodings)


def encodings(encoder: str) -> list[list[str]]:
    """List ffmpeg's options for an encoder of sound: all channels as they are, mixed to usual ones, the first two."""
    codec = ["-c:a", encoder, "-b:a", _BIT_RATES[encoder]]
    # Opus takes only the channel layouts that its specification names, and says so late.
    as_they_are = [] if encoder == "libopus" else [codec]
    return [*as_they_are, [*codec, *_USUAL_LAYOUTS], [*codec, *_FIRST_TWO]]


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


def tracks_of(source: AudioSource | None) -> list[Track]:
    """List the sounds of `source`; MediaError if the file cannot be read at all."""
    if source is None:
        return []
    require_file(source.path)
    with Child(["-v", "info", *file_input(source.path)], str(source.path)) as child:
        child.wait()  # always fails, since there is no output, but only after it has listed the streams
        log = child.log()
        if "Stream #" not in log:
            raise MediaError(f"{source.path}: cannot be read for its sound: {child.error_line()}")
    codecs = re.findall(r"Stream #0:\d+\S*: Audio: (\w+)", log)
    return [Track(source, number, codec) for number, codec in enumerate(codecs)]


def decodable_track(path: Path) -> Track | None:
    """Return the first sound of a file that can be decoded; the first of all if none can, None if there is none."""
    stat = path.stat()
    return _decodable_track(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _decodable_track(path: Path, size: int, changed: int) -> Track | None:
    """See `decodable_track`. size, changed: so that a file that was replaced is asked again."""
    tracks = tracks_of(AudioSource(path))
    alone = len(tracks) < 2  # whoever reads it says what is wrong with it
    return next((track for track in tracks if alone or _is_decodable(track)), tracks[0] if tracks else None)


def _is_decodable(track: Track) -> bool:
    arguments = [*_input(track, _TRIAL_S), "-map", f"0:a:{track.number}", "-f", "f32le", "pipe:1"]
    with Child(["-v", "error", *arguments], str(track.source.path), has_stdout=True) as child:
        return any(child.output())


def other_track_note(track: Track, first: str) -> str:
    """Say that another sound than the first one is taken. first: ffmpeg's name for the codec of that."""
    path = track.source.path
    return f"{path}: its first sound ({first}) cannot be decoded; sound {track.number + 1} is taken"


def find_sound(tracks: Sequence[Track], target: SoundTarget, warn: Callable[[str], None]) -> Sound | None:
    """Find the first track that can be brought into a target, and how. None if there is none.

    warn: is told if that is not the first track, or not with all of its channels.
    """
    for track in tracks:
        for arguments in target.ways(track.codec):
            sound = Sound(track, arguments)
            if _is_possible(sound, target):
                _tell(sound, tracks[0], warn)
                return sound
    return None


def _is_possible(sound: Sound, target: SoundTarget) -> bool:
    # A sound may begin late. So if its first moments fail, the whole has its chance; a hopeless one fails at once.
    with tempfile.TemporaryDirectory() as folder:
        return any(_is_written(sound, target, Path(folder) / "trial", trial_s) for trial_s in (_TRIAL_S, None))


def _is_written(sound: Sound, target: SoundTarget, path: Path, limit_s: float | None) -> bool:
    arguments = ["-v", "error", *_input(sound.track, limit_s), *_selected(sound, 0), *target.container_arguments]
    try:
        run([*arguments, f"file:{path}"], "trial")
    except MediaError:
        return False
    return True


def _tell(sound: Sound, first: Track, warn: Callable[[str], None]) -> None:
    path = sound.track.source.path
    if sound.track is not first:
        warn(other_track_note(sound.track, first.codec))
    if sound.codec_arguments[-1] in (_USUAL_LAYOUTS[-1], _FIRST_TWO[-1]) and "libopus" not in sound.codec_arguments:
        kept = "only the first two are kept" if sound.codec_arguments[-1] == _FIRST_TWO[-1] else "they are mixed down"
        warn(f"{path}: the channels of its sound have no place in this kind of file; {kept}")


def _input(track: Track, limit_s: float | None = None) -> list[str]:
    """Return the input arguments for the part of a track that counts, but no more than `limit_s`."""
    source = track.source
    start_s = source.start_s or 0.0
    lengths = [limit_s, None if source.end_s is None else source.end_s - start_s]
    length_s = min((length for length in lengths if length is not None), default=None)
    times = [] if length_s is None else ["-t", f"{max(0.0, length_s):.6f}"]
    if start_s > 0:  # even a seek to 0 would drop the packets before it, which a decoder needs to warm up
        times = ["-ss", f"{start_s:.6f}", *times]
    return file_input(source.path, *times)


def _selected(sound: Sound, file: int) -> list[str]:
    """Return the output arguments that select and encode a sound. file: the number of its input."""
    return ["-map", f"{file}:a:{sound.track.number}", *sound.codec_arguments]


def write_sound(sound: Sound, duration_s: Fraction, container_arguments: Sequence[str], path: Path) -> None:
    """Write a sound alone, no longer than a duration."""
    arguments = ["-v", "error", *_input(sound.track, float(duration_s)), *_selected(sound, 0), "-map_metadata", "-1"]
    source = sound.track.source.path
    run([*arguments, *container_arguments, f"file:{path}"], f"{source}: its sound cannot be read")


@dataclass(frozen=True)
class Muxing:
    """How to add sound to a video: which, for how long, and ffmpeg's options for the container."""

    sound: Sound
    duration_s: Fraction
    container_arguments: list[str]


def add_sound(silent: Path, muxing: Muxing, path: Path) -> None:
    """Copy the video of `silent`, and the sound cut to the video's duration, into `path`.

    The video is never cut: if the sound is too short, it just ends. (Encoding and adding sound in one run would not
    do: ffmpeg would have to know the number of frames beforehand, or would cut the video too.)
    """
    track = muxing.sound.track
    arguments = ["-v", "error", *file_input(silent), *_input(track, float(muxing.duration_s))]
    arguments += ["-map", "0:v:0", *_selected(muxing.sound, 1), "-c:v", "copy"]
    arguments += ["-map_metadata", "0", "-map_chapters", "-1", *muxing.container_arguments, f"file:{path}"]
    run(arguments, f"{track.source.path}: its sound cannot be written")
