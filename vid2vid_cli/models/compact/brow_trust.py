"""How far the brows of other pictures are trusted: one that lies beside its mesh would be drawn beside the source's."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.geometry.easing import smoothstep_between
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.relighting import correlate
from vid2vid_cli.models.compact.wrinkles import SkinMap, SkinTexture

REACH = 0.5  # eye distances around a brow: what is compared, and what is left out
# Correlation of a brow's detail with the source's: up to the first the mesh misses it, from the second on it does not.
# Where the mesh fits, it is above 0.97; of a brow that was seen to be drawn twice it was 0.75 to 0.95.
MISSED, MET = 0.85, 0.96


def trust_brows(skin: SkinMap, own: SkinTexture, other: SkinTexture) -> Points:
    """Return how far each point (468,) of another picture is shown: 1, less around a brow that its mesh misses.

    own: the source's skin. other: that picture's.
    """
    trust = np.ones(POINTS, np.float32)
    for brow in BROWS:
        near = skin.topology.region_mask(np.array(brow), REACH).numpy()
        alike = correlate(own, other, skin.lay_out(near[:, None], 1)[..., 0])
        trust *= 1 - near * (1 - smoothstep_between(alike, MISSED, MET))
    return trust
