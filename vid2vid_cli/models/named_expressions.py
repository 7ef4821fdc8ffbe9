"""What a family offers whose models know expressions by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from vid2vid_cli.models.base import DrivenState
from vid2vid_cli.motion import Motion


@runtime_checkable
class NamesExpressions(Protocol):
    """A model with a head model: it knows expressions by the names that phones record, each from 0 to 1.

    expression_names: in the order of weights; () where the checkpoint has no head model. Without one, the methods raise
    WeightsError.
    """

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The names of the expressions."""
        ...

    def with_expression(self, driven: DrivenState, weights: Tensor) -> DrivenState:
        """Return what `drive` gave with expressions added to it. weights: (1 or B, E)."""
        ...

    def motion_of(self, weights: Tensor, rotation: Tensor) -> Motion:
        """Return the motion of weights (B, E) and head poses (B, 3, 3); it rests where all weights are 0."""
        ...

    def weights_of(self, motion: Motion, rest: Motion) -> Tensor:
        """Return the weights (B, E) that are most like a motion of a person whose face at rest is `rest`."""
        ...
