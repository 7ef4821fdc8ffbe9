"""What a mesh stretches or hides of a moved person is blurred: there is nothing to see but noise, or an edge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.placed_mesh import BACK, DRAWN_OUT, PlacedMesh
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.side_detail import SideDetail

SOFTENED, MOST_SOFTENED, LEAST_SOFTENED = 0.018, 0.9, 0.05  # of the height of the face; of the picture
BACK_SOFTENED, BACK_COARSE = 0.007, 4  # of the height of the face; px, of which one says how much


def soften_stretched(person: Points, mesh: PlacedMesh, detail: SideDetail) -> None:
    """Blur a moved person (H, W, 4) down the side of a face that few pixels are stretched over, in place.

    Along the stretch there is nothing to see but the noise of single pixels, as stripes. Detail is laid over it.
    """
    patch = _patch(person, mesh, DRAWN_OUT, 0)
    if patch is None:
        return
    share, finer = detail.draw(mesh, patch.box, patch.size)
    smooth = cv2.GaussianBlur(patch.pixels, (1, 0), sigmaX=1e-3, sigmaY=max(SOFTENED * patch.face, 0.3))
    patch.blend(np.asarray(smooth, np.float32), share * np.float32(MOST_SOFTENED))
    patch.light(finer)


def soften_back(person: Points, mesh: PlacedMesh) -> None:
    """Blur a moved person (H, W, 4) on the back of the head, in place: no hair of it ends in a sharp edge."""
    patch = _patch(person, mesh, BACK, 2 * BACK_SOFTENED)
    if patch is None:
        return
    side = 2 * round(1.5 * BACK_SOFTENED * patch.face) + 1
    height, width = patch.size
    coarse = max(1, height // BACK_COARSE), max(1, width // BACK_COARSE)
    # Beyond the edge of what is drawn, too.
    reach = np.ones((2 * round(side / BACK_COARSE) + 3,) * 2, np.uint8)
    share = cv2.blur(cv2.dilate(mesh.draw(patch.box, coarse, (BACK,)), reach), (3, 3))
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    patch.blend(np.asarray(cv2.blur(patch.pixels, (side, side)), np.float32), np.asarray(share, np.float32))


@dataclass(frozen=True)
class Patch:
    """A part of a picture. pixels: (h, w, 4), a view of it. box: where it lies. face: the height of the face, px."""

    pixels: Points
    box: Box
    face: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def blend(self, others: Points, share: Map) -> None:
        """Show a share (h, w) of other pixels (h, w, 4), which are changed."""
        others -= self.pixels
        others *= cv2.merge([share] * 4)  # numpy takes twice as long to spread one number over four
        self.pixels[...] += others

    def light(self, factor: Map) -> None:
        """Multiply the colours by a factor (h, w)."""
        self.pixels[...] *= cv2.merge([factor, factor, factor, np.ones_like(factor)])


def _patch(person: Points, mesh: PlacedMesh, channel: int, reach: float) -> Patch | None:
    """Return the part of a moved person (H, W, 4) where a channel of its mesh is; None for next to nothing.

    reach: how far around it, of the height of the face.
    """
    if mesh.values[:, channel].max() < LEAST_SOFTENED:
        return None
    height, width = person.shape[:2]
    half = max(height, width) / 2
    face = float(np.ptp(mesh.vertices[:POINTS, 1])) * half
    points_px = mesh.vertices[mesh.values[:, channel] > 0, :2] * half + (width / 2, height / 2)
    low = np.floor(points_px.min(0) - reach * face).astype(int).clip(0, (width - 1, height - 1))
    high = np.ceil(points_px.max(0) + reach * face).astype(int).clip(low + 1, (width, height))
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    first, last = ((corner - (width / 2, height / 2)) / half for corner in (low, high))
    return Patch(person[top:bottom, left:right], Box(first[0], first[1], last[0], last[1]), face)
