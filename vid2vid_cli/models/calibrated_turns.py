"""What a family offers whose heads look less turned than they are, each in its own measure."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from vid2vid_cli.geometry.turning import Turning
from vid2vid_cli.models.base import SourceAppearance


@runtime_checkable
class CalibratedTurns(Protocol):
    """A model that turns each source as it was found to look turned. Without that, it takes what fits most faces."""

    # The |yaw| and |pitch| in degrees beyond which heads are turned no further than asked, however they look.
    furthest_pose_deg: tuple[float, float]

    def with_turning(self, source: SourceAppearance, turning: Turning) -> SourceAppearance:
        """Return a source that is turned by these curves when a user asks for a pose."""
        ...

    def smaller(self, source: SourceAppearance, side_px: int) -> SourceAppearance:
        """Return a source whose longer side has this many pixels at most, for renderings that are only measured."""
        ...
