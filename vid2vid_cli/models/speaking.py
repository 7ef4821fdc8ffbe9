"""What a family offers whose faces can speak a sound: a motion for mouths that were heard, not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from vid2vid_cli.motion import Motion


@dataclass(frozen=True)
class SpokenFace:
    """A face that speaks, in B frames.

    lips: (B, 178, 3), displacements of speech.mouth.MOUTH_POINTS from a shut, resting mouth, as speech.mouth says.
    rotation: (B, 3, 3), the head's pose. weights: how strong each of some named expressions is, (B,) each in [0, 1]:
    those of eyes and brows.
    """

    lips: Tensor
    rotation: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rotation)


@runtime_checkable
class Speaks(Protocol):
    """A model that can say by its motion what a mouth does that speaks."""

    def spoken_motion(self, face: SpokenFace) -> Motion:
        """Return the motion of a face that speaks; it rests where nothing is displaced and no weight is above 0.

        WeightsError where the checkpoint lacks what it takes.
        """
        ...
