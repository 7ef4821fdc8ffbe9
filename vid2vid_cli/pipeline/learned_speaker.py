"""Families whose keypoints are learned speak by example: a linear map from mouths to what they read in a clip.

The clip that comes with the package is read twice: by the embedded model, which knows where the lips are, and by the
family, with the very checkpoint that is to speak. What both say of the same frames gives the map (ridge regression).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from vid2vid_cli.checkpoints.reading import bundled_file
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.models.speaking import SpokenFace
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.pipeline.driving.motion_reader import MotionReader, ReaderSetup
from vid2vid_cli.speech.mouth import MOUTH_POINTS

EXAMPLE, STEP = "driving.mp4", 2  # every second of its 120 frames
NAMED = (
    *("eyeBlink_L", "eyeBlink_R", "browInnerUp_L", "browInnerUp_R"),
    *("eyeLookOut_L", "eyeLookOut_R", "eyeLookUp_L", "eyeLookUp_R", "eyeLookDown_L", "eyeLookDown_R"),
)
NAMED_COUNT = 0.3  # a full expression counts as much as so many eye distances
RIDGE = 1e-2  # of the mean square of what is known of a frame
RESTING = 5  # frames of the clip that show its rest


@dataclass(frozen=True)
class LearnedSpeaker:
    """Speaks by a linear map. resting: (1 frame). weights: (R, Y), from what `_known` says to expression and extra."""

    resting: Motion
    weights: Tensor

    def rest(self) -> Motion:
        """Return the motion of a face at rest, of one frame."""
        return self.resting

    def motion(self, face: SpokenFace) -> Motion:
        """Return the motion of B frames."""
        named = [face.weights.get(name, torch.zeros(len(face))) for name in NAMED]
        moved = _known(face.lips, torch.stack(named, 1)) @ self.weights
        rest = self.resting
        size = rest.expression[0].numel()
        expression = rest.expression + moved[:, :size].reshape(-1, *rest.expression.shape[1:])
        extra = None if rest.extra is None else rest.extra + moved[:, size:].reshape(-1, *rest.extra.shape[1:])
        rotation = face.rotation @ rest.rotation
        count = len(face)
        return Motion(rotation, rest.translation.expand(count, 3), rest.scale.expand(count, 1), expression, extra)


def learn_speaker(model: ReenactmentModel, analyzer: FaceAnalyzer, device: torch.device) -> LearnedSpeaker:
    """Read the clip with a model, and learn how its faces speak. Takes the time of reading some 60 frames."""
    teacher = load_model().model
    if not isinstance(teacher, CompactModel):
        raise WeightsError("the checkpoint of the package is not of compact; install vid2vid again")
    told = [ReaderSetup(each, analyzer, "largest", device, follows=False) for each in (teacher, model)]
    pairs = list(_read(*told))
    taught, shown = (join_motions(list(motions)) for motions in zip(*pairs, strict=True))
    rest = teacher.rest(taught).motion
    lips = (taught.expression - rest.expression)[:, list(MOUTH_POINTS)]
    strengths = teacher.weights_of(taught, rest)[:, [teacher.expression_names.index(name) for name in NAMED]]
    known = _known(lips, strengths)
    calmest = known.square().sum(1).argsort()[:RESTING]
    resting = _mean(shown, calmest)
    extra = [] if shown.extra is None or resting.extra is None else [(shown.extra - resting.extra).flatten(1)]
    moved = torch.cat([(shown.expression - resting.expression).flatten(1), *extra], 1)
    similar = known @ known.T  # (N, N): fewer frames than numbers of a frame
    alike = similar + RIDGE * similar.diagonal().mean() * torch.eye(len(known))
    return LearnedSpeaker(resting, known.T @ torch.linalg.solve(alike, moved))


def _known(lips: Tensor, strengths: Tensor) -> Tensor:
    """Return what is known of frames as rows: displacements (B, 178, 3) and strengths (B, len(NAMED))."""
    return torch.cat([lips.flatten(1) / len(MOUTH_POINTS) ** 0.5, NAMED_COUNT * strengths], 1)


@torch.inference_mode()
def _read(teacher: ReaderSetup, pupil: ReaderSetup) -> Iterator[tuple[Motion, Motion]]:
    """Yield the motion of some frames of the clip as both models read it."""
    tracker = FaceTracker(teacher.analyzer, "largest")
    readers: list[MotionReader] = []
    for frame in islice(read_video(bundled_file("examples", EXAMPLE)), 0, None, STEP):
        face = tracker.update(frame)
        if face is not None:
            readers = readers or [MotionReader(setup, frame, face) for setup in (teacher, pupil)]
            yield readers[0].read(frame, face), readers[1].read(frame, face)


def _mean(motion: Motion, frames: Tensor) -> Motion:
    """Return the mean of some frames; the pose is that of the first of them."""
    chosen = [tensor[frames] for tensor in motion.tensors()]
    rotation, *others = chosen
    return Motion(rotation[:1], *(tensor.mean(0, keepdim=True) for tensor in others))
