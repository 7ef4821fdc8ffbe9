"""An ear, and the hair around it, that a turned face hides: the other one, mirrored, where a head has it.

A face that is turned a little hides one ear behind its cheek, and the picture ends there with the face. Without this,
the side that comes into view as the head turns back would be bare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.head_pose import HeadPose
from vid2vid_cli.models.compact.mesh.outline import smooth_around

# Eye distances between the face and where the person ends: more is an ear that is seen, less is one that is hidden; and
# how much more the other side has at least.
SEEN, HIDDEN, OTHER_HIDDEN, OTHER_SEEN = 0.1, 0.04, 0.1, 0.18
TOP, BOTTOM, SOFT = -0.6, 0.2, 0.2  # y on the canonical head: where ears and the hair above them are, and how softly
CROWN, HAIRLINE = -1.0, -0.4  # y, too: from where to where ever more of the hair is mirrored as well
LACKING, ALL_LACKING = 0.35, 0.45  # of a side: from where on its ear counts as hidden; in between both would be seen
LESS, MUCH_LESS = 0.05, 0.15  # eye distances: how much less a ray shows than its partner, to show what that shows
TURNED, TOO_FAR = 0.5, 0.6  # sine of the face's turn: how far it may be turned; from there on, depth is too uncertain


@dataclass(frozen=True)
class HiddenEar:
    """share: (36,), how surely each ray lacks an ear, or the hair beside it, that its partner has.

    outside: (36,), the same where nobody goes on farther out beside it, either: shoulders would be drawn out to ears.
    places: (RINGS, 36, 3), where the head has it.
    """

    share: Points
    outside: Points
    places: Points

    @classmethod
    def of(
        cls, places: Points, beyond: Points, clear: NDArray[np.bool_], partners: Indices, head: HeadPose
    ) -> HiddenEar:
        """Read it off a shell.

        places: (RINGS, 36, 3), of its vertices. beyond: (36,), how far the person goes on beyond the face, in eye
        distances. clear: (36,), where nothing of a person lies farther out. partners: (36,), the rays of the other
        half.
        """
        rest = head.pose.undo_array(places.reshape(-1, 3)).reshape(places.shape)
        across, down = rest[0, :, 0], rest[0, :, 1]
        lacks = smoothstep((SEEN - beyond) / (SEEN - HIDDEN))
        others_have = smoothstep((beyond[partners] - OTHER_HIDDEN) / (OTHER_SEEN - OTHER_HIDDEN))
        # Neither a scarf is an ear, nor does one lie before a hand.
        is_free = np.asarray(clear & clear[partners], np.float32)
        above_lobe = smoothstep((BOTTOM - down) / SOFT + 0.5)
        there = smoothstep((down - TOP) / SOFT + 0.5) * above_lobe
        share = np.zeros(len(down), np.float32)
        for side in (across < 0, across > 0):
            lacking = (there * lacks * others_have * is_free)[side].sum() / max(there[side].sum(), 1e-6)
            share[side] = smoothstep((lacking - LACKING) / (ALL_LACKING - LACKING))
        mirrored_down = smoothstep((down - CROWN) / (HAIRLINE - CROWN)) * above_lobe
        less = smoothstep((smooth_around(beyond[partners] - beyond) - LESS) / (MUCH_LESS - LESS))
        turned = np.abs(head.pose.rotation[0, 0, 2].numpy())
        share *= mirrored_down * less * is_free * smoothstep((TOO_FAR - turned) / (TOO_FAR - TURNED))
        mirrored = rest[:, partners] * np.array([-1, 1, 1], np.float32)
        placed = head.pose.apply_array(mirrored.reshape(-1, 3)).reshape(places.shape)
        outside = share * np.minimum(np.roll(is_free, 1), np.roll(is_free, -1))
        return cls(np.asarray(share, np.float32), np.asarray(outside, np.float32), np.asarray(placed, np.float32))
