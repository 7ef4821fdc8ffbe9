"""Extract the motion of a driving into a file that can drive later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.models.base import ReenactmentModel, shape_of
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.motion_file import MotionFile
from vid2vid_cli.pipeline.driving.base import FileDriving
from vid2vid_cli.pipeline.driving.live_link import take_of_motion
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup, SpeechSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.expression import require_names
from vid2vid_cli.pipeline.motion_output import save_motion, save_take
from vid2vid_cli.pipeline.options import MotionOptions
from vid2vid_cli.pipeline.output import misleading_name
from vid2vid_cli.pipeline.parsing import check_motion_numbers, parse_face, reading_options
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.smoothing import MotionSmoother


def extract_motion(
    driving: str | Path,
    output: str | Path,
    options: MotionOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Result:
    """Write the motion of a driving (a video, picture, sound, call, take or motion file) as a motion file or a take.

    Frames without a face hold the last motion and are marked; those before the first face get the first motion.
    Raises a subclass of Vid2VidError whose text is one line; no partial file is left behind then.
    """
    began = time.perf_counter()
    options, hooks = options or MotionOptions(), hooks or Hooks()
    log = WarningLog(hooks)
    check_motion_numbers(options)
    target = Path(output)
    check_output(target, force=options.force, inputs=[Path(driving)], is_file=True)
    if (note := misleading_name(target, "a motion file", ".safetensors")) is not None:
        log.warn(note)
    engine = start_engine(options, model)
    if target.suffix.lower() == ".csv":
        require_names(engine.loaded.model, str(target))
    select = parse_face(options.driving_face, "driving-face")
    setup = ReaderSetup(
        engine.loaded.model,
        engine.analyzer,
        select,
        engine.device,
        max_pixels=options.max_pixels,
        speech=SpeechSetup(options.head, options.seed),
    )
    with closing(open_driving(Path(driving), reading_options(options, log), setup)) as clip:
        smoother = MotionSmoother(options.smooth, float(clip.fps)) if options.smooth else None
        motions, found, skipped = _collect(clip, options, smoother, hooks)
    # A motion file holds how somebody moved, not what they look like: it has to fit any source.
    motion = _without_constant_shape(engine.loaded.model, join_motions(motions), torch.tensor(found))
    content = MotionFile(motion, torch.tensor(found), clip.fps, engine.loaded.family.name)
    provenance = provenance_of(engine.loaded, options, driving=driving)
    if target.suffix.lower() == ".csv":
        save_take(target, take_of_motion(engine.loaded.model, content), force=options.force)
    else:
        save_motion(target, content, provenance, force=options.force)
    held = len(found) - sum(found)
    if held:
        log.warn(f"{driving}: no face in {held} of {len(found)} frames; the last motion was held")
    size = clip.picture_size or (0, 0)  # of the driving, since a motion file has no pictures
    seconds = time.perf_counter() - began
    return Result(target, len(found), held, skipped, seconds, clip.fps, size, tuple(log.warnings))


def _collect(
    clip: FileDriving, options: MotionOptions, smoother: MotionSmoother | None, hooks: Hooks
) -> tuple[list[Motion], list[bool], int]:
    """Return the motions, whether each of their frames had a face, and how many frames were skipped."""
    motions: list[Motion | None] = []
    found: list[bool] = []
    skipped = 0
    for index, (motion, is_found) in enumerate(_smoothed(clip, smoother)):
        hooks.progress(index + 1, clip.count)
        if not is_found and options.on_missing == "fail":
            raise NoFaceError(f"{clip.path}: no face in frame {index}; --on-missing hold keeps the last motion instead")
        if not is_found and options.on_missing == "skip":
            skipped += 1
            continue
        motions.append(motion)
        found.append(is_found)
    first = next((motion for motion in motions if motion is not None), None)
    if first is None or not any(found):
        raise clip.no_face()
    # A motion file has a motion in every frame. What came before the first face is marked as not found.
    return [first if motion is None else motion for motion in motions], found, skipped


def _without_constant_shape(model: ReenactmentModel, motion: Motion, found: Tensor) -> Motion:
    """Remove the shape of the face from a clip's motion: what belongs to the person and not to the movement.

    found: (N,), the frames that show the face.
    """
    # One constant for the whole clip: taken out frame by frame, the shape's noise would become movement.
    shape = shape_of(model, motion)[found].mean(0, keepdim=True)
    return replace(motion, expression=motion.expression - shape)


def _smoothed(clip: FileDriving, smoother: MotionSmoother | None) -> Iterator[tuple[Motion | None, bool]]:
    """Yield the motion of each frame, None before the first face, and whether the frame shows the face."""
    for driven in clip.frames():
        motion = driven.motion
        if motion is not None and smoother is not None:
            motion = smoother(motion)
        yield motion, driven.found
