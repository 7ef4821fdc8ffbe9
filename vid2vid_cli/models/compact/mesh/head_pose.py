"""How a source holds its head, and where places of its picture lie on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mesh.light_head import HeadDepth, LightHead

EARS_Z = 0.0  # eye distances on the canonical head: depth of its outline


@dataclass(frozen=True)
class HeadPose:
    """How a source holds its head. pose: batch of 1. forehead, chin: their y on the canonical head.

    shape: of ears, skull, jaw and neck, on the canonical head; None where that is not known.
    """

    pose: Similarity
    forehead: float
    chin: float
    shape: LightHead | None = None

    def down(self, places: Points) -> Points:
        """Return y on the canonical head of places (..., 3): (...)."""
        return self.pose.undo_array(places.reshape(-1, 3))[:, 1].reshape(places.shape[:-1])

    def aside(self, places: Points) -> Points:
        """Return how far places (..., 3) lie beside the head's axis in the picture, in eye distances: (...)."""
        origin = self.in_picture(0, 0)[:2]
        axis = self.in_picture(1, 0)[:2] - origin
        off = places[..., :2] - origin
        across = np.abs(off[..., 0] * axis[1] - off[..., 1] * axis[0]) / np.linalg.norm(axis)
        return np.asarray(across / float(self.pose.scale), np.float32)

    def in_picture(self, y: float, z: float) -> Points:
        """Return where a point of the canonical head's middle plane lies: (3,)."""
        return np.asarray(self.pose.apply_array(np.array([[0, y, z]], np.float32))[0], np.float32)

    def depth(self, border: Border) -> HeadDepth | None:
        """Return how far away ears, skull, jaw and neck are, over the square within a border."""
        if self.shape is None:
            return None
        return HeadDepth.of(self.pose.apply_array(self.shape.vertices), self.shape.triangles, border)
