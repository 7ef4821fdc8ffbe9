"""Train the network that reads mouths out of what the speech encoder hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.speech_variants import Lesson
from vid2vid_cli.speech.mouth import MOUTH_POINTS, opening_of, width_of
from vid2vid_cli.speech.reader import FEATURES, MouthReader

SHAPES = 12
DEPTH_COUNTS = 0.4  # depth is guessed from one picture
SECONDS = 4  # of a sequence in training


@dataclass(frozen=True)
class Course:
    """How to train. steps: updates of the weights, of so many sequences each."""

    steps: int = 250
    sequences: int = 24
    rate: float = 2e-3
    decay: float = 0.05
    dropout: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Measures:
    """How an error of the strengths (K,) is seen: in the points, and in opening and width. Each (K,)."""

    spread: Tensor
    opening: Tensor
    width: Tensor


def mouth_shapes(lips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shapes (K, 178, 3) that displacements (T, 178, 3) are made of, and their strengths (T, K).

    Principal components around the mouth at rest, not around the mean; strengths have a mean square of 1.
    """
    weights = torch.tensor([1.0, 1.0, DEPTH_COUNTS])
    rows = (lips * weights).flatten(1)
    values, vectors = torch.linalg.eigh((rows.T @ rows).double() / len(rows))
    spread = values[-SHAPES:].flip(0).sqrt()
    axes = vectors[:, -SHAPES:].flip(1).T  # (K, 534)
    strengths = (rows.double() @ axes.T) / spread
    shapes = (axes * spread[:, None]).reshape(SHAPES, len(MOUTH_POINTS), 3) / weights.double()
    return shapes.float(), strengths.float()


def measures_of(shapes: Tensor, usual: tuple[float, float]) -> Measures:
    """Return how errors count. usual: the spread of opening and width."""
    spread = shapes.square().sum((1, 2)).sqrt()
    return Measures(spread / spread[0], opening_of(shapes) / usual[0], width_of(shapes) / usual[1])


def train(lessons: Sequence[Lesson], measures: Measures, course: Course) -> MouthReader:
    """Train a reader. The labels of lessons are strengths (T, K)."""
    torch.manual_seed(course.seed)
    features = torch.cat([lesson.features for lesson in lessons])
    labels = torch.cat([lesson.labels for lesson in lessons])
    random = np.random.default_rng(course.seed)
    network = MouthReader(labels.shape[1], FEATURES)
    optimiser = torch.optim.AdamW(network.parameters(), course.rate, weight_decay=course.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, course.rate, total_steps=course.steps)
    length = SECONDS * 50
    for _ in range(course.steps):
        start = torch.from_numpy(random.integers(0, len(features) - length, course.sequences))
        rows = start[:, None] + torch.arange(length)
        heard, wanted = features[rows].float(), labels[rows]
        heard = functional.dropout1d(heard.transpose(1, 2), course.dropout).transpose(1, 2)
        loss = loss_of(network(heard), wanted, measures)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def loss_of(read: Tensor, wanted: Tensor, measures: Measures) -> Tensor:
    """Return how far strengths (B, T, K) are from those wanted; NaN is not counted."""
    error = read - wanted
    known = error.isfinite().all(-1)
    error = torch.where(known[..., None], error, 0.0)
    points = (error * measures.spread).square().sum(-1)
    opening, width = (error @ measures.opening).square(), (error @ measures.width).square()
    both = known[:, 1:] & known[:, :-1]
    moving = ((error[:, 1:] - error[:, :-1]) @ measures.opening).square()
    of_steps = ((0.5 * points + opening + 0.5 * width) * known).sum() / known.sum()
    return of_steps + 2.0 * (moving * both).sum() / both.sum()
