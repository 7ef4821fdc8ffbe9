"""Reenactment from file to file: the source moves as the driving does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.video import WriteOptions, audio_of, check_encoding, open_writer
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion, MotionSmoother, blend_motion, restrict_motion
from vid2vid_cli.pipeline.driving import DrivenFrame, Driving, ReaderSetup, open_driving
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.finish import Finisher
from vid2vid_cli.pipeline.finite import frame_of, require_finite_motion, require_finite_state, retried_in_float32
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.output import OpenWriter, is_picture_name, write_frames
from vid2vid_cli.pipeline.parsing import parse_face, parse_fps
from vid2vid_cli.pipeline.pose import Sweeps, parse_sweeps, pose_override, warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.source import Source, SourceFace, SourceFrame
from vid2vid_cli.pipeline.timing import check_motion_numbers, reading_options
from vid2vid_cli.process.streaming import prefetch


@dataclass
class Counts:
    """Frames of the driving by what was seen in them."""

    found: int = 0
    held: int = 0
    skipped: int = 0
    source_seen: int = 0
    source_lost: int = 0


@dataclass(frozen=True)
class Scene:
    """Everything that stays the same while the frames go by."""

    model: ReenactmentModel
    source: Source
    driving: Driving
    options: ReenactOptions
    sweeps: Sweeps
    reference: Motion | None
    total: int
    finish: Finisher
    counts: Counts = field(default_factory=Counts)


@retried_in_float32
def reenact(
    source: str | Path,
    driving: str | Path,
    output: str | Path | None = None,
    options: ReenactOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
    memory: Memory | None = None,
) -> Result:
    """Animate a source with the motion of a driving and write the result.

    source: image or video. driving: video, GIF, image or motion file. output: .mp4 .mov .mkv .webm .gif, a folder
    for PNG frames, or a picture where driving and source are pictures; default `{source}--{driving}.mp4` (or .png)
    in the current folder. model: loaded before with `load_model`, to spare loading it again. memory: of earlier jobs,
    to spare looking again at a source or a driving.
    Raises a subclass of Vid2VidError whose text is one line; nothing is left behind then.
    """
    began = time.perf_counter()
    options = options or ReenactOptions()
    source, driving = Path(source), Path(driving)
    log = WarningLog(hooks or Hooks())
    sweeps = parse_sweeps(options)
    reading = reading_options(options, log)
    check_numbers(options)
    if output is not None:
        check_output(output, force=options.force, inputs=(source, driving))
    engine = start_engine(options, model, memory)
    check_family(engine.loaded.family, sweeps, options.region)
    select = parse_face(options.driving_face, "driving-face")
    look = ReaderSetup(
        engine.loaded.model,
        engine.analyzer,
        select,
        engine.device,
        engine.memory,
        needs_pictures=options.compare,
        max_pixels=options.max_pixels,
        follows=options.body,
    )
    with closing(open_driving(driving, reading, look)) as what_drives:
        who = Source(source, options, engine, log.warn)
        target = output if output is not None else _default_output(who, what_drives)
        check_output(target, force=options.force, inputs=(source, driving))
        if is_picture_name(target) and (who.is_video or not what_drives.is_still):
            raise UsageError(f"{target}: a picture cannot hold a clip; name a video, a GIF or a folder")
        if not is_picture_name(target):
            check_encoding(target, options.codec, options.crf, options.preset)
        warn_of_range(engine.loaded.model, sweeps, options, log)
        scene = set_scene(engine, who, what_drives, options, sweeps)
        if scene.total < what_drives.count:
            log.warn(f"{source}: shorter than the driving; the output ends with it")
        result = play(scene, target, log, hooks or Hooks())
    return replace(result, seconds=time.perf_counter() - began)


def play(
    scene: Scene, target: str | Path, log: WarningLog, hooks: Hooks, open_output: OpenWriter = open_writer
) -> Result:
    """Render all frames of a scene and write them. open_output: gives a writer for the target."""
    began = time.perf_counter()
    writing = _write_options(scene, log)
    frames, size = write_frames(target, _render_all(scene), writing, scene.total, hooks, open_output=open_output)
    _report_missing(scene, log)
    held, skipped, seconds = scene.counts.held, scene.counts.skipped, time.perf_counter() - began
    return Result(Path(target), frames, held, skipped, seconds, writing.fps, size, tuple(log.warnings))


def _report_missing(scene: Scene, log: WarningLog) -> None:
    """Warn of frames in which a face was missing."""
    counts = scene.counts
    if counts.held:
        total = counts.held + counts.found
        log.warn(f"{scene.driving.path}: no face in {counts.held} of {total} frames; the last motion was held")
    if counts.source_lost:
        total = counts.source_lost + counts.source_seen
        log.warn(f"{scene.source.path}: no face in {counts.source_lost} of {total} frames; they stay as they are")


def check_numbers(options: ReenactOptions) -> None:
    """Raise UsageError for numbers that make no sense."""
    if not 0 <= options.strength <= 3:
        raise UsageError(f"--strength {options.strength:g}: write a number from 0 to 3")
    check_motion_numbers(options)


def _default_output(source: Source, driving: Driving) -> Path:
    suffix = ".png" if driving.is_still and not source.is_video else ".mp4"
    return Path(f"{source.path.stem}--{driving.path.stem}{suffix}")


def set_scene(engine: Engine, source: Source, driving: Driving, options: ReenactOptions, sweeps: Sweeps) -> Scene:
    """Find the reference frame and count what is to come."""
    reference = None
    if options.relative and not driving.is_still:
        reference = driving.find_reference(
            engine.loaded.model, source.first_appearance().motion, options.reference_frame
        )
    total = driving.count
    if source.is_video:
        frames = source.frame_count(_output_fps(source, driving, options))
        total = frames if driving.is_still else min(total, frames)
    return Scene(
        engine.loaded.model, source, driving, options, sweeps, reference, total, Finisher(source.path, options)
    )


def _write_options(scene: Scene, log: WarningLog) -> WriteOptions:
    options, source = scene.options, scene.source
    audio = _choose_audio(scene, log)
    if audio is not None and options.on_missing == "skip":
        log.warn("--on-missing skip: the sound is left out, it would not fit the frames that remain")
        audio = None
    shape = source.info.pixel_aspect if source.info is not None and not options.compare else Fraction(1)
    return WriteOptions(
        fps=_output_fps(source, scene.driving, options),
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        audio=audio,
        force=options.force,
        pixel_aspect=shape,
    )


def _choose_audio(scene: Scene, log: WarningLog) -> AudioSource | None:
    """Return the sound that is asked for; a picture as driving leaves the source its own."""
    options, driving, source = scene.options, scene.driving, scene.source
    if options.audio == "none":
        return None
    if options.audio == "driving" and not (driving.is_still and source.is_video):
        return driving.audio
    if source.info is None:
        log.warn(f"--audio source: {source.path} is a picture and has no sound")
        return None
    return audio_of(source.path, source.info)


def _output_fps(source: Source, driving: Driving, options: ReenactOptions) -> Fraction:
    if driving.is_still and source.info is not None:
        return parse_fps(options.fps) or source.info.fps
    return driving.fps


def _render_all(scene: Scene) -> Iterator[Frame]:
    """Yield the output frames in order."""
    smoother = MotionSmoother(scene.options.smooth, float(scene.driving.fps)) if scene.options.smooth else None
    source_frames = scene.source.frames(_output_fps(scene.source, scene.driving, scene.options))
    last: Frame | None = None
    for index, (source, driven) in enumerate(zip(source_frames, _driven(scene), strict=False)):
        if driven is None:
            continue
        if driven.is_repeat and last is not None:
            yield last
            continue
        motion = driven.motion
        if motion is not None:
            require_finite_motion(motion, scene.driving.path)
            motion = motion if smoother is None else smoother(motion)
        is_seen = any(face.appearance is not None for face in source.faces)
        scene.counts.source_seen += is_seen
        scene.counts.source_lost += not is_seen
        last = _render_frame(scene, source, DrivenFrame(motion, driven.found, driven.picture), index)
        yield last
    if not scene.counts.found:
        raise scene.driving.no_face()
    if not scene.counts.source_seen:
        raise scene.source.no_face()


def _driven(scene: Scene) -> Iterator[DrivenFrame | None]:
    """Yield driving frames as --on-missing says; None for a skipped one; a still again and again."""
    counts, path = scene.counts, scene.driving.path
    for index, driven in enumerate(prefetch(scene.driving.frames(), 4)):
        if driven.found:
            counts.found += 1
        elif scene.options.on_missing == "fail":
            raise NoFaceError(f"{path}: no face in frame {index}; --on-missing hold keeps the last motion instead")
        elif scene.options.on_missing == "skip":
            counts.skipped += 1
            yield None
            continue
        else:
            counts.held += 1
        yield driven
        while scene.driving.is_still and scene.source.is_video:
            yield driven


def _render_frame(scene: Scene, source: SourceFrame, driven: DrivenFrame, index: int) -> Frame:
    share = min(1.0, index / max(1, scene.total - 1))
    rendered = [_render_face(scene, face, driven.motion, share) for face in source.faces]
    frame = scene.finish(source, rendered)
    return side_by_side(source.frame, driven.picture, frame) if scene.options.compare else frame


def _render_face(scene: Scene, face: SourceFace, motion: Motion | None, share: float) -> Frame | None:
    """Render one face of the source under the motion of a driving frame; None when it is out of sight."""
    model, options = scene.model, scene.options
    if face.appearance is None:
        return None
    own = face.appearance.motion
    reference = scene.reference
    if motion is None:  # no face was seen yet: the source keeps still
        motion = reference = own
    base = own if reference is None else reference
    if options.region != "all":
        pose_moves = options.region == "pose"
        extra_moves = pose_moves or model.surroundings_move_with == "all"
        mask = model.expression_mask(options.region)
        motion = restrict_motion(base, motion, pose=pose_moves, extra=extra_moves, expression_mask=mask)
    motion = blend_motion(base, motion, options.strength)
    pose = pose_override(scene.sweeps, share, absolute=options.absolute_pose)
    with torch.inference_mode():
        driven = require_finite_state(model.drive(face.appearance, motion, reference, pose), scene.source.path)
        image = model.render(face.appearance, driven)
    return frame_of(image, scene.source.path)


def side_by_side(*pictures: Frame | None) -> Frame:
    """Return pictures next to each other, brought to the height of the last; None is left out."""
    there = [picture for picture in pictures if picture is not None]
    height = there[-1].shape[0]
    scaled = [resize_frame(p, (height, max(1, round(p.shape[1] * height / p.shape[0])))) for p in there]
    return np.concatenate(scaled, axis=1)
