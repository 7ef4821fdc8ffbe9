"""Free view: turn the head of a portrait, or of every frame of a clip, and change its expression."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.checkpoints.reading import bundled_file
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import ReadOptions, WriteOptions, audio_of
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.gaze_request import GazeRequest
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.backdrop import set_background
from vid2vid_cli.pipeline.background import clip_suffix
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.expression import Expressions, parse_expressions, parse_gaze
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.finite import retried_in_float32
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.motion_controls import MotionControls
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.output import (
    check_name,
    check_target,
    is_picture_name,
    may_move,
    unused_encoding,
    write_frames,
    write_options,
)
from vid2vid_cli.pipeline.parsing import parse_fps
from vid2vid_cli.pipeline.pose import AXES, Sweeps, parse_sweeps, warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.roles import check_source
from vid2vid_cli.pipeline.scene import Scene
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.pipeline.source_faces import check_picture
from vid2vid_cli.pipeline.unseen_side import warn_of_unseen_side

EXAMPLE = "portrait.jpg"
MOST_VIEWS_OF_A_SHEET = 400


@retried_in_float32
def rotate(
    source: str | Path | None = None,
    output: str | Path | None = None,
    options: RotateOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
    memory: Memory | None = None,
) -> Result:
    """Turn the head of a source and write a picture, or a clip or contact sheet of a sweep.

    source: image or video; None takes the bundled example. output: a picture (one view, or a contact sheet of a
    sweep), a video, a GIF or a folder; default `{source}--rotated.png`, .mp4 for a sweep or a video.
    Raises a subclass of Vid2VidError whose text is one line; nothing is left behind then.
    """
    began = time.perf_counter()
    options = _with_frontal_pose(options or RotateOptions())
    log = WarningLog(hooks or Hooks())
    sweeps, expressions, gaze = parse_turn(options)
    if output is not None:  # before anything is loaded; a default name depends on the source
        check_output(output, force=options.force, inputs=[Path(source)] if source else [])
        check_name(output, options)
    fps = parse_fps(options.fps) or Fraction(25)
    path = Path(source) if source is not None else bundled_file("examples", EXAMPLE)
    engine = start_engine(options, model, memory)
    check_family(engine.loaded.family, sweeps)
    check_source(path)
    turned = Source(path, options, engine, log.warn)
    controls = MotionControls(absolute_pose=options.absolute_pose, expressions=expressions, gaze=gaze)
    views = turned.frame_count() or view_count(sweeps, expressions)
    scene = Scene(engine.loaded.model, turned, AtRest(turned, fps, views), controls, sweeps)
    target = (
        output if output is not None else Path(f"{path.stem}--rotated{'.png' if views == 1 else clip_suffix(options)}")
    )
    check_output(target, force=options.force, inputs=[path])
    check_target(target, options, is_clip=turned.is_video)  # the views of a still may stand in one picture
    _check_loop(target, options, is_sweep=views > 1 and not turned.is_video)
    note = None if may_move(target) and views > 1 else unused_encoding(target, options)
    if note is not None:
        log.warn(note)
    set_background(scene, options, target, log.warn)
    _warn_of_turns(engine.loaded.model, turned, sweeps, options, log)
    writing = _write_options(scene, options, provenance_of(engine.loaded, options, log, source=path), log)
    labels = view_labels(sweeps, expressions, views)
    frames, size = _write(target, scene, writing, labels, options, hooks=hooks or Hooks())
    lost = scene.counts.source_lost
    if lost:
        log.warn(f"{path}: no face in {lost} of {frames} frames; they stay as they are")
    seconds, warnings = time.perf_counter() - began, tuple(log.warnings)
    return Result(Path(target), frames, lost, 0, seconds, writing.fps, size, warnings, is_partial=log.is_partial)


def parse_turn(options: RotateOptions) -> tuple[Sweeps, Expressions, GazeRequest | None]:
    """Parse all that can be told from the options alone. UsageError for what makes no sense."""
    turned = _with_frontal_pose(options)
    sweeps, expressions, gaze = parse_sweeps(turned), parse_expressions(options), parse_gaze(options)
    if not any(sweeps) and not expressions and gaze is None:
        raise UsageError("rotate: say where to turn: --yaw, --pitch, --roll, --frontalize; or --expression or --gaze")
    check_picture(options)
    parse_fps(options.fps)
    if not 0 <= options.columns <= MOST_VIEWS_OF_A_SHEET:
        raise UsageError(f"--columns {options.columns}: write a number from 1, or 0 to let vid2vid choose")
    return sweeps, expressions, gaze


def _check_loop(target: str | Path, options: RotateOptions, *, is_sweep: bool) -> None:
    if options.loop == "pingpong" and (not is_sweep or is_picture_name(target)):
        raise UsageError(f"--loop pingpong: {target} is no sweep of a picture; give angles A:B:STEP and a .gif or .mp4")


def _warn_of_turns(
    model: ReenactmentModel, source: Source, sweeps: Sweeps, options: RotateOptions, log: WarningLog
) -> None:
    if options.absolute_pose:
        warn_of_unseen_side(model, source, sweeps, log)
    else:
        warn_of_range(model, sweeps, options, log)


def _write(
    target: str | Path, scene: Scene, writing: WriteOptions, labels: list[str], options: RotateOptions, *, hooks: Hooks
) -> tuple[int, tuple[int, int]]:
    """Write all views. Returns the number of frames and their size (height, width)."""
    views = len(labels)
    if is_picture_name(target) and views > 1 and not scene.source.is_video:
        return 1, _write_sheet(target, scene, labels, options.columns, writing)
    if options.loop == "pingpong":
        return write_frames(target, there_and_back(scene.frames()), writing, max(views, 2 * views - 2), hooks)
    return write_frames(target, scene.frames(), writing, views, hooks)


def _write_options(scene: Scene, options: RotateOptions, provenance: Provenance, log: WarningLog) -> WriteOptions:
    info = scene.source.info
    if info is None:
        return write_options(options, scene.fps, provenance, log)
    audio = audio_of(scene.source.path, info, ReadOptions())
    return write_options(options, scene.fps, provenance, log, audio=audio, pixel_aspect=info.pixel_aspect)


class AtRest(Driving):
    """Drives a source with its own pose and expression: only what the user asks for moves it."""

    def __init__(self, source: Source, fps: Fraction, views: int) -> None:
        """Take the source that is turned. fps: of a sweep over a still. views: how many angles that sweep has."""
        # A scene repeats a still driving until its source video ends. Over a still source, each angle is a frame.
        super().__init__(path=source.path, fps=fps, count=views, is_still=source.is_video)
        self._source, self._views = source, views

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield frames without a motion, each of which counts as seen."""
        return itertools.repeat(DrivenFrame(None, True, None), 1 if self.is_still else self._views)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return the source's own motion: nothing else drives it."""
        return Reference(own)

    def no_face(self) -> Vid2VidError:
        """Return the source's own error: there is no other file."""
        return self._source.no_face()


def view_labels(sweeps: Sweeps, expressions: Expressions, views: int) -> list[str]:
    """Return a label with the angles and the expressions of each view."""
    labels = []
    for share in (index / max(1, views - 1) for index in range(views)):
        angles = [f"{name} {sweep.at(share):+g}" for name, sweep in zip(AXES, sweeps, strict=True) if sweep]
        strengths = [f"{name} {sweep.at(share):g}" for name, sweep in expressions.items()]
        labels.append(" ".join(angles + strengths))
    return labels


def _with_frontal_pose(options: RotateOptions) -> RotateOptions:
    """Return the options with --frontalize spelt out; angles given beside it take precedence."""
    if not options.frontalize:
        return options
    return replace(
        options,
        absolute_pose=True,
        yaw=options.yaw or "0",
        pitch=options.pitch or "0",
        roll=options.roll or "0",
    )


def view_count(sweeps: Sweeps, expressions: Expressions) -> int:
    """Return how many views a sweep has: those of its longest axis or expression."""
    return max((sweep.count for sweep in (*sweeps, *expressions.values()) if sweep is not None), default=1)


def there_and_back(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield frames of one size, then all but the last and the first of them backwards, so that a loop has no jump."""
    with tempfile.TemporaryFile() as file:  # not in memory, which stays the same however long a sweep is
        shape: tuple[int, ...] = (1,)
        for frame in frames:
            shape = frame.shape
            file.write(frame.tobytes())
            yield frame
        size = math.prod(shape)
        for number in range(file.tell() // size - 2, 0, -1):
            file.seek(number * size)
            yield np.frombuffer(file.read(size), np.uint8).reshape(shape)


def _write_sheet(
    path: str | Path, scene: Scene, labels: list[str], columns: int, writing: WriteOptions
) -> tuple[int, int]:
    """Write all views of a still as one picture; returns its size (height, width). columns: 0 to choose."""
    if len(labels) > MOST_VIEWS_OF_A_SHEET:
        raise UsageError(f"{path}: {len(labels)} views are too many for one picture; name a video or a folder")
    # A square sheet unless the user chooses. All views are in memory at once: hence the limit above.
    sheet = contact_sheet(list(scene.frames()), columns or math.ceil(math.sqrt(len(labels))), labels)
    write_image(path, sheet, provenance=writing.provenance, force=writing.force)
    return sheet.shape[0], sheet.shape[1]
