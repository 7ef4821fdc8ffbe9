"""Bring another picture of a person into the light and the sharpness of the source."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame, Indices, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mouth_tone import edge_blur, match_blur
from vid2vid_cli.models.compact.wrinkles import DARK, SIDE, TEXEL, SkinMap

WIDE = 0.5  # eye distances: only what differs more widely is light; what is narrower are folds, which are wanted
FACING = (0.2, 0.5)  # how far skin has to face the camera in both pictures to tell their light
ODD = 0.3  # of log light: what differs so much more than the rest is a shadow or a hand
LEAST_KNOWN = 0.05  # where less of the skin around is compared, the light of the whole face is taken
UPRIGHT = np.eye(3, dtype=np.float32)  # how a head is turned does not count here
BEYOND = 3.0  # texels over which the gain goes on around the face


@dataclass(frozen=True)
class FacePicture:
    """A picture of a face. picture: (h, w, 3). points_px: (468, 3), the mesh in its px from the left and top edge.

    unit_px: how many px an eye distance takes, seen from the front.
    """

    picture: Frame
    points_px: Points
    unit_px: float


class ToneMatcher:
    """Matches pictures of one person to the source's."""

    def __init__(self, skin: SkinMap, source: FacePicture) -> None:
        self._skin = skin
        self._own = skin.take(source.picture, source.points_px, UPRIGHT)
        self._blur = edge_blur(source.picture, source.points_px) / source.unit_px  # eye distances

    def match(self, view: FacePicture) -> FacePicture:
        """Return the face of another picture, cut out, in the source's light and as sharp as far as that can be."""
        lit = self._relight(view)
        own_px = edge_blur(lit.picture, lit.points_px)
        picture = match_blur(lit.picture, own_px, max(self._blur * lit.unit_px, 1e-3))
        return FacePicture(picture, lit.points_px, lit.unit_px)

    def gain(self, view: FacePicture) -> Points:
        """Return the logarithm of how much brighter the source is in each colour: (SIDE, SIDE, 3)."""
        shown = self._skin.take(view.picture, view.points_px, UPRIGHT)
        ratio = self._own.log_colours - shown.log_colours
        seen = smoothstep((np.minimum(self._own.facing, shown.facing) - FACING[0]) / (FACING[1] - FACING[0]))
        weight = self._skin.mask * seen
        usual = ratio.mean(-1)
        middle = np.median(usual[weight > 0.5]) if (weight > 0.5).any() else np.float32(0)
        weight = np.asarray(weight * np.exp(-np.square((usual - middle) / ODD)), np.float32)
        mean = (weight[..., None] * ratio).sum((0, 1)) / max(float(weight.sum()), 1e-3)
        around = _blur(weight[..., None] * (ratio - mean), WIDE / TEXEL)
        known = _blur(weight, WIDE / TEXEL)[..., None] + np.float32(LEAST_KNOWN)
        return np.asarray(mean + around / known, np.float32)

    def _relight(self, view: FacePicture) -> FacePicture:
        low, high = _box(view.points_px, view.picture.shape[:2])
        cut = view.picture[low[1] : high[1], low[0] : high[0]]
        points = np.asarray(view.points_px - (*low, 0), np.float32)
        step = max(1.0, max(cut.shape[:2]) / SIDE)
        size = max(1, round(cut.shape[0] / step)), max(1, round(cut.shape[1] / step))
        gain = cv2.resize(self._laid_over(self.gain(view), points, cut.shape[:2], size), cut.shape[1::-1])
        dark = np.float32(255 * DARK)
        lit = (cut + dark) * np.exp(gain) - dark
        return FacePicture(np.clip(lit.round(), 0, 255).astype(np.uint8), points, view.unit_px)

    def _laid_over(self, gain: Points, points_px: Points, cut: tuple[int, int], size: tuple[int, int]) -> Points:
        """Return a gain as it lies over a face in a picture of a size `cut`, and a little around it: (*size, 3)."""
        vertices = points_px.copy()
        vertices[:, :2] = vertices[:, :2] * (size[1] / cut[1], size[0] / cut[0]) - 0.5
        texels = self._skin.texels
        attributes = np.column_stack([texels, np.ones(len(texels))]).astype(np.float32)
        drawn = rasterize(vertices, attributes, self._skin.triangles, size)
        there = cv2.remap(gain, drawn[..., 0], drawn[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        on_face = drawn[..., 2:]
        around = _blur(there * on_face, BEYOND) / (_blur(on_face[..., 0], BEYOND)[..., None] + np.float32(1e-3))
        return np.asarray(around + on_face * (there - around), np.float32)


def _box(points_px: Points, size: tuple[int, ...]) -> tuple[Indices, Indices]:
    """Return the box around a face (468, 3) in a picture, with a margin: first and last px + 1, x and y (2,) each."""
    edge = (size[1], size[0])
    low = np.clip(np.floor(points_px[:, :2].min(0)).astype(int) - 3, 0, (edge[0] - 2, edge[1] - 2))
    return low, np.clip(np.ceil(points_px[:, :2].max(0)).astype(int) + 3, low + 2, edge)


def _blur(values: Points, sigma: float) -> Points:
    return np.asarray(cv2.GaussianBlur(np.asarray(values, np.float32), (0, 0), sigma), np.float32)
