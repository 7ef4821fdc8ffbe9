"""Dub a film: by another sound, or by other words. Only the lower face changes; all else stays as filmed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.dubbing.changes import describe
from vid2vid_cli.dubbing.edit_list import Picture
from vid2vid_cli.dubbing.editing import edit_film
from vid2vid_cli.dubbing.insides import Insides
from vid2vid_cli.dubbing.mouth_track import MouthTrack, MouthTracker
from vid2vid_cli.dubbing.mouths import mouths_of
from vid2vid_cli.dubbing.options import DubOptions
from vid2vid_cli.dubbing.retimed import FramePlan, RetimedSource
from vid2vid_cli.dubbing.sound_track import assemble
from vid2vid_cli.errors import MediaError, UsageError, WeightsError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import check_output, open_scratch, require_file
from vid2vid_cli.media.pcm import write_pcm
from vid2vid_cli.media.provenance import SYNTHETIC_MARK, Provenance
from vid2vid_cli.media.sound import probe_sound, read_sound
from vid2vid_cli.media.video import VideoInfo, probe_video, sniff
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import LoadedModel, load_model, load_speech_model
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.output import check_target, write_options
from vid2vid_cli.pipeline.parsing import parse_face
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.reenact import play
from vid2vid_cli.pipeline.source_faces import check_picture
from vid2vid_cli.pipeline.speak import open_new_mouths
from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.speech.mouth import SpokenMouth

MOST_TOLD = 300  # letters of the mark that say which words were changed
TOLD_S = 0.1  # by which a sound may be longer or shorter than the film without a word


@dataclass(frozen=True)
class Dubbing:
    """What is played: which pictures, whose mouth, with which sound. told: what is said of it. changed: words."""

    pictures: tuple[Picture, ...]
    mouths: Callable[[int], Iterator[SpokenMouth]]
    audio: AudioSource
    told: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Which film is dubbed, by which sound if by any, where to. info: of the film."""

    video: Path
    sound: Path | None
    target: Path
    options: DubOptions
    info: VideoInfo


def dub(
    video: str | Path,
    sound: str | Path | None = None,
    output: str | Path | None = None,
    options: DubOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Result:
    """Let the person of a video say something else, and write the result with that sound.

    sound: another sound under the same picture, whose length counts; a longer one lets the film go there and back.
    None: the options say which words are replaced, deleted or inserted. output: as for `reenact`; default
    `{video}--dubbed.mp4` in the current folder. Raises a subclass of Vid2VidError whose text is one line.
    """
    began = time.perf_counter()
    video, options = Path(video), options or DubOptions()
    log = WarningLog(hooks or Hooks())
    target = Path(f"{video.stem}--dubbed.mp4") if output is None else Path(output)
    sound = None if sound is None else Path(sound)
    info = _check(video, sound, target, options)
    engine = start_engine(options, model, None)
    with closing(open_scratch(Path(tempfile.gettempdir()) / "dub")) as scratch:
        scratch.folder.chmod(0o700)
        if sound is None:
            dubbing = _by_words(video, options, engine, scratch, log)
        else:
            dubbing = _by_sound(video, sound, (info, _tracker(engine, options)), log)
        job = Job(video, sound, target, options, info)
        result = _play(dubbing, job, engine, log, hooks or Hooks())
    return replace(result, seconds=time.perf_counter() - began)


def _check(video: Path, sound: Path | None, target: Path, options: DubOptions) -> VideoInfo:
    """Raise for whatever can be told before any work. Return what is known of the film."""
    edits = [f"--{field}" for field in ("replace", "delete", "insert", "transcript") if getattr(options, field)]
    if sound is not None and edits:
        raise UsageError(f"{sound} and {edits[0]} exclude each other; new words are taken from --sound {sound}")
    if sound is None and not edits:
        raise UsageError("nothing changes; name a SOUND, or words by --replace, --delete or --insert")
    check_picture(options)
    if options.face == "all":
        raise UsageError("--face all: one person is dubbed at a time; choose one")
    if not options.paste_back:
        raise UsageError("--crop-only: a dubbed film stays whole; leave it out")
    if options.background != "keep":
        raise UsageError("--background: the picture stays as filmed when it is dubbed; leave it out")
    for path in (video, sound):
        if path is not None:
            require_file(path)
    check_output(target, force=options.force, inputs=(video,) if sound is None else (video, sound))
    check_target(target, options, is_clip=True)
    if sniff(video) != "video":
        raise UsageError(f"{video}: is no film; vid2vid speak lets a picture talk")
    info = probe_video(video, options.max_pixels)
    if sound is None and not info.has_audio:
        raise MediaError(f"{video}: has no sound whose words could be edited; name a SOUND")
    return info


def _by_words(video: Path, options: DubOptions, engine: Engine, scratch: Scratch, log: WarningLog) -> Dubbing:
    """Plan a film whose words are edited."""
    film = edit_film(video, options, _tracker(engine, options), scratch.folder, log.warn)
    joined = scratch.file("joined.flac")
    write_pcm(assemble(film.edits.sounds, film.sounds), joined)
    changed = tuple(describe(film.changes, film.transcript.words))
    fps = probe_video(video).fps

    insides = Insides(mouth for mouth in film.mouths.values() if isinstance(mouth, MouthTrack))

    def mouths(count: int) -> Iterator[SpokenMouth]:
        return insides.fill(mouths_of(film.edits, film.mouths, fps, count))

    return Dubbing(film.edits.pictures, mouths, AudioSource(joined), f"words changed: {'; '.join(changed)}", changed)


def _tracker(engine: Engine, options: DubOptions) -> MouthTracker:
    own = engine.loaded.model
    reader = own if isinstance(own, CompactModel) else load_model().model
    if not isinstance(reader, CompactModel):
        raise WeightsError("the checkpoint of the package is not of compact; install vid2vid again")
    return MouthTracker(reader, engine.analyzer, parse_face(options.face))


def _by_sound(video: Path, sound: Path, seen: tuple[VideoInfo, MouthTracker], log: WarningLog) -> Dubbing:
    """Plan a film under another sound. seen: what is known of the film, and what looks for its mouth."""
    info, tracker = seen
    heard = probe_sound(sound)
    film_s = float(info.frame_count / info.fps)
    pictures = tuple(there_and_back(info.start_s, film_s, heard.duration_s))
    difference_s = heard.duration_s - film_s
    if difference_s > TOLD_S:
        log.warn(f"{sound}: {difference_s:.1f} s longer than {video}; the film goes there and back")
    elif difference_s < -TOLD_S:
        log.warn(f"{sound}: {-difference_s:.1f} s shorter than {video}; the output ends with the sound")
    hearer, source = load_speech_model(), AudioSource(sound)
    insides = Insides([tracker.track(video, ())])

    def heard_mouths() -> Iterator[SpokenMouth]:
        has_spoken = False
        for mouth in hearer.mouths(read_sound(source, heard, log.warn), info.fps):
            has_spoken = has_spoken or mouth.is_speech
            yield mouth
        if not has_spoken:
            log.warn(f"{sound}: no speech was heard in it; the mouth stays shut")

    return Dubbing(pictures, lambda count: insides.fill(heard_mouths()), source, "mouth moved by another sound")


def there_and_back(begin_s: float, film_s: float, wanted_s: float) -> Iterator[Picture]:
    """Yield a film of a length forwards and backwards in turn until a longer time is filled. begin_s: on its clock."""
    at_s, is_forward = 0.0, True
    while at_s < wanted_s - 1e-6:
        length_s = min(film_s, wanted_s - at_s)
        start_s, end_s = (0.0, length_s) if is_forward else (film_s, film_s - length_s)
        yield Picture(begin_s + start_s, begin_s + end_s, at_s, at_s + length_s, is_edited=True)
        at_s, is_forward = at_s + length_s, not is_forward


def _play(dubbing: Dubbing, job: Job, engine: Engine, log: WarningLog, hooks: Hooks) -> Result:
    info, options = job.info, job.options
    plan = FramePlan(dubbing.pictures, info)
    source = RetimedSource(job.video, options, engine, log.warn, plan)
    moved = _as_reenacted(options)
    with closing(open_new_mouths(engine, source, lambda: dubbing.mouths(plan.count), plan.count, moved)) as scene:
        inputs = provenance_of(engine.loaded, options, log, source=job.video, sound=job.sound)
        provenance = told_provenance(inputs, dubbing.told, dubbing.changed)
        aspect = info.pixel_aspect or Fraction(1)
        writing = write_options(options, scene.fps, provenance, log, audio=dubbing.audio, pixel_aspect=aspect)
        return play(scene, job.target, writing, log, hooks)


def told_provenance(provenance: Provenance, told: str, changed: tuple[str, ...]) -> Provenance:
    """Return a provenance whose mark says what was done; of many words, the first. changed: each change of words."""
    short = told if len(told) <= MOST_TOLD else f"{told[: MOST_TOLD - 4]} ..."
    return replace(provenance, mark=f"{SYNTHETIC_MARK}; {short}", edited_words=changed)


def _as_reenacted(options: DubOptions) -> ReenactOptions:
    """Return what the options say for a scene."""
    shared = {field.name for field in fields(DubOptions)} & {field.name for field in fields(ReenactOptions)}
    return ReenactOptions(**{name: getattr(options, name) for name in shared}, smooth=0.0)
