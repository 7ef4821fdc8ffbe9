"""How far the mouths of other pictures are trusted: a lower lip that its mesh misses would be drawn twice."""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.geometry.easing import smoothstep_between
from vid2vid_cli.models.compact.relighting import seen_by_both
from vid2vid_cli.models.compact.view_tone import UPRIGHT, FacePicture
from vid2vid_cli.models.compact.wrinkles import LIPS, SkinMap, SkinTexture

LOWER_LIP = (*LIPS[len(LIPS) // 2 :], LIPS[0])  # its outline
NEAR, REACH = 0.2, 0.6  # eye distances around lips: what is compared, and what is left out
INSIDE = 0.08  # eye distances around the opening: what a mesh shows there may be teeth, however well it fits
FINE = 0.75  # texels over which colours are averaged
RED = 0.03  # of log light: lips that are less red than the skin around them tell nothing
# Correlation of how red the lower lip and what is around it are: up to the first the mesh misses it, from the second on
# it does not. Of a lip that was seen to be drawn twice it was 0.49, of 86 others of five people 0.77 or more.
MISSED, MET = 0.6, 0.75
TURNED = (0.12, 0.25)  # radians between both heads: from the second on, lips look too different to be compared


def trust_lips(skin: SkinMap, own: FacePicture, other: FacePicture, turn: float) -> Points:
    """Return how far each point (468,) of another picture is shown: 1, less around lips that its mesh misses.

    own: the source's face. other: that picture's, its lips fitted to the source's. turn: from head to head,
    in radians.
    """
    one, another = (skin.take(face.picture, face.points_px, UPRIGHT) for face in (own, other))
    near = skin.topology.region_mask(np.array(LOWER_LIP), NEAR).numpy()
    near = near * (1 - skin.topology.region_mask(skin.topology.inner_lips, INSIDE).numpy())
    weight = seen_by_both(one, another) * skin.lay_out(near[:, None], 1)[..., 0]
    missed = 1 - _alike(_redness(one, weight), _redness(another, weight), weight)
    trust = 1 - missed * (1 - smoothstep_between(turn, *TURNED))
    around = skin.topology.region_mask(np.array(LIPS), REACH).numpy()
    return np.asarray(1 - around * (1 - trust), np.float32)


def _redness(skin: SkinTexture, weight: Map) -> Map:
    """Return how red a texture is, its weighted mean 0: (SIDE, SIDE)."""
    red = cv2.GaussianBlur(skin.log_colours[..., 0] - skin.log_colours[..., 1], (0, 0), FINE)
    return np.asarray(red - (weight * red).sum() / max(float(weight.sum()), 1e-3), np.float32)


def _alike(own: Map, other: Map, weight: Map) -> float:
    """Return how surely two textures show the same lip, 0 to 1. weight: of each texel."""
    squares = [float((weight * np.square(red)).sum()) for red in (own, other)]
    if squares[0] < RED**2 * float(weight.sum()):
        return 1.0
    correlation = float((weight * own * other).sum()) / max((squares[0] * squares[1]) ** 0.5, 1e-6)
    return smoothstep_between(correlation, MISSED, MET)
