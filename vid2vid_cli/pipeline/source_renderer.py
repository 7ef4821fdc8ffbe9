"""Render the faces of a source under a motion: what a scene does for each frame, and a live portrait as well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from vid2vid_cli.arrays import Frame
from vid2vid_cli.geometry.regions import Mouth
from vid2vid_cli.models.base import KnowsRest, ReenactmentModel, SourceAppearance
from vid2vid_cli.models.manner import KnowsMovements
from vid2vid_cli.motion import Motion, PoseOverride, blend_motion, restrict_motion
from vid2vid_cli.pipeline.animator import Animator
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.expression import require_gaze, require_names, weights_at
from vid2vid_cli.pipeline.finish import Finisher
from vid2vid_cli.pipeline.motion_controls import Asked, MotionControls
from vid2vid_cli.pipeline.source import Source, SourceFace, SourceFrame
from vid2vid_cli.pipeline.turning import TurnCalibration

ON_BLACK = 1 << 16  # added to the number of a face on black, which moves exactly as on its own ground


class Baseline(NamedTuple):
    """What counts in the driving as the source's rest.

    reference: a motion of one frame; None: motion is taken as it is. look_at_rest: what the family shows of the driving
    at rest, see models.base.ShowsDriving.
    """

    reference: Motion | None = None
    look_at_rest: object | None = None


class RestedFace(NamedTuple):
    """A face of a source at rest, and what it was computed from: it is computed again if any of that changes."""

    appearance: SourceAppearance
    reference: Motion
    controls: MotionControls
    rested: SourceAppearance


class SourceRenderer:
    """Renders frames of one source. It remembers how far its faces turn and how they rest, and no frames."""

    def __init__(self, model: ReenactmentModel, source: Source, controls: MotionControls) -> None:
        """Take a source that is open. UsageError for controls that the model has not."""
        self._model, self._source, self._controls = model, source, controls
        self.finish = Finisher(source.path, source.options)
        self.own_rests: dict[int, Motion] = {}
        """How the faces of a source video rest, by their place."""
        self._first_seen: dict[int, SourceAppearance] = {}  # of a source video: the teeth of one frame serve for all
        self._rested: dict[int, RestedFace] = {}
        self._turns = None if source.is_video else TurnCalibration(model, source.analyzer)
        self._take(controls)

    def control(self, controls: MotionControls) -> None:
        """Let other controls count from the next frame on. UsageError for those that the model has not."""
        if controls != self._controls:
            self._take(controls)

    def _take(self, controls: MotionControls) -> None:
        if controls.gaze is not None:
            require_gaze(self._model)
        self._names = require_names(self._model, "--expression") if controls.expressions else None
        # A video's own mouth shows teeth in some frames only: fillings that take turns would flicker.
        is_flickering = self._source.is_video and controls.mouth == "auto"
        self._mouth: Mouth = "driving" if is_flickering else controls.mouth
        self._controls = controls

    def asked(self, pose: PoseOverride | None, share: float = 0.0) -> Asked:
        """Return what is asked for beside the driving. share: how much of the scene is over, 0 to 1."""
        controls = self._controls
        added = None if self._names is None else weights_at(self._names, controls.expressions, share)
        return Asked(pose, added, controls.gaze)

    def render(
        self, source: SourceFrame, driven: DrivenFrame, baseline: Baseline, asked: Asked, *, first: int = 0
    ) -> Frame:
        """Render a source frame with its faces. first: the number of the first one."""
        faces = enumerate(source.faces, first)
        return self.finish(source, [self._render_face(number, face, driven, baseline, asked) for number, face in faces])

    def _render_face(
        self, number: int, face: SourceFace, driven: DrivenFrame, baseline: Baseline, asked: Asked
    ) -> Frame | None:
        """Render one face of the source; None if it is out of sight. number: its place among the source's faces."""
        if face.appearance is None:
            return None
        reference, appearance = baseline.reference, face.appearance
        if driven.motion is None:  # no face was seen in the driving yet: the source keeps still
            appearance = self._calibrated(number, appearance, asked.pose)
            return Animator(self._model, appearance, self._source.path).frame_at_rest(*asked)
        base = appearance.motion if reference is None else reference
        if reference is not None and isinstance(self._model, KnowsRest):
            appearance = self._at_rest(self._model, number, appearance, reference)
        appearance = self._calibrated(number, appearance, asked.pose)
        like = self._first_seen.setdefault(number, appearance) if self._source.is_video else None
        animator = Animator(self._model, appearance, self._source.path, self._mouth, like=like)
        return animator.frame(
            self._controlled(base, driven.motion),
            reference,
            asked.pose,
            driven.look,
            baseline.look_at_rest,
            expression=asked.expression,
            gaze=asked.gaze,
        )

    def _calibrated(self, number: int, appearance: SourceAppearance, pose: PoseOverride | None) -> SourceAppearance:
        """Return a face of a still that looks turned as asked. A video's frames would each be turned by another law."""
        if self._turns is None:
            return appearance
        return self._turns.calibrated(number % ON_BLACK, appearance, pose)

    def _at_rest(
        self, model: KnowsRest, number: int, appearance: SourceAppearance, reference: Motion
    ) -> SourceAppearance:
        """Return a source whose rest is what driven parts of it start from: lips closed, a source video's face calm."""
        seen, controls = self._rested.get(number), self._controls
        # A picture stays the same from frame to frame, and so does what motion is relative to.
        is_known = seen is not None and seen.appearance is appearance and seen.reference is reference
        if seen is None or not is_known or seen.controls is not controls:
            rest = model.rested(appearance, reference, self._own_rest(number % ON_BLACK, appearance))
            rest = self._controlled(appearance.motion, rest, at_most=1.0)
            seen = RestedFace(appearance, reference, controls, replace(appearance, rest=rest))
            self._rested[number] = seen
        return seen.rested

    def _own_rest(self, number: int, appearance: SourceAppearance) -> Motion | None:
        """Return how a face of the source rests, where a video or a person file tells it."""
        kept = self._source.own_rest if number == 0 and isinstance(self._model, KnowsMovements) else None
        if kept is None or kept.shape != appearance.motion.expression.shape:
            return self.own_rests.get(number)
        own = appearance.motion.expression
        # The view that stands for a person is chosen for its lips: they are at rest in it, as no estimate is.
        elsewhere = 1 - self._model.expression_mask("mouth")[None, :, None]
        return replace(appearance.motion, expression=own + elsewhere * (kept.to(own) - own))

    def _controlled(self, base: Motion, motion: Motion, at_most: float = math.inf) -> Motion:
        """Return the part of a motion that arrives. base: the motion that moves nothing. at_most: of the strength."""
        region = self._controls.region
        if region != "all":
            pose_moves = region == "pose"
            # What moves beside the head (hair, shoulders, camera) moves with it.
            extra_moves = pose_moves or self._model.surroundings_move_with == "all"
            mask = self._model.expression_mask(region)
            motion = restrict_motion(base, motion, pose=pose_moves, extra=extra_moves, expression_mask=mask)
        return blend_motion(base, motion, min(self._controls.strength, at_most))
