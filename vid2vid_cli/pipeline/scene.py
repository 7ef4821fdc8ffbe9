"""A scene: a source, what drives it, and the frames that result, without a file being written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from types import TracebackType
from typing import Protocol

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.face.compositing import alpha_between, side_by_side
from vid2vid_cli.models.base import KnowsRest, ReenactmentModel, shape_of
from vid2vid_cli.models.following import Follows
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference, ShotStart
from vid2vid_cli.pipeline.finite import require_finite_motion
from vid2vid_cli.pipeline.motion_controls import MotionControls
from vid2vid_cli.pipeline.pose import Sweeps, pose_override
from vid2vid_cli.pipeline.received_views import ReceivedViews
from vid2vid_cli.pipeline.source import Source, SourceFrame
from vid2vid_cli.pipeline.source_renderer import ON_BLACK, Baseline, SourceRenderer
from vid2vid_cli.process.streaming import prefetch
from vid2vid_cli.smoothing import MotionSmoother

SAMPLED_FPS, SAMPLED_FRAMES = Fraction(8), 32  # of a source video, to see how its faces rest


@dataclass(frozen=True)
class FrameInfo:
    """What is known of one output frame.

    index: its number from 0. time_s: seconds after the first frame. found: whether its driving frame showed a face; if
    not, the last motion is held. is_repeat: whether it is the previous frame again, as the driving asked.
    """

    index: int
    time_s: float
    found: bool
    is_repeat: bool = False


@dataclass
class FaceCounts:
    """Counts frames with and without a face. held: of the driving, shown with the last motion.

    skipped: of the driving, left out. source_lost: of the source, shown as they are.
    """

    found: int = 0
    held: int = 0
    skipped: int = 0
    source_seen: int = 0
    source_lost: int = 0


class ReplacesBackground(Protocol):
    """Changes what is behind the person in frames that follow one another."""

    def __call__(self, frame: Frame, driving: Frame | None) -> Frame:
        """Return the next frame with another background; its alpha may come or go. driving: its picture."""
        ...

    def close(self) -> None:
        """Release what has been opened."""
        ...


class Scene:
    """A source under a driving: iterate over it for `(frame, info)`, or over `frames()` for the frames alone.

    A frame is uint8 RGB (height, width, 3), or (height, width, 4) with straight alpha if it is transparent. Past frames
    are not kept, so a scene of hours needs no more memory than one of seconds. It can be played once. Close it, or use
    it as a context manager.
    """

    def __init__(
        self,
        model: ReenactmentModel,
        source: Source,
        driving: Driving,
        controls: MotionControls,
        sweeps: Sweeps,
        *,
        fps: Fraction | None = None,
    ) -> None:
        """Take a source and a driving that are open; `close` closes the driving.

        sweeps: yaw, pitch and roll over the length of the scene. fps: the rate of a source
        video whose driving is a still; None: its own.
        """
        self.source, self.driving, self.controls = source, driving, controls
        self.counts = FaceCounts()
        self.reference: Reference | None = None
        """What counts in the driving as the source's rest; None: motion is taken as it is."""
        self.look_at_rest: object | None = None
        """What the family shows of the driving at rest, see models.base.ShowsDriving."""
        self._model, self._sweeps, self._asked_fps = model, sweeps, fps
        self._renderer = SourceRenderer(model, source, controls)
        self._shows_all_three = False
        self._backdrop: ReplacesBackground | None = None
        self._views = ReceivedViews(model, source, float(driving.fps))
        self._is_sender = False  # whether the call that drives is the source's

    @property
    def fps(self) -> Fraction:
        """Frames a second of the output."""
        if self.driving.is_still and self.source.info is not None:
            return self._asked_fps or self.source.info.fps
        return self.driving.fps

    @property
    def total(self) -> int | None:
        """How many frames there will be, as far as can be told; None if nobody knows, as in a live call."""
        if not self.source.is_video:
            return self.driving.count
        frames = self.source.frame_count(self.fps)
        return frames if self.driving.is_still or self.driving.count is None else min(self.driving.count, frames)

    def find_reference(self, frame: str) -> None:
        """Find the reference frame, which makes motion relative. frame: its number, auto or picture."""
        if not self.driving.is_still:  # a still has nothing to be relative to
            own = self.source.first_appearance().motion
            self._is_sender = not self.source.is_video and self.driving.is_of(self.source.path)
            if self._is_sender:
                self.driving.know_shape(shape_of(self._model, own))
            self.reference = self.driving.find_reference(self._model, own, frame)
            self._leave_face(own, self.reference.motion)
            self.look_at_rest = self.driving.look_at_rest(self.reference.motion)
            if self.source.is_video and isinstance(self._model, KnowsRest):
                self._renderer.own_rests = source_rests(self._model, self.source)

    def _leave_face(self, own: Motion, reference: Motion) -> None:
        """Spare the driving what one face in a picture does not use."""
        one_face = not self.source.is_video and self.source.options.face != "all"
        if one_face and isinstance(self._model, Follows) and not self._model.follows_face(own, reference):
            self.driving.leave_face()

    def show_side_by_side(self) -> None:
        """Show source and driving beside every frame."""
        self._shows_all_three = True

    def keep_around_mouth(self) -> None:
        """Leave all but the lower face as the source shows it, to the bit."""
        self._renderer.finish.keeps_around_mouth = True

    def show_alpha(self) -> None:
        """Leave a transparent source transparent. Every frame is then rendered twice."""
        self.source.show_alpha()

    def replace_background(self, backdrop: ReplacesBackground) -> None:
        """Put something else behind the person."""
        self._backdrop = backdrop

    def frames(self) -> Iterator[Frame]:
        """Yield the output frames in order. NoFaceError at the end if no face was ever seen."""
        return (frame for frame, _ in self)

    def __iter__(self) -> Iterator[tuple[Frame, FrameInfo]]:
        try:
            yield from self._play()
        finally:
            if self._backdrop is not None:
                self._backdrop.close()

    def _play(self) -> Iterator[tuple[Frame, FrameInfo]]:
        smoother = self._new_smoother()
        last: Frame | None = None
        numbers, total = itertools.count(), self.total or 0  # a live call takes one angle, which lasts
        for index, (source, driven) in enumerate(zip(self.source.frames(self.fps), self._driven(), strict=False)):
            if driven is None:
                continue
            if driven.starts is not None:
                smoother = self._begin_shot(driven.starts)
            if driven.rest is not None and self.reference is not None:
                self.reference = replace(self.reference, motion=driven.rest)
            self._take_patches(source, driven)
            is_repeat = driven.is_repeat and last is not None
            if last is None or not is_repeat:
                self._count(source)
                share = min(1.0, index / max(1, total - 1))
                last = self._render(source, self._smoothed(driven, smoother), share)
            number = next(numbers)
            yield last, FrameInfo(number, float(number / self.fps), driven.found, is_repeat)
        if not self.counts.found:
            raise self.driving.no_face()
        if not self.counts.source_seen:
            raise self.source.no_face()

    def _take_patches(self, source: SourceFrame, driven: DrivenFrame) -> None:
        """Take what a call has sent of its sender, who is the source if its own picture is."""
        if self._is_sender and self.reference is not None:
            self._views.take(driven.patches, source, self.reference.motion)

    def _new_smoother(self) -> MotionSmoother | None:
        return MotionSmoother(self.controls.smooth, float(self.driving.fps)) if self.controls.smooth else None

    def _begin_shot(self, starts: ShotStart) -> MotionSmoother | None:
        """Take the rest of another shot of the driving; return a smoother that knows nothing of the one before."""
        self.reference, self.look_at_rest = starts.reference, starts.look_at_rest
        return self._new_smoother()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what the driving and the background have opened."""
        self.driving.close()
        if self._backdrop is not None:
            self._backdrop.close()

    def _driven(self) -> Iterator[DrivenFrame | None]:
        """Yield driving frames as `on_missing` says: None for a skipped one; a still again and again."""
        counts, path = self.counts, self.driving.path
        for index, driven in enumerate(prefetch(self.driving.frames(), 4)):
            if driven.found:
                counts.found += 1
            elif self.controls.on_missing == "fail":
                raise NoFaceError(f"{path}: no face in frame {index}; --on-missing hold keeps the last motion instead")
            elif self.controls.on_missing == "skip":
                counts.skipped += 1
                yield None
                continue
            else:
                counts.held += 1
            yield driven
            while self.driving.is_still and self.source.is_video:
                yield driven

    def _smoothed(self, driven: DrivenFrame, smoother: MotionSmoother | None) -> DrivenFrame:
        if driven.motion is None:
            return driven
        motion = require_finite_motion(driven.motion, self.driving.path)
        return driven if smoother is None else replace(driven, motion=smoother(motion))

    def _count(self, source: SourceFrame) -> None:
        is_seen = not source.mouth_share or any(face.appearance is not None for face in source.faces)
        self.counts.source_seen += is_seen
        self.counts.source_lost += not is_seen

    def _render(self, source: SourceFrame, driven: DrivenFrame, share: float) -> Frame:
        """Render one output frame. share: its place in the scene, 0 to 1."""
        pose = pose_override(self._sweeps, share, absolute=self.controls.absolute_pose)
        asked = self._renderer.asked(pose, share)
        baseline = Baseline(None if self.reference is None else self.reference.motion, self.look_at_rest)
        frame = self._views.eased(source, lambda shown: self._renderer.render(shown, driven, baseline, asked))
        if source.on_black is not None:
            # How far two grounds show through a rendering is its alpha, whatever the family does to a picture.
            on_black = self._renderer.render(source.on_black, driven, baseline, asked, first=ON_BLACK)
            frame = alpha_between(frame, on_black)
        if self._backdrop is not None:
            frame = self._backdrop(frame, driven.picture)
        return side_by_side(source.frame, driven.picture, frame) if self._shows_all_three else frame


def source_rests(model: KnowsRest, source: Source) -> dict[int, Motion]:
    """Estimate how each face of a source video rests, from its first seconds: motions of one frame."""
    seen: dict[int, list[Motion]] = {}
    for frame in itertools.islice(source.frames(SAMPLED_FPS, has_views=False), SAMPLED_FRAMES):
        for number, face in enumerate(frame.faces):
            if face.appearance is not None:
                seen.setdefault(number, []).append(face.appearance.motion)
    return {number: model.rest(join_motions(motions)).motion for number, motions in seen.items()}
