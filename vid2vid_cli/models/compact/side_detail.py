"""Fine detail for the sides of a face that a source shows in few pixels.

Where a target turns such a side to the camera, those few pixels are stretched over it, and nothing of pores, freckles
or stubble is left. So noise is laid over it, as fine and as strong as the detail of the skin before it: beside a beard,
as that of a beard. It lies on a cylinder around the head, unrolled (the chart), and turns with the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame, Map, Points
from vid2vid_cli.face.landmarks import BROWS, NOSTRILS
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.placed_mesh import DRAWN_OUT, PlacedMesh
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.shell import RINGS
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

RADIUS, AXIS_Z = 0.9, 0.1  # eye distances: of the cylinder, and how far behind the pivot of the head its axis lies
REACH = 2.1  # radians to either side of the middle of the face
MOST_TEXELS = 300  # for an eye distance
WELL_SEEN = (0.45, 0.65)  # of facing the camera: what tells the detail of what is seen less well
# Eye distances from eyes, which may wear glasses, and from brows, lips and nostrils: these tell nothing of skin.
OFF_EYES, OFF_OTHERS = (0.3, 0.45), (0.06, 0.16)
# Eye distances: how much skin of each row, from its side, tells how strong its detail is; and of rows how far away.
STRIP, BAND = 0.2, 0.06
MEDIAN = 1.35  # deviation of detail for the median of its absolute values: 1.48 of normal noise, less of few dark hairs
PORES = 0.05  # of log light: the most of detail above the nostrils
BRIGHTEST = 1.2  # deviations of the noise: hairs and pores are dark
PATCH, MOST_OF_PATCH = 0.12, 0.7  # eye distances, a side of what the spectrum is read off; how much of it is skin
LEAST_PATCH = 8  # texels: smaller faces show nothing fine
COARSEST = 0.04  # eye distances: coarser than this is no detail
DARK = 0.06  # of full light, added before the logarithm: what is nearly black has only noise
STRONGEST = 0.5  # of log light, approached smoothly: more is an edge


@dataclass(frozen=True, eq=False)
class SideDetail:
    """The detail of a source's sides, read off its picture (H, W, 3) when it is first needed.

    points_px: (468, 3), the mesh in px of the picture. head: (468, 3), the same as it looks straight ahead, in eye
    distances, of which one takes eye_px.
    """

    topology: FaceTopology
    points_px: Points
    head: Points
    eye_px: float
    picture: Frame

    @classmethod
    def of(cls, topology: FaceTopology, points: Points, pose: Similarity, picture: Frame) -> SideDetail:
        """Prepare a source's. points: (468, 3), its mesh in halves of the picture's longer side, as its pose, too."""
        height, width = picture.shape[:2]
        half = max(height, width) / 2
        points_px = np.asarray(points * half + (width / 2, height / 2, 0), np.float32)
        return cls(topology, points_px, pose.undo_array(points), float(pose.scale) * half, picture)

    def draw(self, mesh: PlacedMesh, box: Box, size: tuple[int, int]) -> tuple[Map, Map]:
        """Return how far a part of a target (h, w) is drawn out, and the factor by which detail changes its light."""
        values = np.zeros((len(mesh.values), 3), np.float32)
        values[:, 0] = mesh.values[:, DRAWN_OUT]
        # What lies around a face goes on where its outline ends.
        places = np.concatenate([self._places, np.tile(self._places[self.topology.oval], (RINGS, 1))])
        values[: len(places), 1:] = places
        # Both change slowly: half of the pixels a side tell them.
        half = (size[0] + 1) // 2, (size[1] + 1) // 2
        drawn = rasterize(mesh.in_px(box, half), values, mesh.triangles, half)
        share, x, y = _channels(np.asarray(cv2.resize(drawn, size[::-1]), np.float32))
        return share, 1 + share * (self._at(x, y) - 1)

    def _at(self, x: Map, y: Map) -> Map:
        """Look places on the chart up."""
        return np.asarray(cv2.remap(self._chart, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    @property
    def _texels(self) -> float:
        """Of the chart, for an eye distance."""
        return min(self.eye_px, MOST_TEXELS)

    @cached_property
    def _places(self) -> Points:
        """Where the mesh's points lie on the chart: (468, 2), in texels."""
        around = np.arctan2(self.head[:, 0], AXIS_Z - self.head[:, 2])
        down = self.head[:, 1] - self.head[:, 1].min()
        return np.asarray(self._texels * np.column_stack([RADIUS * (around + REACH), down]), np.float32)

    @cached_property
    def _chart(self) -> Map:
        """The factor by which detail changes the light on the chart: (h, w)."""
        size = int(np.ceil(self._places[:, 1].max())) + 1, int(np.ceil(2 * REACH * RADIUS * self._texels)) + 1
        known = np.column_stack([self.points_px[:, :2], self._is_skin()]).astype(np.float32)
        inwards = -np.hypot(self.head[:, 0], AXIS_Z - self.head[:, 2])
        laid = np.column_stack([self._places, inwards]).astype(np.float32)
        drawn = rasterize(laid, known, self.topology.triangles, size)
        x, y, skin = _channels(drawn)
        seen = np.asarray(cv2.remap(self._detail(), x, y, cv2.INTER_LINEAR), np.float32)
        noise = noise_like(seen, skin, round(PATCH * self._texels))
        return np.asarray(np.exp(self._strength(seen, skin) * noise), np.float32)

    def _is_skin(self) -> Points:
        """Return for each point of the mesh whether it is seen well, and is skin: (468,), 0 to 1."""
        facing = self.topology.facing(self.points_px)
        others = np.concatenate([np.ravel(BROWS), self.topology.inner_lips, NOSTRILS])
        skin = smoothstep((facing - WELL_SEEN[0]) / (WELL_SEEN[1] - WELL_SEEN[0]))
        # Above the eyes hair and brows are near.
        skin *= self.head[:, 1] > self.head[self.topology.eyes.ravel(), 1].mean()
        for loops, (near, far) in ((self.topology.eyes, OFF_EYES), (others, OFF_OTHERS)):
            skin *= smoothstep((self.topology.distance(loops).numpy() - near) / (far - near))
        return np.asarray(skin, np.float32)

    def _strength(self, seen: Map, skin: Map) -> Map:
        """Return how strong detail is on each side of each row, by the skin nearest to that side: (h, w).

        The median, so that single hairs, glasses and edges do not count; and as far as it runs in all directions:
        folds of a smile do not.
        """
        height, width = seen.shape
        step = max(1, round(BAND * self._texels))
        nearness = np.cumsum(skin, 1) / (STRIP * self._texels)  # 0 at one side, 1 where the strip ends
        strength = np.zeros_like(seen)
        for half, near in ((np.s_[: width // 2], nearness), (np.s_[width // 2 :], nearness[:, -1:] - nearness)):
            told = np.where((skin > 0.5) & (near < 1), seen, np.nan)
            bands = {row: told[row - step : row + step] for row in range(step, height - step, step)}
            known = {row: band for row, band in bands.items() if np.isfinite(band).sum() > step * step}
            if known:
                found = [MEDIAN * np.nanmedian(np.abs(band)) * in_all_directions(band) for band in known.values()]
                strength[:, half] = np.interp(np.arange(height), list(known), found)[:, None]
        # Beards grow from the mouth down; what is strong above is a fold or an edge.
        nose, mouth = (self._places[list(loop), 1].mean() for loop in (NOSTRILS, self.topology.inner_lips))
        is_beard = smoothstep((np.arange(height) - nose) / (mouth - nose))[:, None]
        return np.asarray(np.minimum(strength, PORES + is_beard * (STRONGEST - PORES)), np.float32)

    def _detail(self) -> Map:
        """Return the fine part of the picture's log light (H, W), 0 far from the face."""
        sigma = COARSEST * self.eye_px
        low = np.floor(self.points_px[:, :2].min(0) - 2 * sigma).astype(int).clip(0)
        high = np.ceil(self.points_px[:, :2].max(0) + 2 * sigma).astype(int) + 1
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        light = cv2.cvtColor(self.picture[part].astype(np.float32) / 255, cv2.COLOR_RGB2GRAY)
        light = np.log(light + np.float32(DARK))
        detail = np.zeros(self.picture.shape[:2], np.float32)
        detail[part] = STRONGEST * np.tanh((light - cv2.GaussianBlur(light, (0, 0), sigma)) / STRONGEST)
        return detail


def _channels(drawn: Points) -> list[Map]:
    """Return the channels of a picture (h, w, C), each on its own."""
    return [np.ascontiguousarray(drawn[..., k]) for k in range(drawn.shape[2])]


def in_all_directions(detail: Map) -> float:
    """Return the share of detail (h, w) that runs in all directions, 0 to 1, by its structure tensor.

    After Bigün and Granlund (ICCV 1987). NaN is not detail.
    """
    across, down = np.diff(detail, axis=1)[:-1], np.diff(detail, axis=0)[:, :-1]
    there = np.isfinite(across) & np.isfinite(down)
    if there.sum() < LEAST_PATCH:
        return 0.0
    weak, strong = np.linalg.eigvalsh(np.cov(across[there], down[there], bias=True))
    return float(np.sqrt(2 * max(weak, 0) / max(weak + strong, 1e-12)))


def noise_like(seen: Map, skin: Map, side: int) -> Map:
    """Return noise of variance 1 with the spectrum of the skin that is seen on a chart: (h, w).

    After Galerne, Gousseau, Morel, "Random Phase Textures" (IEEE TIP 2011); the spectrum is the mean of patches' (Welch
    1967). side: of a patch, in texels.
    """
    if side < LEAST_PATCH:
        return np.zeros_like(seen)
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    power = np.zeros((side, side))
    for top in range(0, seen.shape[0] - side, side // 2):
        for left in range(0, seen.shape[1] - side, side // 2):
            part = np.s_[top : top + side, left : left + side]
            if skin[part].mean() > MOST_OF_PATCH:
                patch = seen[part] * skin[part]
                power += np.square(np.abs(np.fft.fft2(window * (patch - patch.mean())))) / max(float(patch.var()), 1e-6)
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(power)).real)
    white = np.random.default_rng(0).standard_normal(seen.shape).astype(np.float32)
    noise = cv2.filter2D(white, -1, kernel.astype(np.float32))
    noise = np.minimum(noise / max(float(noise.std()), 1e-6), BRIGHTEST)
    return np.asarray(noise - noise.mean(), np.float32)
