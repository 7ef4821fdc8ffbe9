"""Eyes and mouth close like curtains: lids and lips slide over eyeballs and teeth, which keep their shape.

The triangles that fill an opening have their own vertices. These lie where the lids or lips lie in the target, but show
what is at that very place in the source's opening, instead of squeezing the whole inside into what is left of it. If
the target is open further than the source, the inside is stretched after all, since there is no more of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.models.compact.mesh.topology import FaceTopology


@dataclass(frozen=True)
class Axis:
    """The line between the corners of an opening, as a frame: x along it, y across, in units of the head's scale."""

    middle: Points
    along: Points
    unit: float

    def to_local(self, points: Points) -> Points:
        """Map points (P, 2) into the frame."""
        across = np.array([-self.along[1], self.along[0]], np.float32)
        return np.asarray((points - self.middle) @ np.stack([self.along, across], 1) / self.unit, np.float32)

    def to_picture(self, points: Points) -> Points:
        """Map points (P, 2) of the frame back."""
        across = np.array([-self.along[1], self.along[0]], np.float32)
        return np.asarray(points @ np.stack([self.along, across]) * self.unit + self.middle, np.float32)


@dataclass(frozen=True)
class PlacedFace:
    """The mesh as a picture shows it: points (468, 2), and the scale of the head in it."""

    points: Points
    scale: float


def find_axis(loop_points: Points, unit: float) -> Axis:
    """Return the axis of an opening. loop_points: (P, 2), from one corner over the other one half way round."""
    first, other = loop_points[0], loop_points[len(loop_points) // 2]
    along = (other - first) / max(float(np.linalg.norm(other - first)), 1e-6)
    return Axis((first + other) / 2, along, unit)


def opening_loops(topology: FaceTopology) -> list[Indices]:
    """Return the loops around both eyes and the inside of the lips."""
    return [*topology.eyes, topology.inner_lips]  # in this order their vertices follow in the mesh


def refill_triangles(topology: FaceTopology, first: int) -> Indices:
    """Return the face's triangles, those inside the openings with their own vertices.

    first: index of the first such vertex; they follow loop by loop.
    """
    triangles = topology.triangles.copy()
    for loop in opening_loops(topology):
        own = np.full(int(topology.triangles.max()) + 1, -1, np.int32)
        own[loop] = first + np.arange(len(loop), dtype=np.int32)
        # A triangle whose corners all lie on a loop closes that opening.
        inside = np.isin(topology.triangles, loop).all(1)
        triangles[inside] = own[topology.triangles[inside]]
        first += len(loop)
    return triangles


def inside_source_xy(topology: FaceTopology, source: PlacedFace, target: PlacedFace) -> Points:
    """Return what the openings' own vertices show of the source: (P, 2)."""
    source_xy = []
    for loop in opening_loops(topology):
        there = find_axis(source.points[loop], source.scale)
        here = find_axis(target.points[loop], target.scale)
        own = there.to_local(source.points[loop])
        seen = here.to_local(target.points[loop])[:, 1]
        # No further from the axis than the source's own rim, on the same side of it.
        across = np.clip(seen, np.minimum(own[:, 1], 0), np.maximum(own[:, 1], 0))
        source_xy.append(there.to_picture(np.stack([own[:, 0], across], 1)))
    return np.concatenate(source_xy)
