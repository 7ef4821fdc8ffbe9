"""A light head around the face: ears, skull, jaw and neck of a mean head, bent onto a person's face.

It only says how far away these are where a picture shows them. Its numbers are those of the ICT face model (MIT), see
training/head_model.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from torch import Tensor

from vid2vid_cli.arrays import Indices, Map, Points
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.square_map import SIDE

BEND_REACH, BEND_FADE = 0.12, 0.35  # eye distances: over how much of a face bends are averaged, and how far they reach


@dataclass(frozen=True)
class LightHead:
    """A mean head on the canonical head. vertices: (V, 3). triangles: (T, 3). face: (468, 3), the mean face on it."""

    vertices: Points
    triangles: Indices
    face: Points

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], face: Points) -> LightHead | None:
        """Read the tensors `head.vertices` and `head.triangles` of a checkpoint; None if it has none."""
        if "head.vertices" not in state:
            return None
        triangles = state["head.triangles"].numpy().astype(np.int32)
        return cls(state["head.vertices"].float().numpy(), triangles, face)

    def bent(self, face: Points) -> LightHead:
        """Return the head that has another face (468, 3)."""
        sized = self.sized(face)
        return LightHead(sized.vertices + self._shares @ (face - sized.face), self.triangles, face)

    def sized(self, face: Points) -> LightHead:
        """Return the head in the width, height and depth of another face (468, 3), and in its place."""
        low, high = self.face.min(0), self.face.max(0)
        size = np.ptp(face, 0) / (high - low)
        middle = face.mean(0) - size * self.face.mean(0)
        vertices, on_face = (np.asarray(size * points + middle, np.float32) for points in (self.vertices, self.face))
        return LightHead(vertices, self.triangles, on_face)

    @cached_property
    def _shares(self) -> Points:
        """How much each vertex moves with each point of the face: (V, 468)."""
        distance = ((self.vertices[:, None] - self.face) ** 2).sum(-1)  # squared
        nearest = distance.min(1, keepdims=True)
        shares = np.exp((nearest - distance) / (2 * BEND_REACH**2))
        return np.asarray(shares * np.exp(-nearest / (2 * BEND_FADE**2)) / shares.sum(1, keepdims=True), np.float32)


@dataclass(frozen=True)
class HeadDepth:
    """How far away a head is, halves of the crop's longer side, and where it is shown: (SIDE, SIDE) each."""

    depth: Map
    shown: Map

    @classmethod
    def of(cls, vertices: Points, triangles: Indices, border: Border) -> HeadDepth:
        """Draw a head whose vertices (V, 3) are placed in the picture, over the square within a border."""
        places = vertices.copy()
        places[:, :2] = (vertices[:, :2] - border.low) / ((border.high - border.low) / SIDE) - 0.5
        values = np.column_stack([vertices[:, 2], np.ones(len(vertices))]).astype(np.float32)
        drawn = rasterize(places, values, triangles, (SIDE, SIDE))
        # At its silhouette a head falls off to its back.
        shown = cv2.erode(np.ascontiguousarray(drawn[..., 1]), np.ones((3, 3), np.uint8))
        return cls(np.ascontiguousarray(drawn[..., 0]), np.asarray(shown, np.float32))
