"""How the lips of other pictures lie on the source's: the mesh misses them by a little, elsewhere in each picture.

Where pictures of different mouths are mixed, their lips have to meet. Where a picture has just the frame's mouth, the
mesh misses its lips as it does the frame's, and all is best left as it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.view_tone import FacePicture
from vid2vid_cli.models.compact.wrinkles import DARK, SkinMap

ZOOM = 2  # texels along a side for each of the skin's
REACH = 0.5  # eye distances from the lips
# In texels of the skin, each .02 eye distances:
WIDE = 8.0  # what changes light over more is not an edge
SMOOTH = 3.0  # over so many the mesh is moved together
MOST_MOVED = 4.0
ASTRAY = 0.75  # how far from its start the way there and back may end
FACING = (0.2, 0.5)  # how far skin has to face the camera, see FaceTopology.facing
CONTRAST, EDGE = 140.0, 6.0  # of 255 for log light; a texel, of which flatter skin tells little
LEAST_TRUST = 0.05


@dataclass(frozen=True)
class LipFit:
    """Moves the meshes of K pictures.

    first: the picture whose lips were compared with all others: the source's, or that of another frame of its clip.
    moved: (K, 468, 2), how far from where it was read each picture shows what the source shows at a point, in texels of
    the skin. to_px: (K, 2, 2), px of each picture for a texel. own: (468, 2), how far the source shows from where it
    was read what the first one shows, in texels.
    """

    first: FacePicture
    moved: Points
    to_px: Points
    own: Points

    def fitted(self, number: int, view: FacePicture) -> FacePicture:
        """Return a picture with its mesh moved to where its lips are the source's. number: which one it is."""
        points = view.points_px.copy()
        points[:, :2] += self.moved[number] @ self.to_px[number]
        return replace(view, points_px=points)

    def together(self, which: NDArray[np.integer], shares: Points, near: float) -> Points:
        """Return where some pictures meet best, as far as nobody knows how the frame's mesh lies: (468, 2), in texels.

        shares: (len(which), 468), how much of each point they show. near: how near their mouths are to the frame's.
        """
        return np.asarray(np.float32(near) * (shares[..., None] * self.moved[which]).sum(0), np.float32)

    def moved_px(self, which: NDArray[np.integer], together: Points) -> Points:
        """Return how far the meshes of some pictures move in their px, so that they meet: (len(which), 468, 2).

        together: (468, 2), how far from the frame's mesh they show what the source shows at a point, in texels.
        """
        return np.asarray((self.moved[which] - together) @ self.to_px[which], np.float32)


def fit_lips(
    skin: SkinMap,
    source: FacePicture,
    views: Sequence[FacePicture],
    known: Sequence[Points],
    like: LipFit | None = None,
) -> LipFit:
    """Fit the lips of other pictures, in the source's light, to the source's. known: (468,) each, what they show.

    like: how they lie on another frame of the source's clip. Then only the lips of two frames are compared, in a
    fraction of the time.
    """
    shown = np.stack([np.asarray(knows, np.float32) for knows in known])[..., None]
    if like is None:
        first, own, moved = source, np.zeros((len(skin.texels), 2), np.float32), shown * _ways(skin, source, views)
    else:
        first, own = like.first, _ways(skin, like.first, [source])[0]
        moved = like.moved + shown * (like.own - own)
    texels = np.column_stack([skin.texels, np.ones(len(skin.texels))])
    to_px = [np.linalg.lstsq(texels, view.points_px[:, :2], rcond=None)[0][:2] for view in views]
    return LipFit(first, np.asarray(moved, np.float32), np.asarray(to_px, np.float32), own)


def _ways(skin: SkinMap, source: FacePicture, views: Sequence[FacePicture]) -> Points:
    """Return how far from where it was read each view shows what the source shows, at the lips: (K, 468, 2), texels."""
    lips = skin.topology.region_mask(skin.topology.inner_lips, REACH).numpy()
    reached = skin.texels[lips > 0]
    low, high = (np.rint(ZOOM * edge).astype(int) for edge in (reached.min(0) - WIDE, reached.max(0) + WIDE))
    window = slice(low[1], high[1]), slice(low[0], high[0])
    own, *others = (_Flattened(skin, picture, window) for picture in (source, *views))
    x, y = np.asarray(ZOOM * skin.texels + (ZOOM - 1) / 2 - low, np.float32).T[:, None]
    ways = [cv2.remap(_find_way(own, flat), x, y, cv2.INTER_LINEAR)[0] / ZOOM for flat in others]
    return np.asarray(lips[:, None] * np.stack(ways), np.float32)


class _Flattened:
    """A window of a face seen from the front. picture: (h, w), uint8, edges alone. facing: (h, w)."""

    def __init__(self, skin: SkinMap, face: FacePicture, window: tuple[slice, slice]) -> None:
        facing = skin.topology.facing(face.points_px)
        drawn = skin.lay_out(np.column_stack([face.points_px[:, :2] - 0.5, facing, np.ones(len(facing))]), ZOOM)
        x, y, self.facing, covered = (np.ascontiguousarray(drawn[window][..., k]) for k in range(4))
        seen = cv2.remap(face.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        light, known = np.log(seen.mean(-1) / 255 + DARK), (covered > 0.5).astype(np.float32)
        around = _blur(light * known, WIDE) / (_blur(known, WIDE) + np.float32(1e-3))
        self.picture = np.clip(128 + CONTRAST * (light - around) * known, 0, 255).astype(np.uint8)


def _find_way(source: _Flattened, view: _Flattened) -> Points:
    """Return where a view shows what the source shows, as a smooth displacement (h, w, 2) in texels of the windows.

    Optical flow both ways (Kroeger and others, "Fast Optical Flow using Dense Inverse Search", ECCV 2016); what does
    not find back counts little, and so does what has no edges.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    there, back = (
        search.calc(one, other, np.zeros((*one.shape, 2), np.float32))  # which it fills
        for one, other in ((source.picture, view.picture), (view.picture, source.picture))
    )
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in source.picture.shape[::-1]))
    returned = there + cv2.remap(back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR)
    trust = np.exp(-np.square(returned / (ASTRAY * ZOOM)).sum(-1))
    trust *= smoothstep((np.minimum(source.facing, view.facing) - FACING[0]) / (FACING[1] - FACING[0]))
    steep = sum(np.square(cv2.Sobel(source.picture, cv2.CV_32F, *axis) / 8) for axis in ((1, 0), (0, 1)))
    trust *= steep / (steep + EDGE**2) * (np.linalg.norm(there, axis=-1) < 2 * ZOOM * MOST_MOVED)
    way = _blur(trust[..., None] * there, SMOOTH) / (_blur(trust, SMOOTH) + np.float32(LEAST_TRUST))[..., None]
    length = np.linalg.norm(way, axis=-1, keepdims=True)
    return np.asarray(way * np.minimum(1, ZOOM * MOST_MOVED / np.maximum(length, 1e-6)), np.float32)


def _blur(values: Points, texels: float) -> Points:
    """Blur a window by texels of the skin."""
    return np.asarray(cv2.GaussianBlur(np.asarray(values, np.float32), (0, 0), ZOOM * texels), np.float32)
