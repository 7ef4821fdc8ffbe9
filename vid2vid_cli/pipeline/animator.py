"""The one place where a motion becomes a picture of a face."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.geometry.regions import Mouth
from vid2vid_cli.models.base import FillsMouth, ReenactmentModel, ShowsDriving, SourceAppearance
from vid2vid_cli.models.gaze_request import DirectsGaze, GazeRequest
from vid2vid_cli.models.named_expressions import NamesExpressions
from vid2vid_cli.motion import Motion, PoseOverride
from vid2vid_cli.pipeline.finite import frame_of, require_finite_state


class Animator:
    """Moves one face of a source. It keeps no state: frames may be asked for in any order."""

    def __init__(
        self,
        model: ReenactmentModel,
        face: SourceAppearance,
        subject: Path,
        mouth: Mouth = "auto",
        *,
        like: SourceAppearance | None = None,
    ) -> None:
        """Take a face that `model.appearance` has read. subject: the source's file, for error messages.

        mouth: what fills an opening mouth, where the family knows of any. like: see models.base.FillsMouth.
        """
        self._model, self._face, self._subject = model, face, subject
        if isinstance(model, FillsMouth):
            self._face = model.with_mouth(face, mouth, like)

    @torch.inference_mode()
    def frame(
        self,
        motion: Motion,
        reference: Motion | None,
        pose: PoseOverride | None = None,
        look: object | None = None,
        look_at_rest: object | None = None,
        *,
        expression: Tensor | None = None,
        gaze: GazeRequest | None = None,
    ) -> Frame:
        """Return the face (H, W, 3) in the size of its crop, moved as one driving frame says.

        motion: of one frame. reference: the driving motion that counts as the source's own (relative motion); None
        takes `motion` as it is (absolute motion). pose: head-pose angles that the user asks for. look: what the family
        shows of the driving frame itself, see models.base.ShowsDriving; None shows nothing of it.
        look_at_rest: the same of the driving at rest. expression: weights (1, E) of expressions to add, see
        models.named_expressions; None for none.
        gaze: where the eyes look; None as driven.
        Raises NonFiniteError where the networks give numbers that are not finite.
        """
        driven = require_finite_state(self._model.drive(self._face, motion, reference, pose), self._subject)
        if gaze is not None and isinstance(self._model, DirectsGaze):
            driven = self._model.with_gaze(self._face, driven, gaze)
        if expression is not None and isinstance(self._model, NamesExpressions):
            driven = require_finite_state(self._model.with_expression(driven, expression), self._subject)
        if look is not None and isinstance(self._model, ShowsDriving):
            driven = self._model.with_look(driven, look, look_at_rest)
        return frame_of(self._model.render(self._face, driven), self._subject)

    def frame_at_rest(
        self, pose: PoseOverride | None = None, expression: Tensor | None = None, gaze: GazeRequest | None = None
    ) -> Frame:
        """Return the face with the source's own pose and expression, turned by `pose`, with expressions added."""
        return self.frame(self._face.motion, self._face.motion, pose, expression=expression, gaze=gaze)
