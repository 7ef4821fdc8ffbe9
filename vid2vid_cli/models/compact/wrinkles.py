"""Wrinkles, folds and shading: how light on the driving's skin changes with its expression, laid over the source.

After Liu, Shan, Zhang, "Expressive Expression Mapping with Ratio Images" (SIGGRAPH 2001): where two faces are alike in
shape, an expression changes the light on both by the same factor. The factor is the driving frame over the driving at
rest, point by point of the mesh. All here are textures of SIDE x SIDE texels: the canonical head seen from the front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame, Indices, Map, Points
from vid2vid_cli.face.landmarks import BROWS, NOSTRILS
from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mouth_picture import MouthPicture
from vid2vid_cli.motion import Motion

SIDE = 96  # texels
MIDDLE, HALF = (0.0, 0.04), 0.96  # eye distances: the part of the canonical head that a texture covers
TEXEL = 2 * HALF / SIDE  # eye distances
DARK = 0.06  # of full light, added before the logarithm: what is nearly black has only noise
# Points of the mesh, after its authors' map: the outline of the lips.
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# Eye distances from such points: nothing is drawn up to the first, all from the second on.
AT_BROWS, AT_NOSTRILS, AT_LIPS, AT_LIDS, AT_RIM = (0.02, 0.09), (0.04, 0.16), (0.04, 0.24), (0.06, 0.16), (0.02, 0.18)
FACING = (0.3, 0.6)  # how far skin has to face the camera, see FaceTopology.facing
SKIN = (0.3, 0.6)  # difference of log light from the face's own: less is skin, more is hair, a mole or a shadow's edge
EDGE = (0.03, 0.09)  # log light a texel: a steeper slope in the resting face shows wherever the mesh misses by little
TURN_DEG = (14.0, 28.0)  # of the head since rest: from here on the light of the turn hides that of the expression
WIDE = 0.3  # eye distances: light that changes evenly over more than this is the lamp's, the camera's or the turn's
FINE = 0.02  # eye distances: detail finer than this is compression
QUIET = 1.2  # how many times the noise of the resting face is taken off every change
LEAST_NOISE = 0.006  # of log light
FEWEST_AT_REST = 3  # frames, to tell their noise
DARKEST, LIGHTEST = 0.86, 1.06  # factors: approached smoothly, so that strong folds keep their form
# Exponents of the factor in red, green and blue, on skin as colourful as a photograph's: light that skin has scattered
# is red, and fills its shadows. An even factor looks like dirt.
WARMTH = (-0.35, 0.1, 0.25)


@dataclass(frozen=True, eq=False)
class SkinTexture:
    """What a driving frame shows of the skin.

    colours: (SIDE, SIDE, 3), red, green and blue in [0, 1]. facing: (SIDE, SIDE), see FaceTopology.facing; 0 where
    nothing is. rotation: (3, 3), the head's.
    """

    colours: Points
    facing: Map
    rotation: Points

    @cached_property
    def light(self) -> Map:
        """Logarithm of the brightness: (SIDE, SIDE)."""
        return np.asarray(np.log(cv2.cvtColor(self.colours, cv2.COLOR_RGB2GRAY) + np.float32(DARK)), np.float32)

    @cached_property
    def log_colours(self) -> Points:
        """Logarithm of the colours: (SIDE, SIDE, 3)."""
        return np.asarray(np.log(self.colours + np.float32(DARK)), np.float32)


@dataclass(frozen=True)
class RestingSkin:
    """The skin of the driving at rest. noise: (SIDE, SIDE), how far frames at rest differ; trust: (SIDE, SIDE)."""

    texture: SkinTexture
    noise: Map
    trust: Map


@dataclass(frozen=True)
class DrivingLook:
    """What is shown of a driving frame itself.

    mouth: None to draw one. skin: None to leave the source's as it is. wrinkles: how much of it is shown, in [0, 1].
    unread: takes the skin out of the frame where none is shown, for those who ask whose face it is. motion: as it was
    read off the frame; None where nobody knows.
    """

    mouth: MouthPicture | None
    skin: SkinTexture | None = None
    wrinkles: float = 0.0
    unread: Callable[[], SkinTexture] | None = None
    motion: Motion | None = None

    def read_skin(self) -> SkinTexture | None:
        """Return the skin, whether it is shown or not; None where there is no picture of it."""
        return self.skin if self.skin is not None or self.unread is None else self.unread()


@dataclass(frozen=True)
class PlacedSkin:
    """Where a picture shows the texels. rows, columns: its box in it. texels_x, texels_y, facing: (h, w), coarser."""

    rows: slice
    columns: slice
    texels_x: Map
    texels_y: Map
    facing: Map

    def multiply(self, image: Tensor, change: Points) -> None:
        """Multiply the box of an image (1, 3, H, W) by a factor, in place. change: (h, w, 3), its logarithm."""
        patch = image[0, :, self.rows, self.columns]
        size = patch.shape[2], patch.shape[1]
        for plane, logarithm in zip(patch, np.moveaxis(change, -1, 0), strict=True):
            factor = cv2.resize(np.exp(logarithm), size, interpolation=cv2.INTER_LINEAR)
            plane.mul_(torch.from_numpy(factor).to(image)).clamp_(max=1)


class SkinMap:
    """The face in texels: takes textures out of frames, compares them and draws them over a target."""

    def __init__(self, topology: FaceTopology) -> None:
        """Lay the mesh out on the texture."""
        self.topology = topology
        mean = topology.canonical.numpy()
        self.texels = ((mean[:, :2] - MIDDLE) / TEXEL + (SIDE - 1) / 2).astype(np.float32)
        """(468, 2), where each point of the mesh lies on a texture, the centre of its first texel at 0."""
        self._laid_out = np.concatenate([self.texels, mean[:, 2:] / TEXEL], 1).astype(np.float32)
        self.triangles: Indices = np.delete(topology.triangles, topology.mouth_triangles, 0)
        self.mask = self._draw_mask()

    def _draw_mask(self) -> Map:
        """Return where wrinkles may be drawn: 1 on skin, 0 at lips, lids, brows, nostrils and the rim."""
        mask = self.covered(self.triangles)
        for loops, fade in (
            (BROWS, AT_BROWS),
            (NOSTRILS, AT_NOSTRILS),
            (LIPS, AT_LIPS),
            (self.topology.eyes, AT_LIDS),
            (self.topology.oval, AT_RIM),
        ):
            away = self.distance(np.atleast_2d(np.asarray(loops, np.int32)))
            mask *= smoothstep((away - fade[0]) / (fade[1] - fade[0]))
        return np.asarray(mask, np.float32)

    def covered(self, triangles: Indices) -> Map:
        """Return 1 on some triangles of the face, 0 elsewhere: (SIDE, SIDE)."""
        ones = np.ones((len(self.texels), 1), np.float32)
        return np.asarray(rasterize(self._laid_out, ones, triangles, (SIDE, SIDE))[..., 0], np.float32)

    def lay_out(self, values: Points, zoom: int) -> Points:
        """Draw values (468, C) of the mesh's points over a texture of `zoom` times as many texels a side.

        Returns (zoom * SIDE, zoom * SIDE, C); 0 where nothing is.
        """
        vertices = self._laid_out * np.float32(zoom)
        vertices[:, :2] += np.float32((zoom - 1) / 2)
        return rasterize(vertices, np.asarray(values, np.float32), self.triangles, (zoom * SIDE, zoom * SIDE))

    def distance(self, loops: Indices) -> Map:
        """Return how far each texel is from the nearest of some loops (L, K) of points, in eye distances."""
        free = np.full((SIDE, SIDE), 255, np.uint8)
        cv2.polylines(free, [np.rint(self.texels[loop]).astype(np.int32) for loop in loops], True, 0)
        return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * TEXEL, np.float32)

    def take(self, frame: Frame, points_px: Points, rotation: Points) -> SkinTexture:
        """Take the skin out of a frame (H, W, 3). points_px: (468, 3), the mesh in its px. rotation: (3, 3)."""
        facing = self.topology.facing(points_px)
        attributes = np.column_stack([points_px[:, :2], facing]).astype(np.float32)
        drawn = rasterize(self._laid_out, attributes, self.triangles, (SIDE, SIDE))
        low, high = points_px[:, :2].min(0), points_px[:, :2].max(0)
        (left, top), (right, bottom) = np.maximum(low - 2, 0).astype(int), np.maximum(high + 3, 1).astype(int)
        cut = frame[top:bottom, left:right]
        if not cut.size:
            return SkinTexture(np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32), rotation)
        # About one pixel a texel, so that sampling them skips none.
        scale = min(1.0, SIDE / (HALF * float((high - low).max())))
        sized = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else cut
        places = np.asarray((drawn[..., :2] - (left, top)) * scale - 0.5, np.float32)
        small = sized.astype(np.float32) / np.float32(255)
        colours = cv2.remap(small, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return SkinTexture(np.asarray(colours, np.float32), np.ascontiguousarray(drawn[..., 2]), rotation)

    def rest(self, textures: Sequence[SkinTexture]) -> RestingSkin:
        """Return the skin at rest: the median of frames that show it so, which leaves their noise out."""
        colours = np.median(np.stack([one.colours for one in textures]), axis=0).astype(np.float32)
        middle = np.median(np.stack([one.light for one in textures]), axis=0).astype(np.float32)
        facing = np.median(np.stack([one.facing for one in textures]), axis=0).astype(np.float32)
        bands = [_band(self.mask, one.light - middle) for one in textures]
        noise = _blur(np.sqrt(np.mean(np.square(bands), axis=0)), 1.5)
        texture = SkinTexture(colours, facing, textures[len(textures) // 2].rotation)
        return RestingSkin(texture, np.maximum(noise, LEAST_NOISE).astype(np.float32), self._trust(middle))

    def _trust(self, light: Map) -> Map:
        """Return where a resting face shows even skin: there alone a change of light is one of expression."""
        skin = float(np.median(light[self.mask > 0.5]))
        even = smoothstep((SKIN[1] - np.abs(light - skin)) / (SKIN[1] - SKIN[0]))
        smooth = _blur(light, 1.0)
        slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8)
        flat = smoothstep((EDGE[1] - slope) / (EDGE[1] - EDGE[0]))
        return np.asarray(_blur(np.minimum(even, flat), 1.5), np.float32)

    def ratio(self, shown: SkinTexture, rest: RestingSkin, strength: float = 1.0) -> Map | None:
        """Return the logarithm of the factor by which the skin's light changes: (SIDE, SIDE); None where it does not.

        Within log DARKEST and log LIGHTEST, times strength in [0, 1]; 0 where nothing is drawn.
        """
        turned = _upright_share(shown.rotation, rest.texture.rotation)
        if turned <= 0:
            return None
        facing = np.minimum(shown.facing, rest.texture.facing)
        weight = self.mask * rest.trust * smoothstep((facing - FACING[0]) / (FACING[1] - FACING[0]))
        change = _band(weight, shown.light - rest.texture.light)
        change = np.sign(change) * np.maximum(np.abs(change) - QUIET * rest.noise, 0)
        change = turned * weight * change
        limit = np.where(change < 0, -np.log(DARKEST), np.log(LIGHTEST)).astype(np.float32)
        change = limit * np.tanh(change / limit)
        return np.asarray(strength * change, np.float32) if change.any() else None

    def shade(self, image: Tensor, points_px: Points, ratio: Map, saturation: float) -> None:
        """Multiply an image (1, 3, H, W) by a ratio, in place. points_px: (468, 3), the target's mesh in its px.

        saturation: of the skin, over a usual photograph's, in [0, 1].
        """
        placed = self.place(points_px, (image.shape[2], image.shape[3]), self.triangles)
        if placed is None:
            return
        there = cv2.remap(ratio, placed.texels_x, placed.texels_y, cv2.INTER_LINEAR)
        there *= smoothstep((placed.facing - FACING[0]) / (FACING[1] - FACING[0]))
        placed.multiply(image, there[..., None] * (1 + np.float32(saturation) * np.array(WARMTH, np.float32)))

    def place(self, points_px: Points, picture: tuple[int, int], triangles: Indices) -> PlacedSkin | None:
        """Return where a picture of a size (height, width) shows the texels; None if out of sight.

        points_px: (468, 3), the mesh in its px. triangles: those that are shown.
        """
        low = np.maximum(np.floor(points_px[:, :2].min(0)), 0).astype(int)
        high = np.minimum(np.ceil(points_px[:, :2].max(0)) + 1, picture[::-1]).astype(int)
        if (high <= low).any():
            return None
        extent = high - low
        step = max(1.0, float(extent.max()) / SIDE)
        size = max(1, round(extent[1] / step)), max(1, round(extent[0] / step))
        vertices = points_px.astype(np.float32).copy()
        vertices[:, :2] = (vertices[:, :2] - low) * (size[1], size[0]) / extent - 0.5
        attributes = np.column_stack([self.texels, self.topology.facing(points_px)]).astype(np.float32)
        values = rasterize(vertices, attributes, triangles, size)
        texels_x, texels_y, facing = (np.ascontiguousarray(values[..., k]) for k in range(3))
        rows, columns = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        return PlacedSkin(rows, columns, texels_x, texels_y, facing)


def _upright_share(rotation: Points, rest: Points) -> float:
    """Return 1 for a head turned as at rest, falling to 0 for one that is turned away from there."""
    cosine = np.clip((np.trace(np.asarray(rotation, np.float64) @ np.asarray(rest, np.float64).T) - 1) / 2, -1, 1)
    turn_deg = float(np.degrees(np.arccos(cosine)))
    return smoothstep_between(-turn_deg, -TURN_DEG[1], -TURN_DEG[0])


def _band(weight: Map, change: Map) -> Map:
    """Return a change of light without what is wide (light on the whole face) and what is fine (compression)."""
    # The wide part is blurred on a quarter of the texels.
    sigma = WIDE / TEXEL / 4
    wide = _blur(_quarter(weight * change), sigma) / (_blur(_quarter(weight), sigma) + np.float32(1e-3))
    return _blur(change, FINE / TEXEL) - np.asarray(cv2.resize(wide, (SIDE, SIDE)), np.float32)


def _quarter(values: Map) -> Map:
    return np.asarray(cv2.resize(values, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA), np.float32)


def _blur(values: Map, sigma: float) -> Map:
    return np.asarray(cv2.GaussianBlur(np.asarray(values, np.float32), (0, 0), sigma), np.float32)
