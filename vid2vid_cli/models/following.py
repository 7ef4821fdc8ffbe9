"""What a family offers that refines a driving's motion by comparing its frames."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.motion import Motion


class Follower(Protocol):
    """Compares the frames of one driving with its first one."""

    def compare(self, motion: Motion, picture: NDArray[np.uint8], *, face: bool = True) -> Tensor:
        """Return what the motion of a frame misses, its `extra`: (1, P, 3).

        picture: (S, S), gray, the same part of the frame as of the first one. motion: of one frame, in that part.
        face: whether what is missed of the face itself counts, which takes most of the time.
        """
        ...


@runtime_checkable
class Follows(Protocol):
    """A model that refines a driving's motion by comparing its frames with the first one.

    follow_crop: the part of the frames that it compares: a square of fixed size around the face of the first frame, not
    turned against the driving crop.
    """

    follow_crop: CropSpec

    def follow(
        self, picture: NDArray[np.uint8], landmarks: Tensor, seen: NDArray[np.float32] | None = None
    ) -> Follower | None:
        """Begin with the first frame. Returns None where the checkpoint has no use for it.

        picture: (S, S), gray, the first frame's follow_crop. landmarks: (1, 470, 3) in px of that picture. seen: left,
        top, right and bottom of what the frame covers of it, in its px; beyond, its edge is repeated. None: all of it.
        """
        ...

    def follows_face(self, own: Motion, reference: Motion) -> bool:
        """Say whether a source uses what is missed of the driving's face. own: its motion. reference: see `drive`."""
        ...
