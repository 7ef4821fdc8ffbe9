"""Reenactment from file to file: the source moves as the driving does."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import WriteOptions, audio_of, open_writer
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.backdrop import set_background
from vid2vid_cli.pipeline.background import clip_suffix
from vid2vid_cli.pipeline.driving.base import Driving, FileDriving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.finite import retried_in_float32
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.open_scene import SceneRequest
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.output import (
    OpenWriter,
    check_name,
    check_target,
    unused_encoding,
    write_frames,
    write_options,
)
from vid2vid_cli.pipeline.pose import warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.roles import check_source, swap_note
from vid2vid_cli.pipeline.scene import Scene
from vid2vid_cli.pipeline.source import Source, Subject, paths_of


@retried_in_float32
def reenact(
    source: Subject,
    driving: str | Path,
    output: str | Path | None = None,
    options: ReenactOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
    memory: Memory | None = None,
    kind: type[FileDriving] | None = None,
    keeps_around_mouth: bool = False,
) -> Result:
    """Animate a source with the motion of a driving and write the result.

    source: image, video or person file, or several files of one person, the first of which is animated. driving: video,
    GIF, image, sound, motion file or call. output: .mp4 .mov .mkv .webm .gif .webp, a folder for PNG frames, or a
    picture where driving and source are pictures; default `{source}--{driving}.mp4` in the current folder (.png for a
    picture, .webm if it is to be transparent). model: loaded before with `load_model`, to spare loading it again.
    memory: of earlier jobs, to spare looking again at a source or a driving. kind: of the driving; None goes by its
    content. keeps_around_mouth: leave all but the lower face as the source shows it.
    Raises a subclass of Vid2VidError whose text is one line; nothing is left behind then.
    """
    began = time.perf_counter()
    options = options or ReenactOptions()
    paths, driving = paths_of(source), Path(driving)
    source = paths[0]
    log = WarningLog(hooks or Hooks())
    request = SceneRequest.of(options, log)
    if output is not None:  # before anything is loaded; without a name it depends on what the files hold
        check_output(output, force=options.force, inputs=(*paths, driving))
        check_name(output, options)
    engine = start_engine(options, model, memory)
    check_family(engine.loaded.family, request.sweeps, options.region)
    for path in paths:
        check_source(path, driving)
    shown = Source(paths, options, engine, log.warn)
    with closing(request.open_driving(driving, engine, shown, kind)) as opened:
        scene = request.open_scene(engine, shown, opened)
        if keeps_around_mouth:
            scene.keep_around_mouth()
        is_clip = scene.source.is_video or not opened.is_still
        target = output if output is not None else _default_output(scene.source, opened, is_clip=is_clip)
        # Again, now that the name is certain; before the reference frame is searched, which takes seconds.
        check_output(target, force=options.force, inputs=(*paths, driving))
        check_target(target, options, is_clip=is_clip)
        notes = swap_note(source, driving), None if is_clip else unused_encoding(target, options, options.fps)
        for note in filter(None, notes):
            log.warn(note)
        set_background(scene, options, target, log.warn)
        warn_of_range(engine.loaded.model, request.sweeps, options, log)
        if options.relative:
            scene.find_reference(options.reference_frame)
        # A file always knows its length: `total` is None for live drivings only.
        if (scene.total or 0) < opened.count:
            log.warn(f"{source}: shorter than the driving; the output ends with it")
        provenance = provenance_of(engine.loaded, options, log, source=paths, driving=driving)
        writing = write_options_of(scene, options, provenance, log)
        result = play(scene, target, writing, log, hooks or Hooks())
    return replace(result, seconds=time.perf_counter() - began)


def play(
    scene: Scene,
    target: str | Path,
    writing: WriteOptions,
    log: WarningLog,
    hooks: Hooks,
    *,
    open_output: OpenWriter = open_writer,
) -> Result:
    """Write all frames of a scene. open_output: gives a writer for the target."""
    began = time.perf_counter()
    frames, size = write_frames(target, scene.frames(), writing, scene.total, hooks, open_output=open_output)
    _report_missing(scene, log)
    held, skipped, seconds = scene.counts.held, scene.counts.skipped, time.perf_counter() - began
    reference = "" if scene.reference is None else str(scene.reference)
    warnings = tuple(log.warnings)
    counted = Path(target), frames, held, skipped, seconds, writing.fps, size, warnings
    return Result(*counted, reference=reference, is_partial=log.is_partial)


def _report_missing(scene: Scene, log: WarningLog) -> None:
    """Warn about frames without a face."""
    counts = scene.counts
    if counts.held:
        total = counts.held + counts.found
        log.warn(f"{scene.driving.path}: no face in {counts.held} of {total} frames; the last motion was held")
    if counts.source_lost:
        total = counts.source_lost + counts.source_seen
        log.warn(f"{scene.source.path}: no face in {counts.source_lost} of {total} frames; they stay as they are")


def _default_output(source: Source, driving: Driving, *, is_clip: bool) -> Path:
    suffix = clip_suffix(source.options) if is_clip else ".png"
    return Path(f"{source.path.stem}--{driving.path.stem}{suffix}")


def write_options_of(scene: Scene, options: ReenactOptions, provenance: Provenance, log: WarningLog) -> WriteOptions:
    """Say how the frames of a scene are encoded, and with whose sound."""
    source = scene.source
    audio = _choose_audio(scene, options, log)
    if audio is not None and options.on_missing == "skip":
        log.warn("--on-missing skip: the sound is left out, since it would not match the remaining frames")
        audio = None
    # Side by side, pictures of other shapes stand beside the source: their pixels are square.
    aspect = source.info.pixel_aspect if source.info is not None and not options.compare else Fraction(1)
    return write_options(options, scene.fps, provenance, log, audio=audio, pixel_aspect=aspect)


def _choose_audio(scene: Scene, options: ReenactOptions, log: WarningLog) -> AudioSource | None:
    """Return the sound that is asked for; with a picture as driving, a source video keeps its own."""
    driving, source = scene.driving, scene.source
    if options.audio == "none":
        return None
    if options.audio == "driving" and not (driving.is_still and source.is_video):
        return driving.audio
    if source.info is None:
        log.warn(f"--audio source: {source.path} is a picture and has no sound")
        return None
    return audio_of(source.path, source.info)
