"""The 468-point face mesh as the compact checkpoint describes it: triangles, loops, rigid points, regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep_tensor
from vid2vid_cli.models.compact.mesh.light_head import LightHead

IntArray = NDArray[np.int32]

_SHORTEST = np.float32(1e-12)  # of a normal that tells anything


@dataclass(frozen=True)
class FaceTopology:
    """What is fixed about the mesh.

    canonical: (468, 3), the mean face, x right, y down, z away, pivot of the head at 0, distance of the eyes 1.
    triangles: (T, 3), a closed disk: eyes and mouth are covered. oval: the face's outline, in order.
    inner_lips: the loop around the mouth's opening, in order from the corner on the left of the picture over the upper
    lip. eyes: the two eye openings, (2, 16). mirror: (468,), each point's partner on the other half of the face.
    rigid_weights: (468,), larger for points that move little with expression. head: what else there is of a head; None
    in checkpoints of before.
    """

    canonical: Tensor
    triangles: IntArray
    oval: IntArray
    inner_lips: IntArray
    eyes: IntArray
    mirror: IntArray
    rigid_weights: Tensor
    head: LightHead | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> FaceTopology:
        """Read the topology from the checkpoint's tensors `face.*`, and the head around it."""

        def indices(name: str) -> IntArray:
            return state[name].numpy().astype(np.int32)

        canonical = state["face.canonical"].float()
        return cls(
            canonical=canonical,
            triangles=indices("face.triangles"),
            oval=indices("face.oval"),
            inner_lips=indices("face.inner_lips"),
            eyes=indices("face.eyes"),
            mirror=indices("face.mirror"),
            rigid_weights=state["face.rigid_weights"].float(),
            head=LightHead.from_state(state, canonical.numpy()),
        )

    @property
    def mouth_triangles(self) -> IntArray:
        """The indices of the triangles that close the mouth's opening."""
        return np.flatnonzero(np.isin(self.triangles, self.inner_lips).all(1)).astype(np.int32)

    def facing(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far the surface at each point faces the camera: 1 fully, 0 edge on, below 0 away from it.

        points: (468, 3), x right, y down, z away. Returns (468,).
        """
        return np.asarray(_facing(np.ascontiguousarray(points, np.float32), self.triangles), np.float32)

    def spread(self, values: NDArray[np.float32], times: int) -> NDArray[np.float32]:
        """Spread values (468,) over the mesh: each point takes the mean of its own and the largest around it."""
        corners = self.triangles  # in each step a value moves on by one edge
        for _ in range(times):
            largest = values[corners].max(1)
            around = values.copy()
            for k in range(3):
                np.maximum.at(around, corners[:, k], largest)
            values = np.asarray((values + around) / 2, np.float32)
        return values

    def region_mask(self, loops: IntArray, reach: float) -> Tensor:
        """Return 1 at the points of `loops`, falling smoothly to 0 at a distance of `reach` (eye distances): (468,)."""
        # 1 up to half of the reach.
        return smoothstep_tensor(1 - (self.distance(loops) - reach / 2) / (reach / 2))

    def distance(self, loops: IntArray) -> Tensor:
        """Return how far each point is from the nearest of `loops`, in eye distances: (468,)."""
        anchors = self.canonical[torch.from_numpy(loops.ravel().astype(np.int64))]
        return torch.cdist(self.canonical[:, :2], anchors[:, :2]).min(1).values


@numba.njit(cache=True, nogil=True)
def _facing(points: NDArray[np.float32], triangles: IntArray) -> NDArray[np.float32]:
    """Return how far the surface faces the camera at each point (P, 3), by the sum of its triangles' normals: (P,).

    A normal is as long as twice its triangle's area. Triangles are wound so that normals point out of the head; the
    camera is at negative z.
    """
    normals = np.zeros_like(points)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            # One component of the cross product of two edges.
            across = (points[b, i] - points[a, i]) * (points[c, j] - points[a, j])
            across -= (points[b, j] - points[a, j]) * (points[c, i] - points[a, i])
            normals[a, k] += across
            normals[b, k] += across
            normals[c, k] += across
    facing = np.empty(len(points), np.float32)
    for p in range(len(points)):
        x, y, z = normals[p, 0], normals[p, 1], normals[p, 2]
        facing[p] = -z / max(np.sqrt(x * x + y * y + z * z), _SHORTEST)
    return facing
