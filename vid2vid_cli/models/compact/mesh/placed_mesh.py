"""The mesh of a source, placed as one target shows it.

Each vertex carries CHANNELS values: the displacement to the source and to the mirrored source with its weight, then
what a pixel shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, rasterize_at
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize

# own displacement 2, mirrored displacement 2, mirror weight 1, on the face 1, inside an eye 1, drawn out 1, back 1
CHANNELS = 9
MIRROR = 4  # the channel that says how much is taken from the other half of the face
IN_FACE = 5  # the channel that is 1 on the face, and less around it
EYE = 6  # the channel that is 1 inside the openings of the eyes
DRAWN_OUT = 7  # the channel that is 1 where few pixels of the source's edge are stretched over a side of the face
BACK = 8  # the channel that is 1 on the back of the head, as far as its side has turned to the camera


@dataclass(frozen=True)
class PlacedMesh:
    """The mesh of a source, placed as one target shows it.

    vertices: (V, 3) in halves of the crop's longer side, z away. values: (V, CHANNELS). triangles: (T, 3).
    has_mirror: whether anything is taken from the other half of the face. closing: (2, 7), see eyelids.Eyelids.
    """

    vertices: Points
    values: Points
    triangles: NDArray[np.int32]
    has_mirror: bool
    closing: Points

    def draw(self, box: Box, size: tuple[int, int], channels: Sequence[int] = range(CHANNELS)) -> Points:
        """Draw some of the channels over a part of the target: (height, width, channels).

        box: the part. size: (height, width) of what is drawn.
        """
        return rasterize(self.in_px(box, size), self._some(channels), self.triangles, size)

    def draw_at(self, edges: EdgePixels, channels: Sequence[int]) -> Points:
        """Draw some of the channels at the samples of some pixels of the whole crop: (SAMPLES, E, channels)."""
        begins = np.searchsorted(edges.y, np.arange(edges.size[0] + 1)).astype(np.int32)
        places = self.in_px(Box.whole(edges.size), edges.size)
        return rasterize_at(places, self._some(channels), self.triangles, (edges.x, begins))

    def in_px(self, box: Box, size: tuple[int, int]) -> Points:
        """Return the vertices (V, 3) in px of a picture of a box, from the centre of its first pixel."""
        step = (box.high - box.low) / (size[1], size[0])
        vertices_px = self.vertices.copy()
        vertices_px[:, :2] = (self.vertices[:, :2] - box.low) / step - 0.5
        vertices_px[:, 2] /= step.mean()
        return vertices_px

    def _some(self, channels: Sequence[int]) -> Points:
        return np.ascontiguousarray(self.values[:, channels])
