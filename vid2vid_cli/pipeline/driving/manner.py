"""A driving in a person's own manner: it moves the face as far and as often as the person does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.habits import FEWEST_FRAMES, LEVELS, HabitMap, Habits, RunningHabits
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.manner import KnowsMovements
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference


class Manner:
    """Maps motions, one after the other, onto a person's own manner.

    The driving's own habits are surveyed where its frames are known beforehand; otherwise they are learned as it goes
    on, and count little at first.
    """

    def __init__(self, model: KnowsMovements, own: Habits, share: float, fps: float) -> None:
        """own: the person's habits, their names those of the model's movements. share: 0 as driven, 1 as the person."""
        self._model, self._own = model, own
        self.share = share
        self._map: HabitMap | None = None
        self._running = RunningHabits(len(own.names), fps)

    @torch.inference_mode()
    def survey(self, motions: Iterable[Motion], rest: Motion) -> None:
        """See what the driving's habits are, from motions of one frame each. Few motions tell none."""
        seen = [self._model.movements(motion, rest).numpy() for motion in motions]
        if len(seen) >= FEWEST_FRAMES:
            quantiles = np.quantile(np.concatenate(seen).astype(np.float64), LEVELS, axis=0).T
            self._map = HabitMap.between(quantiles, self._own.quantiles)

    @torch.inference_mode()
    def __call__(self, motion: Motion, rest: Motion, *, is_new: bool = True) -> Motion:
        """Return the next frame's motion in the person's manner. is_new: whether the frame itself shows it."""
        shown, share, mapped = self._model.movements(motion, rest), self.share, self._map
        if mapped is None:
            if is_new:
                self._running.add(shown)
            mapped = HabitMap.between(self._running.quantiles, self._own.quantiles)
            share *= self._running.trust
        return self._model.with_movements(motion, rest, shown + share * (mapped(shown) - shown))


@dataclass(kw_only=True, eq=False)
class MannerDriving(Driving):
    """Another driving, in a person's manner. What is shown before the face at rest is known stays as driven."""

    driving: Driving
    manner: Manner
    _rest: Motion | None = field(default=None, init=False)

    @classmethod
    def of(cls, driving: Driving, manner: Manner) -> MannerDriving:
        """Take a driving, which `close` closes."""
        return cls(
            driving=driving, manner=manner, **{each.name: getattr(driving, each.name) for each in fields(Driving)}
        )

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return the driving's own reference, and survey its movements from there."""
        reference = self.driving.find_reference(model, own, frame)
        self._rest = reference.motion
        self.manner.survey(self.driving.survey(), self._rest)
        return reference

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the driving's frames, moved as the person moves."""
        for driven in self.driving.frames():
            if driven.starts is not None:
                self._rest = driven.starts.reference.motion
            if driven.motion is None or self._rest is None:
                yield driven
            else:
                yield replace(driven, motion=self.manner(driven.motion, self._rest, is_new=driven.found))

    def look_at_rest(self, reference: Motion) -> object | None:
        """Return what the family shows of the driving at rest."""
        return self.driving.look_at_rest(reference)

    def leave_face(self) -> None:
        """Learn that the source is somebody else."""
        self.driving.leave_face()

    def no_face(self) -> Vid2VidError:
        """Return the driving's own error."""
        return self.driving.no_face()

    def close(self) -> None:
        """Release what was opened."""
        self.driving.close()
