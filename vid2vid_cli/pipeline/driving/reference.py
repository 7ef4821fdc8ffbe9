"""The reference: the driving's motion that counts as the source's own. How a frame is chosen for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import KnowsRest, ReenactmentModel
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Reference
from vid2vid_cli.pipeline.driving.motion_reader import FrameReading
from vid2vid_cli.pipeline.parsing import is_index

REFERENCE_WINDOW_S = 4.0  # how much of a clip is searched for the reference frame, from its first face on
REFERENCE_CANDIDATES = 32  # how many frames of it are compared
RESTING_FRAMES = 9  # of the candidates, how many show together what the driving looks like at rest
EYES_COUNT = 10.0  # how much more the eyes count than the rest of the face
# In frames, a tolerance: a frame that begins this little before a time still counts, since times are rounded decimals.
EARLY = 1e-3


@dataclass(frozen=True)
class Candidate:
    """A frame that may be the reference. number: in the driving, from 0."""

    number: int
    reading: FrameReading


def nearest_frame(model: ReenactmentModel, candidates: Motion, own: Motion) -> int:
    """Return the index of the candidate nearest to `own` in head pose and expression."""
    return int(unlikeness(model, candidates, own).argmin())


def unlikeness(model: ReenactmentModel, candidates: Motion, own: Motion) -> Tensor:
    """Return how far each candidate is from `own` in head pose and expression: (N,).

    5 degrees count as much as a usual change of expression, and as a face that is plainly not at rest. Eyes count more
    than their size: with a blink as reference, open eyes would open far too wide.
    """
    turned = candidates.rotation @ own.rotation.transpose(-1, -2)  # (N, 3, 3)
    # The trace of a rotation by an angle is 1 + 2 cos(angle).
    cosine = ((turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    angle = torch.acos(cosine) / np.deg2rad(5)
    weight = (1 + EYES_COUNT * model.expression_mask("eyes"))[None, :, None]  # (1, K, 1)
    shown = model.without_shape(candidates)  # (N, K, 3)
    # How much the candidates differ among themselves is the unit; a clip without movement must not divide by 0.
    spread = (weight * (shown - shown.mean(0)).square()).mean().clamp_min(1e-8)
    change = (weight * (shown - model.without_shape(own)).square()).mean((1, 2)) / spread
    # What the source shows counts as its rest, so the driving should be at rest as well.
    unrest = model.unrest(candidates) if isinstance(model, KnowsRest) else torch.zeros(len(candidates))
    apart: Tensor = angle.square() + change + unrest.square()
    return apart


def auto_reference(model: ReenactmentModel, candidates: Sequence[Candidate], own: Motion) -> Reference:
    """Choose the frame nearest to `own`, whose head pose counts, and the face at rest over all candidates.

    Of a family that knows no rest, the nearest frame's expression counts as well.
    """
    motions = join_motions([candidate.reading.motion for candidate in candidates])
    nearest = candidates[nearest_frame(model, motions, own)]
    motion = nearest.reading.complete()  # only this one is
    if not isinstance(model, KnowsRest):
        return Reference(motion, nearest.number)
    rest = model.rest(motions)
    return Reference(replace(motion, expression=rest.motion.expression), nearest.number, len(candidates), rest.is_seen)


def reference_step(fps: Fraction) -> int:
    """Return the step between candidate frames, so that the candidates span the window."""
    return max(1, round(float(fps) * REFERENCE_WINDOW_S / REFERENCE_CANDIDATES))


def reference_of_frame(frames: Iterable[DrivenFrame], text: str, count: int, path: Path) -> Reference:
    """Return the frame with a number as the reference. NoFaceError if it shows no face. text: what the user wrote."""
    number = frame_number(text, count)
    driven = next(itertools.islice(frames, number, None), None)
    if driven is None or driven.motion is None or not driven.found:
        raise NoFaceError(f"{path}: no face in frame {number}; choose another --reference-frame")
    return Reference(driven.motion, number)


def sampled_candidates(frames: Iterable[DrivenFrame], fps: Fraction) -> list[Candidate]:
    """Return the frames in the seconds after the first face that may be the reference; empty without a face."""
    step = reference_step(fps)
    sampled = enumerate(itertools.islice(frames, 0, None, step))
    with_face = (Candidate(k * step, FrameReading(d.motion)) for k, d in sampled if d.motion is not None and d.found)
    return list(itertools.islice(with_face, REFERENCE_CANDIDATES))


def no_key_picture(path: Path) -> UsageError:
    """Return the error for `--reference-frame picture` where there is none."""
    return UsageError(f"--reference-frame picture: {path} carries no picture; write auto or a number")


def frame_number(text: str, count: int) -> int:
    """Read the number of a frame. UsageError unless it is one of `count` frames."""
    if not is_index(text):
        raise UsageError(f"--reference-frame {text}: write auto or a frame number from 0")
    if int(text) >= count:
        raise UsageError(f"--reference-frame {text}: the driving has frames 0 to {count - 1}")
    return int(text)


def frames_in_time(count: int, fps: Fraction, reading: ReadOptions) -> Tensor:
    """Return the numbers (N,) of the recorded frames to play: those that begin between --start and --end.

    The choice is the same as for a video of the same length and rate. With --fps some frames come several times, or
    are left out.
    """
    first = math.ceil((reading.start_s or 0) * fps - EARLY)
    last = count if reading.end_s is None else min(count, math.ceil(reading.end_s * fps - EARLY))
    if reading.fps is None or last <= first:
        return torch.arange(first, max(first, last))
    shown = max(1, round((last - first) * reading.fps / fps))
    return (first + torch.arange(shown) * float(fps / reading.fps) + 0.5).long().clamp_max(last - 1)
