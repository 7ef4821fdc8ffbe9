"""Free view: turn the head of a portrait, or of every frame of a clip."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.checkpoints.reading import bundled_file
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import ReadOptions, WriteOptions, audio_of
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.finite import retried_in_float32
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.output import check_target, is_picture_name, write_frames, write_options
from vid2vid_cli.pipeline.parsing import parse_fps
from vid2vid_cli.pipeline.pose import AXES, Sweeps, parse_sweeps, warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.scene import MotionControls, Scene
from vid2vid_cli.pipeline.source import Source, check_picture

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
    sweeps = parse_sweeps(options)
    if not any(sweeps):
        raise UsageError("rotate: say where to turn: --yaw, --pitch, --roll or --frontalize")
    check_picture(options)
    if output is not None:  # before anything is loaded; a default name depends on the source
        check_output(output, force=options.force, inputs=[Path(source)] if source else [])
    fps = parse_fps(options.fps) or Fraction(25)
    if not 0 <= options.columns <= MOST_VIEWS_OF_A_SHEET:
        raise UsageError(f"--columns {options.columns}: write a number from 1, or 0 to let vid2vid choose")
    path = Path(source) if source is not None else bundled_file("examples", EXAMPLE)
    engine = start_engine(options, model, memory)
    check_family(engine.loaded.family, sweeps)
    turned = Source(path, options, engine, log.warn)
    controls = MotionControls(absolute_pose=options.absolute_pose)
    views = turned.frame_count() or view_count(sweeps)
    scene = Scene(engine.loaded.model, turned, AtRest(turned, fps, views), controls, sweeps)
    target = output if output is not None else Path(f"{path.stem}--rotated{'.png' if views == 1 else '.mp4'}")
    check_output(target, force=options.force, inputs=[path])
    check_target(target, options, is_clip=turned.is_video)  # the views of a still may stand in one picture
    warn_of_range(engine.loaded.model, sweeps, options, log)
    writing = _write_options(scene, options, provenance_of(engine.loaded, options, source=path))
    if is_picture_name(target) and views > 1:
        frames, size = 1, _write_sheet(target, scene, view_labels(sweeps, views), options.columns, writing)
    else:
        frames, size = write_frames(target, scene.frames(), writing, views, hooks or Hooks())
    lost = scene.counts.source_lost
    if lost:
        log.warn(f"{path}: no face in {lost} of {frames} frames; they stay as they are")
    seconds = time.perf_counter() - began
    return Result(Path(target), frames, lost, 0, seconds, writing.fps, size, tuple(log.warnings))


def _write_options(scene: Scene, options: RotateOptions, provenance: Provenance) -> WriteOptions:
    info = scene.source.info
    if info is None:
        return write_options(options, scene.fps, provenance)
    audio = audio_of(scene.source.path, info, ReadOptions())
    return write_options(options, scene.fps, provenance, audio, info.pixel_aspect)


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


def view_labels(sweeps: Sweeps, views: int) -> list[str]:
    """Return a label with the angles of each view."""
    shares = [index / max(1, views - 1) for index in range(views)]
    return [
        " ".join(f"{name} {sweep.at(share):+g}" for name, sweep in zip(AXES, sweeps, strict=True) if sweep)
        for share in shares
    ]


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


def view_count(sweeps: Sweeps) -> int:
    """Return how many views a sweep has: those of its longest axis."""
    return max(sweep.count for sweep in sweeps if sweep is not None)


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
