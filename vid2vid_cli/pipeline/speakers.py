"""How each family's faces speak: in their own motion where they know the mouth's points, or not at all."""

from __future__ import annotations

from typing import Protocol

import torch

from vid2vid_cli.errors import UsageError
from vid2vid_cli.models.registry import FAMILIES
from vid2vid_cli.models.speaking import Speaks, SpokenFace
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.learned_speaker import learn_speaker
from vid2vid_cli.speech.mouth import MOUTH_POINTS


class Speaker(Protocol):
    """Turns faces that speak into motion."""

    def motion(self, face: SpokenFace) -> Motion:
        """Return the motion of B frames."""
        ...

    def rest(self) -> Motion:
        """Return the motion of a face at rest, of one frame."""
        ...


class OwnSpeaker:
    """A family that speaks by itself."""

    def __init__(self, model: Speaks) -> None:
        self._model = model

    def motion(self, face: SpokenFace) -> Motion:
        """Return the motion of B frames."""
        return self._model.spoken_motion(face)

    def rest(self) -> Motion:
        """Return the motion of a face at rest, of one frame."""
        return self._model.spoken_motion(face_at_rest())


def face_at_rest() -> SpokenFace:
    """Return a face that is silent and looks straight ahead."""
    return SpokenFace(torch.zeros(1, len(MOUTH_POINTS), 3), torch.eye(3)[None])


def speaker_of(setup: ReaderSetup, what: str) -> Speaker:
    """Return how a model's faces speak. UsageError for a family that cannot say it. what: is to be spoken."""
    model = setup.model
    if isinstance(model, Speaks):
        return OwnSpeaker(model)
    if not next(family.has_head_pose for family in FAMILIES if family.name == model.name):
        able = " or ".join(family.name for family in FAMILIES if family.has_head_pose)
        raise UsageError(f"{what}: {model.name} cannot speak a sound; use -c {able}")
    return learn_speaker(model, setup.analyzer, setup.device)
