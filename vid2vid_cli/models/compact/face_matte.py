"""The matte of a person whose face is known."""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points

FACE_EDGE = 0.015  # of the face's width: where the face's own matte falls to 0


def with_face(matte: Map, points_px: Points) -> Map:
    """Return a matte (H, W) that is 1 all over the face as well. points_px: (468, 3)."""
    hull = cv2.convexHull(np.round(points_px[:, :2] * 8).astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros(matte.shape, np.uint8), hull, 1, cv2.LINE_8, 3)
    size = max(float(np.ptp(points_px[:, 0])) * FACE_EDGE, 0.5)
    # 1 inside the face, falling to 0 at its edge.
    inner = np.clip(cv2.GaussianBlur(face.astype(np.float32), (0, 0), size) * 2 - 1, 0, 1)
    return np.asarray(np.maximum(matte, inner), np.float32)
