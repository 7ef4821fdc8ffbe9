"""A portrait that is driven live: pictures of a camera in, pictures of the portrait out, one at a time.

Reading and rendering are two stages that may run in a thread each, so that both cores of a small machine are used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.face.mesh import Select
from vid2vid_cli.geometry.regions import Mouth
from vid2vid_cli.models.named_expressions import NamesExpressions
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.backdrop import Backdrop, open_backdrop
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.driving.manner import Manner
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.live_controls import LiveControls, asked_angles, check_controls
from vid2vid_cli.pipeline.live_reader import LiveReader, LiveReading
from vid2vid_cli.pipeline.manner import manner_of
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.pose import pose_override
from vid2vid_cli.pipeline.source import Source, SourceFrame
from vid2vid_cli.pipeline.source_renderer import Baseline, SourceRenderer

NOTHING = DrivenFrame(None, False, None)
WARMING_UP = ("jawOpen=0.6", "eyeBlink_L=1,eyeBlink_R=1", "eyeLookIn_L=0.5,eyeLookOut_R=0.5")
WARMING_PICTURES = 8  # as many as it takes to estimate a rest


@dataclass(frozen=True)
class LiveSetup:
    """What of the driving is used, for as long as a portrait lives.

    driving_face: which face of the camera's picture. mouth: what fills an opening mouth. wrinkles: how much of the
    driving's wrinkles shows, 0 to 1. fps: about how many pictures will be read a second. manner: how much a person
    file's own way of moving counts, 0 to 1, see driving.manner; with relative motion only.
    """

    driving_face: Select = "largest"
    mouth: Mouth = "auto"
    wrinkles: float = 1.0
    fps: float = 25.0
    manner: float = 0.0


@dataclass(frozen=True)
class _Portrait:
    """A source that is open, with what renders it."""

    source: Source
    still: SourceFrame
    renderer: SourceRenderer
    manner: Manner | None = None

    def driven(self, driven: DrivenFrame, baseline: Baseline) -> DrivenFrame:
        """Return what drives it in its person's own manner, where that is asked for and the driving's rest is known."""
        if self.manner is None or driven.motion is None or baseline.reference is None:
            return driven
        return replace(driven, motion=self.manner(driven.motion, baseline.reference, is_new=driven.found))


class LivePortrait:
    """Portraits of which one is shown at a time, driven by the pictures of a camera.

    Call `read` for each picture of the camera and `render` for each reading: each from one thread at a time, which may
    be two different ones. All else may be called from any thread. The networks run in the threads that call; set
    torch's own to one (`models.device.set_threads`), since the two stages share the cores already.
    """

    def __init__(
        self,
        engine: Engine,
        sources: Sequence[str | Path | Frame],
        options: PictureOptions,
        warn: Callable[[str], None],
        *,
        setup: LiveSetup | None = None,
        controls: LiveControls | None = None,
    ) -> None:
        """Open the portrait that is shown first; the others when they are needed, or with `prepare`.

        sources: pictures by their paths, or uint8 RGB (H, W, 3). options: which face moves, and the size of the output;
        its background is that of `controls`. warn: takes a line. Raises a subclass of Vid2VidError in one line.
        """
        if not sources:
            raise ValueError("a live portrait needs a source")
        self._engine, self._sources, self._warn = engine, list(sources), warn
        self._options = replace(options, background="keep")
        self._setup = setup or LiveSetup()
        self._open: dict[int, _Portrait] = {}
        self._opening, self._rendering = threading.Lock(), threading.RLock()
        self._backdrop: tuple[object, Backdrop | None] = ((0, "keep"), None)
        self._last: Frame | None = None
        self._shown = 0  # the source that was rendered last
        self._controls = self._checked(controls or LiveControls())
        self._reader = LiveReader(self._reader_setup(), self._setup.fps)
        self._portrait(self._controls.source)

    def _reader_setup(self) -> ReaderSetup:
        engine, setup = self._engine, self._setup
        return ReaderSetup(
            engine.loaded.model,
            engine.analyzer,
            setup.driving_face,
            engine.device,
            max_pixels=self._options.max_pixels,
            follows=False,  # beside the head nothing moves: that takes as long as all else together
            shows=setup.mouth in ("auto", "driving"),
            wrinkles=setup.wrinkles,
        )

    @property
    def controls(self) -> LiveControls:
        """What the user has set. Assigning raises UsageError in one line for what makes no sense."""
        return self._controls

    @controls.setter
    def controls(self, controls: LiveControls) -> None:
        self._controls = self._checked(controls)

    def _checked(self, controls: LiveControls) -> LiveControls:
        check_family(self._engine.loaded.family, asked_angles(controls), controls.region)
        return check_controls(controls, len(self._sources), self._engine.loaded.model)

    @property
    def source_count(self) -> int:
        """How many portraits there are to choose from."""
        return len(self._sources)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures of the portrait that is chosen."""
        height, width = self._portrait(self._controls.source).still.frame.shape[:2]
        return height, width

    def prepare(self) -> None:
        """Open all portraits, so that switching takes no time. One that cannot be opened is said when it is chosen."""
        for number in range(len(self._sources)):
            try:
                self._portrait(number)
            except Vid2VidError:
                continue

    def warm_up(self) -> None:
        """Let all that is compiled or loaded at first use be so now: let the portrait drive itself, and speak."""
        reader = LiveReader(self._reader_setup(), self._setup.fps)
        own = self._portrait(self._controls.source)
        model, usual = self._engine.loaded.model, LiveControls()
        speaks = isinstance(model, NamesExpressions) and model.expression_names
        tried = [usual] + [LiveControls(expressions=text) for text in WARMING_UP if speaks]
        with self._rendering, torch.inference_mode():
            for number in range(WARMING_PICTURES):
                reading = reader.read(own.still.frame, usual, float(number))
            baseline = Baseline(reading.rest.motion, reading.rest.look) if reading.rest is not None else Baseline()
            for controls in tried:
                own.renderer.control(controls.motion_controls(self._setup.mouth))
                own.renderer.render(own.still, reading.driven, baseline, own.renderer.asked(pose_of(controls)))

    def take_reference(self) -> None:
        """Let the next picture with a face show the neutral face, which is what motion is relative to."""
        self._reader.take_reference()

    def read(self, picture: Frame, time_s: float | None = None) -> LiveReading:
        """Find the face in a camera's picture (H, W, 3) and read its motion. time_s: when it was taken; None: now."""
        return self._reader.read(picture, self._controls, time.perf_counter() if time_s is None else time_s)

    def render(self, reading: LiveReading) -> Frame:
        """Return the portrait (H, W, 3), moved as a reading says, in the size of its picture."""
        with self._rendering:
            if self._controls.is_frozen and self._last is not None:
                return self._last
            rest = reading.rest
            is_relative = self._controls.relative and rest is not None
            baseline = Baseline(rest.motion, rest.look) if is_relative and rest is not None else Baseline()
            self._last = self._rendered(reading.driven, baseline)
            return self._last

    def still(self) -> Frame:
        """Return the portrait (H, W, 3) at rest, with the angles, expressions and gaze that are set."""
        with self._rendering:
            return self._rendered(NOTHING, Baseline())

    @torch.inference_mode()
    def _rendered(self, driven: DrivenFrame, baseline: Baseline) -> Frame:
        controls = self._controls
        portrait = self._chosen(controls.source)
        portrait.renderer.control(controls.motion_controls(self._setup.mouth))
        asked = portrait.renderer.asked(pose_of(controls))
        moved = portrait.driven(driven, baseline)
        frame = portrait.renderer.render(portrait.still, moved, baseline, asked)
        backdrop = self._background_of(self._shown, controls.background)
        return frame if backdrop is None else backdrop(frame)

    def _chosen(self, number: int) -> _Portrait:
        """Return the portrait that is chosen; the one before it, with a warning, if that cannot be opened."""
        try:
            portrait = self._portrait(number)
        except Vid2VidError as error:
            if self._shown not in self._open:
                raise
            self._warn(str(error))
            self._controls = replace(self._controls, source=self._shown)
            return self._open[self._shown]
        self._shown = number
        return portrait

    def _portrait(self, number: int) -> _Portrait:
        with self._opening:
            if number not in self._open:
                self._open[number] = self._open_source(self._sources[number])
            return self._open[number]

    def _open_source(self, subject: str | Path | Frame) -> _Portrait:
        source = Source(subject, self._options, self._engine, self._warn)
        if source.is_video:
            raise UsageError(f"{source.path}: is a video, which ends; give a picture to be shown live")
        still = next(source.frames())
        controls = self._controls.motion_controls(self._setup.mouth)
        renderer = SourceRenderer(self._engine.loaded.model, source, controls)
        return _Portrait(source, still, renderer, self._manner_of(source))

    def _manner_of(self, source: Source) -> Manner | None:
        """Return the manner of a source's person, if it is asked for. UsageError where it is unknown."""
        share, model = self._setup.manner, self._engine.loaded.model
        return manner_of(source, model, share, self._setup.fps) if share else None

    def _background_of(self, number: int, text: str) -> Backdrop | None:
        """Return what lays a background behind a portrait, opened anew where either has changed; None keeps its own."""
        key, backdrop = self._backdrop
        if key != (number, text):
            if backdrop is not None:
                backdrop.close()
            # Noted first: what cannot be opened is said once.
            self._backdrop = (number, text), None
            try:
                self._backdrop = (number, text), self._open_background(text)
            except Vid2VidError as error:
                self._warn(str(error))
        return self._backdrop[1]

    def _open_background(self, text: str) -> Backdrop | None:
        background = parse_background(text)
        if background.kind == "keep":
            return None
        fps = Fraction(self._setup.fps).limit_denominator(1000)
        return open_backdrop(background, fps, self._options, self._warn)

    def close(self) -> None:
        """Release what was opened."""
        with self._rendering:
            self._open.clear()
            if self._backdrop[1] is not None:
                self._backdrop[1].close()
            self._backdrop = (0, "keep"), None


def pose_of(controls: LiveControls) -> PoseOverride | None:
    """Return the angles that are added to the motion; None if all are 0."""
    return pose_override(asked_angles(controls), 0.0, absolute=False)
