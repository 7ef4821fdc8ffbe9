"""How light on a face changes while source and driving are one person: its own folds, lamps, shadows, its camera.

Another face gets folds alone, see wrinkles.py: shadows and colours of the driving would be ghosts on it. On the
person's own face, all in which a frame differs from the driving at rest is true, but for what is so fine that the
meshes of both miss it. Light is measured in all three colours, on the textures of wrinkles.SkinMap.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.face.frames import frame_of
from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.models.compact.wrinkles import HALF, SIDE, TEXEL, SkinMap, SkinTexture

WIDE = 0.08  # eye distances: what differs less widely is where the mesh misses, or the driving's very pixels
FACING = (0.2, 0.5)  # how far skin has to face the camera in both pictures to tell their light
LEAST_KNOWN = 0.05  # of the texels around: where fewer tell the light, it changes less
ODDEST, MOST = 1.0, 0.5  # of log light: what a texel is taken to change by at most; what light is changed by at most
AT_LIDS = (0.02, 0.12)  # eye distances from lids: eyes that open or shut are no light
AT_RIM = 0.05  # eye distances from the outline of the face over which the change fades out
# Correlation of two faces' detail: up to the first they are two people's, from the second on one person's. Of 896 pairs
# of strangers the most alike had 0.86, frames of one clip 0.93 in the mean.
OTHERS, ONES_OWN = 0.87, 0.93
FINE, COARSE = 0.03, 0.2  # eye distances: the detail that is compared
KEPT = 8  # comparisons: a source and a rest stay the same from frame to frame


class LightChange(NamedTuple):
    """How light changes. logarithm: (SIDE, SIDE, 3), of the factor, within MOST either way. share: how sure it is."""

    logarithm: Points
    share: float


class Relighting:
    """Finds how light has changed since rest, and changes it on a picture."""

    def __init__(self, skin: SkinMap) -> None:
        self.skin = skin
        on_face = skin.covered(skin.topology.triangles)
        rim = skin.distance(skin.topology.oval[None])
        away = skin.distance(skin.topology.eyes)
        self._outside = skin.covered(skin.triangles)  # of mouths
        off_lids = smoothstep((away - AT_LIDS[0]) / (AT_LIDS[1] - AT_LIDS[0]))
        self._tells = np.asarray(self._outside * off_lids, np.float32)
        self._shown = np.asarray(on_face * smoothstep(rim / AT_RIM), np.float32)

        self._share = lru_cache(KEPT)(self._compare)

    def change(self, source: SkinTexture, shown: SkinTexture, rest: SkinTexture, strength: float) -> LightChange | None:
        """Return how light has changed since rest, as far as the source is the driving's own face; None for another.

        strength: how much of it is shown, in [0, 1].
        """
        share = strength * self._share(source, rest)
        if share <= 0:
            return None
        return LightChange(np.asarray(share * self._differs(shown, rest), np.float32), share)

    def _differs(self, shown: SkinTexture, rest: SkinTexture) -> Points:
        """Return by which factor light on one picture differs from that on another: its bounded logarithm."""
        tells = self._tells * seen_by_both(shown, rest)
        change = np.clip(shown.log_colours - rest.log_colours, -ODDEST, ODDEST)
        told = np.concatenate([tells[..., None] * change, tells[..., None]], -1)
        # What is wide, half of the texels a side tell.
        half = np.asarray(cv2.resize(told, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA), np.float32)
        wide = _blur(half, WIDE / 2)
        mean = wide[..., :3] / (wide[..., 3:] + np.float32(LEAST_KNOWN))
        bounded = np.asarray(np.float32(MOST) * np.tanh(mean / np.float32(MOST)), np.float32)
        return np.asarray(self._shown[..., None] * cv2.resize(bounded, (SIDE, SIDE)), np.float32)

    def _compare(self, one: SkinTexture, other: SkinTexture) -> float:
        """Return how far two pictures show one face: 0 for others, 1 for one's own."""
        return smoothstep_between(correlate(one, other, self._outside), OTHERS, ONES_OWN)

    def apply(self, image: Tensor, points_px: Points, change: LightChange, covered: SkinTexture | None = None) -> None:
        """Change the light on a face of an image (1, 3, H, W), in place. points_px: (468, 3), its mesh in px.

        covered: the source's skin where other pictures cover it; what they show of the change is not shown again.
        """
        if covered is not None:
            change = self.left_to_change(change, covered, image, points_px)
        placed = self.skin.place(points_px, (image.shape[2], image.shape[3]), self.skin.topology.triangles)
        if placed is not None:
            there = cv2.remap(change.logarithm, placed.texels_x, placed.texels_y, cv2.INTER_LINEAR)
            placed.multiply(image, np.asarray(there, np.float32))

    def left_to_change(self, change: LightChange, source: SkinTexture, image: Tensor, points_px: Points) -> LightChange:
        """Return what is left to change where other pictures cover the source, see `apply`."""
        low = np.clip(np.floor(points_px[:, :2].min(0)).astype(int), 0, (image.shape[3], image.shape[2]))
        high = np.clip(np.ceil(points_px[:, :2].max(0)).astype(int) + 1, low, (image.shape[3], image.shape[2]))
        # Wide light is asked for: one pixel a texel tells it.
        step = max(1, int(HALF * float((high - low).max()) / SIDE))
        cut = frame_of(image[:, :, low[1] : high[1] : step, low[0] : high[0] : step])
        there = np.asarray((points_px - (*low, 0)) / step, np.float32)
        there[:, :2] += (1 - 1 / step) / 2  # to the middle of a pixel from that of the square it stands for
        covered = self.skin.take(cut, there, source.rotation)
        differs = change.share * self._differs(source, covered)
        return change._replace(logarithm=np.asarray(change.logarithm + differs, np.float32))


def correlate(one: SkinTexture, other: SkinTexture, weight: Map) -> float:
    """Return the correlation of two skins' detail, where both are seen. weight: (SIDE, SIDE), of each texel."""
    weight = weight * seen_by_both(one, other)
    details = [_detail(texture.light, weight) for texture in (one, other)]
    own, others = ((weight * np.square(detail)).sum() for detail in details)
    return float((weight * details[0] * details[1]).sum() / max(float(np.sqrt(own * others)), 1e-6))


def seen_by_both(one: SkinTexture, other: SkinTexture) -> Map:
    """Return how well the skin in each texel is seen in both textures: (SIDE, SIDE), in [0, 1]."""
    facing = np.minimum(one.facing, other.facing)
    return np.asarray(smoothstep((facing - FACING[0]) / (FACING[1] - FACING[0])), np.float32)


def _detail(light: Map, weight: Map) -> Map:
    """Return what of light is neither noise nor as wide as lamps light a face, its weighted mean 0."""
    fine = _blur(light, FINE)
    detail = fine - _blur(weight * fine, COARSE) / (_blur(weight, COARSE) + np.float32(1e-3))
    return np.asarray(detail - (weight * detail).sum() / max(float(weight.sum()), 1e-3), np.float32)


def _blur(values: Points, width: float) -> Points:
    """Blur a texture by a width in eye distances."""
    return np.asarray(cv2.GaussianBlur(np.asarray(values, np.float32), (0, 0), width / TEXEL), np.float32)
