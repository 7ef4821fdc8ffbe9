"""Free view: turn the head of a portrait, or of every frame of a clip."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch

from vid2vid_cli.checkpoints.reading import bundled_file
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.video import ReadOptions, WriteOptions, audio_of, check_encoding
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.finish import Finisher
from vid2vid_cli.pipeline.finite import frame_of, require_finite_state, retried_in_float32
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.output import is_picture_name, write_frames
from vid2vid_cli.pipeline.parsing import parse_fps
from vid2vid_cli.pipeline.pose import Sweeps, parse_sweeps, pose_override, warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.source import Source, SourceFace, SourceFrame

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
    if output is not None:
        check_output(output, force=options.force, inputs=[Path(source)] if source else [])
    fps = parse_fps(options.fps) or Fraction(25)
    if not 0 <= options.columns <= MOST_VIEWS_OF_A_SHEET:
        raise UsageError(f"--columns {options.columns}: write a number from 1, or 0 to let vid2vid choose")
    path = Path(source) if source is not None else bundled_file("examples", EXAMPLE)
    engine = start_engine(options, model, memory)
    check_family(engine.loaded.family, sweeps)
    who = Source(path, options, engine, log.warn)
    views = Views(who, engine.loaded.model, options, sweeps)
    target = output if output is not None else Path(f"{path.stem}--rotated{'.png' if views.total == 1 else '.mp4'}")
    check_output(target, force=options.force, inputs=[path])
    if who.is_video and is_picture_name(target):
        raise UsageError(f"{target}: a picture cannot hold a clip; name a video, a GIF or a folder")
    if not is_picture_name(target):
        check_encoding(target, options.codec, options.crf, options.preset)
    warn_of_range(engine.loaded.model, sweeps, options, log)
    writing = _write_options(who, options, fps)
    if is_picture_name(target) and views.total > 1:
        frames, size = 1, _write_sheet(target, views, options)
    else:
        frames, size = write_frames(target, views.render(), writing, views.total, hooks or Hooks())
    if views.lost:
        log.warn(f"{path}: no face in {views.lost} of {frames} frames; they stay as they are")
    seconds = time.perf_counter() - began
    return Result(Path(target), frames, views.lost, 0, seconds, writing.fps, size, tuple(log.warnings))


class Views:
    """Renders a source from the angles asked for."""

    def __init__(self, source: Source, model: ReenactmentModel, options: RotateOptions, sweeps: Sweeps) -> None:
        self._source, self._model, self._options, self._sweeps = source, model, options, sweeps
        self.total = source.frame_count() or view_count(sweeps)
        self.lost = 0
        self._finish = Finisher(source.path, options)

    def render(self) -> Iterator[Frame]:
        """Yield a view of each source frame; a still is shown as often as the sweep has angles."""
        frames, index = self._source.frames(), -1
        for index, source in enumerate(frames if self._source.is_video else itertools.islice(frames, self.total)):
            self.lost += all(face.appearance is None for face in source.faces)
            yield self._view(source, min(1.0, index / max(1, self.total - 1)))
        if self.lost > index:
            raise self._source.no_face()

    def labels(self) -> list[str]:
        """Return the angles of each view as words."""
        shares = [index / max(1, self.total - 1) for index in range(self.total)]
        names = ("yaw", "pitch", "roll")
        return [
            " ".join(f"{name} {sweep.at(share):+g}" for name, sweep in zip(names, self._sweeps, strict=True) if sweep)
            for share in shares
        ]

    def _view(self, source: SourceFrame, share: float) -> Frame:
        return self._finish(source, [self._turn(face, share) for face in source.faces])

    @torch.inference_mode()
    def _turn(self, face: SourceFace, share: float) -> Frame | None:
        if face.appearance is None:
            return None
        own = face.appearance.motion
        pose = pose_override(self._sweeps, share, absolute=self._options.absolute_pose)
        path = self._source.path
        driven = require_finite_state(self._model.drive(face.appearance, own, own, pose), path)
        return frame_of(self._model.render(face.appearance, driven), path)


def _with_frontal_pose(options: RotateOptions) -> RotateOptions:
    """Return the options with --frontalize spelt out; angles that are given with it win."""
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
    """Return how many views a sweep has: its longest axis counts."""
    return max(sweep.count for sweep in sweeps if sweep is not None)


def _write_options(source: Source, options: RotateOptions, fps: Fraction) -> WriteOptions:
    fps = source.info.fps if source.info else fps
    audio = audio_of(source.path, source.info, ReadOptions()) if source.info else None
    return WriteOptions(
        fps=fps,
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        audio=audio,
        force=options.force,
        pixel_aspect=source.info.pixel_aspect if source.info else Fraction(1),
    )


def _write_sheet(path: str | Path, views: Views, options: RotateOptions) -> tuple[int, int]:
    """Write all views of a still as one picture. Returns the picture's size (height, width)."""
    if views.total > MOST_VIEWS_OF_A_SHEET:
        raise UsageError(f"{path}: {views.total} views are too many for one picture; name a video or a folder")
    labels = views.labels()
    columns = options.columns or math.ceil(math.sqrt(len(labels)))
    sheet = contact_sheet(list(views.render()), columns, labels)
    write_image(path, sheet, force=options.force)
    return sheet.shape[0], sheet.shape[1]
