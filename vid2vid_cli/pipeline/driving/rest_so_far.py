"""The rest of a driving that is live: learnt while it plays, since nobody can look ahead."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch

from vid2vid_cli.models.base import KnowsRest, ReenactmentModel, ShowsDriving
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.pipeline.driving.reference import REFERENCE_CANDIDATES, REFERENCE_WINDOW_S, RESTING_FRAMES

STEP_S = REFERENCE_WINDOW_S / REFERENCE_CANDIDATES
FEWEST = 8  # motions, a second of them: fewer say little about how somebody rests
ESTIMATED_EVERY = 4  # motions: an estimate takes as long as a fifth of a picture
GLIDE_S = 0.4  # in which two thirds of the way to a new estimate are gone: a jump would be seen
ARRIVED = 1e-3  # eye distances: nearer to the estimate than this, it is taken as it is


class LearntRest(NamedTuple):
    """What is known so far. motion: of one frame. look: what the family shows at rest; None while that is unknown."""

    motion: Motion
    look: object | None


class _Seen(NamedTuple):
    motion: Motion
    look: object | None


class RestSoFar:
    """Learns in the first seconds how the face of a live driving rests.

    The first motion counts at once. Its head pose stays; its expression glides to the estimated rest, as soon as
    the lips were seen closed, until the time is over that a clip would be searched for.
    """

    def __init__(self, model: ReenactmentModel, *, is_given: bool = False) -> None:
        """Begin anew. is_given: whether the first motion is the rest because somebody said so: nothing is estimated."""
        self._model, self._is_given = model, is_given
        self._seen: list[_Seen] = []
        self._due_s = self._last_s = -math.inf
        self._target: Motion | None = None
        self.learnt: LearntRest | None = None
        """None before the first motion."""

    @torch.inference_mode()
    def see(self, motion: Motion, time_s: float, look: object | None = None) -> LearntRest:
        """Take what a frame with a face shows, and return what counts from this frame on.

        motion: of this frame. time_s: when it came in. look: see models.base.ShowsDriving.
        """
        learnt = self.learnt or LearntRest(motion, None)
        if time_s >= self._due_s:
            learnt = self._sample(learnt, _Seen(motion, look), time_s)
        if self._target is not None:
            learnt = learnt._replace(motion=self._nearer(learnt.motion, self._target, time_s - self._last_s))
        self.learnt, self._last_s = learnt, time_s
        return learnt

    def _sample(self, learnt: LearntRest, seen: _Seen, time_s: float) -> LearntRest:
        """Keep what a frame shows, and estimate anew; the last time when enough was seen."""
        self._due_s = time_s + STEP_S
        self._seen.append(seen)
        if len(self._seen) >= FEWEST and len(self._seen) % ESTIMATED_EVERY == 0:
            learnt = self._estimate(learnt)
        if len(self._seen) == REFERENCE_CANDIDATES:
            self._seen, self._due_s = [], math.inf
        return learnt

    def _nearer(self, motion: Motion, target: Motion, passed_s: float) -> Motion:
        """Return a motion that has gone a part of the way to the estimate. passed_s: since the last frame."""
        left = target.expression - motion.expression
        if float(left.abs().max()) < ARRIVED:
            self._target = None
            return replace(motion, expression=target.expression)
        return replace(motion, expression=motion.expression + (1 - math.exp(-passed_s / GLIDE_S)) * left)

    def _estimate(self, learnt: LearntRest) -> LearntRest:
        """Estimate the rest of what was seen so far."""
        model = self._model
        if not isinstance(model, KnowsRest):
            return learnt
        motions = join_motions([one.motion for one in self._seen])
        rest = model.rest(motions)
        if rest.is_seen and not self._is_given:
            self._target = rest.motion
        if not isinstance(model, ShowsDriving):
            return learnt
        calmest = model.unrest(motions).argsort(stable=True)[:RESTING_FRAMES].tolist()
        looks = [look for index in calmest if (look := self._seen[index].look) is not None]
        return learnt._replace(look=model.look_at_rest(looks) or learnt.look)
