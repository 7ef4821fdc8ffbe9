"""Where a user wants the eyes to look, and what a family offers that can turn them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vid2vid_cli.models.base import DrivenState, SourceAppearance


@dataclass(frozen=True)
class GazeRequest:
    """Where eyes look, whatever drives the face.

    toward_deg: right of and above the camera as the viewer sees it, (0, 0) into it; None: as in the source.
    """

    toward_deg: tuple[float, float] | None


@runtime_checkable
class DirectsGaze(Protocol):
    """A model that can turn the eyes."""

    def with_gaze(self, source: SourceAppearance, driven: DrivenState, asked: GazeRequest) -> DrivenState:
        """Return what `drive` gave with eyes that look where they are asked to."""
        ...
