"""Whose face drives a frame: as its picture shows it, and how far from there it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.wrinkles import TEXEL, DrivingLook, SkinTexture
from vid2vid_cli.motion import Motion


@dataclass(frozen=True, eq=False)
class Driver:
    """What a driving frame shows of its face.

    look: of that frame. at_rest: the skin of the driving at rest; None where nobody knows. drawn: the motion that is
    drawn, of one frame; it differs from the look's own where that was smoothed, or only a part of it is wanted.
    """

    look: DrivingLook
    at_rest: SkinTexture | None
    drawn: Motion | None

    @cached_property
    def skin(self) -> SkinTexture | None:
        """The frame's skin; None where there is no picture of it."""
        return self.look.read_skin()

    def drift(self) -> Points:
        """Return how far the frame's own face lies from what is drawn of it: (468, 2), in texels of the skin.

        How the head is held does not count: a face that was moved to where the frame has it would slide on its head.
        """
        read, drawn = self.look.motion, self.drawn
        if read is None or drawn is None:
            return np.zeros((POINTS, 2), np.float32)
        apart = (read.expression - drawn.expression)[0, :POINTS, :2]
        return np.asarray(apart.numpy() / TEXEL, np.float32)
