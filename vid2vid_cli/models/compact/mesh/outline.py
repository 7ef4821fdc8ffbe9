"""The outline of a face in a picture, and the height of the head around it: where a shell begins, and its depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from vid2vid_cli.arrays import Indices, Map, Points
from vid2vid_cli.models.compact.mesh.light_head import HeadDepth
from vid2vid_cli.models.compact.mesh.square_map import HALF, SquareMap

ROUNDNESS = 0.75  # depth over width of a head: 1 for a sphere
PASSES = 160  # over the map; more change nothing that is seen
OVER_RELAXATION = 1.9
SOFT_CELLS = 1.0  # of the map: how softly a head passes into what lies around it
NEIGHBOURS = (0.1, 0.2, 0.4, 0.2, 0.1)  # shares of neighbouring rays, to smooth
MARGIN = 1.02  # of the silhouette of the face: what lies around it begins there


@dataclass(frozen=True)
class Outline:
    """The outline of a face.

    points: (36, 3), x and y in halves of the crop's longer side, z away. centre: (2,). directions: (36, 2), of length
    1, from the centre. radius: (36,), how far the silhouette of the whole face reaches in them.
    """

    points: Points
    centre: Points
    directions: Points
    radius: Points
    hidden: Points
    partners: Indices

    @classmethod
    def of_face(cls, face: Points, oval: Indices, mirror: Indices) -> Outline:
        """Read it off a mesh (468, 3). oval, mirror: see topology.FaceTopology."""
        points = face[oval]
        centre = points[:, :2].mean(0)
        rays = points[:, :2] - centre
        length = np.linalg.norm(rays, axis=-1)
        directions = rays / length[:, None]
        # The far half of a turned head's outline lies within its silhouette.
        radius = np.maximum(length, MARGIN * _silhouette(face[:, :2] - centre, directions))
        hidden = np.maximum(radius - MARGIN * length, 0)
        place = {int(point): k for k, point in enumerate(oval)}
        partners = np.array([place[int(mirror[point])] for point in oval], np.int32)
        return cls(points, centre, directions, radius.astype(np.float32), hidden.astype(np.float32), partners)

    def heights(self, plane: float, matte: SquareMap, head: HeadDepth | None = None) -> SquareMap:
        """Return how far the person lies before a plane at depth z: an ellipsoid over the matte, see shell.py.

        head: what is known of the depth of ears, skull, jaw and neck; behind the plane they count as less than 0.
        """
        x, y = (middles - centre for middles, centre in zip(matte.middles, self.centre, strict=True))
        angle, distance = np.arctan2(y[:, None], x[None]), np.hypot(y[:, None], x[None])
        angles = np.arctan2(self.directions[:, 1], self.directions[:, 0])
        order = np.argsort(angles)
        rim = np.maximum(plane - self.points[:, 2], 0)[order] ** 2
        radius = np.interp(angle, angles[order], self.radius[order], period=2 * np.pi)
        on_face, is_person = distance <= radius, matte.values > HALF
        squares = np.where(on_face, np.interp(angle, angles[order], rim, period=2 * np.pi), 0).astype(np.float32)
        known = np.zeros(squares.shape, np.float32)
        if head is not None:
            is_head = (head.shown > 0) & is_person & ~on_face
            known[is_head] = plane - head.depth[is_head]
            squares[is_head], on_face = np.maximum(known[is_head], 0) ** 2, on_face | is_head
        # The square of the height of an ellipsoid has the same curvature everywhere.
        curvature = np.float32(4 * ROUNDNESS**2 * float(matte.step.prod()))
        _relax(squares, is_person & ~on_face, curvature)
        # Where the person goes on beyond the border, nothing bends the ellipsoid back.
        heights = np.sqrt(np.clip(squares, 0, rim.max())) + np.minimum(known, 0)
        return SquareMap(np.asarray(cv2.GaussianBlur(heights, (0, 0), SOFT_CELLS), np.float32), matte.border)


def smooth_around(values: Points) -> Points:
    """Smooth values (36, ...) around the loop."""
    shifts = range(-(len(NEIGHBOURS) // 2), len(NEIGHBOURS) // 2 + 1)
    return np.asarray(sum(np.roll(values, k, 0) * share for k, share in zip(shifts, NEIGHBOURS, strict=True)))


@numba.njit(cache=True, nogil=True)
def _relax(values: Map, unknown: Map, curvature: np.float32) -> None:
    """Solve Poisson's equation where a map is unknown, in place, by successive over-relaxation (Young, 1954)."""
    height, width = values.shape
    for _ in range(PASSES):
        for y in range(height):
            for x in range(width):
                if unknown[y, x]:
                    # Beyond the border, everything goes on as at it.
                    around = values[max(y - 1, 0), x] + values[min(y + 1, height - 1), x]
                    around += values[y, max(x - 1, 0)] + values[y, min(x + 1, width - 1)]
                    values[y, x] += np.float32(OVER_RELAXATION) * ((around + curvature) / 4 - values[y, x])


def _silhouette(points: Points, directions: Points) -> Points:
    """Return how far the points (K, 2) reach in each direction (R, 2), within about 8 degrees: (R,)."""
    along = points @ directions.T
    near = along > 0.99 * np.linalg.norm(points, axis=-1, keepdims=True)
    return np.asarray(np.where(near, along, 0).max(0), np.float32)
