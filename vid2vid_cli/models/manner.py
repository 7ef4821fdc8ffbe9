"""What a family offers whose models know how far each part of a face has moved, and can move it further or less far."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from vid2vid_cli.motion import Motion


@runtime_checkable
class KnowsMovements(Protocol):
    """A model that measures movements of a face: signed distances from rest, in distances of the eyes.

    movement_names: in the order of movements; saved habits go by them. () where the checkpoint has no head model: then
    the methods raise WeightsError.
    """

    @property
    def movement_names(self) -> tuple[str, ...]:
        """The names of the movements."""
        ...

    def movements(self, motion: Motion, rest: Motion) -> Tensor:
        """Return the movements (B, M) of a motion of a person whose face at rest is `rest`."""
        ...

    def with_movements(self, motion: Motion, rest: Motion, wanted: Tensor) -> Motion:
        """Return a motion whose movements are `wanted` (B, M), and the rest of the face moved as it usually is then.

        Closed lips stay closed, and eyes stay as open as they were.
        """
        ...
