"""Where the lower face lies in a frame: a soft mask around mouth and chin, exactly 0 everywhere else."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.geometry.easing import smoothstep

# Points of the mesh: along the jaw from ear to ear, and back over cheeks and nostrils below the nose.
JAW = np.array([132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361])
ABOVE = np.array([425, 358, 327, 2, 98, 129, 205])
CHIN, NOSE_BASE = 152, 2
LOWERED = 0.45  # of the height from nose to chin: how far below the jaw the neck follows a mouth that opens
FEATHER = 0.28  # of that height


@dataclass(frozen=True)
class LowerFace:
    """A soft mask. left, top: of its box in px. weight: (h, w, 1) in [0, 1], 0 beyond the box."""

    left: int
    top: int
    weight: NDArray[np.float32]

    def lay(self, changed: Frame, frame: Frame, share: float = 1.0) -> Frame:
        """Return a frame that is `changed` (H, W, 3) in the lower face alone, and to the bit itself around it.

        share: how much of the change shows.
        """
        height, width = self.weight.shape[:2]
        part = np.s_[self.top : self.top + height, self.left : self.left + width]
        out = frame.copy()
        before = frame[part].astype(np.float32)
        out[part] = np.rint(before + share * self.weight * (changed[part].astype(np.float32) - before))
        return out


def find_lower_face(landmarks_px: Points, size: tuple[int, int]) -> LowerFace | None:
    """Return the lower face of landmarks (468 or more, 3) in a frame of a size (height, width); None if outside it."""
    points = landmarks_px[:, :2].astype(np.float64)
    down = points[CHIN] - points[NOSE_BASE]
    height_px = max(float(np.linalg.norm(down)), 1.0)
    outline = np.concatenate([_lowered(points, down), points[ABOVE]])
    low = np.maximum(np.floor(outline.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(outline.max(0)).astype(int) + 2, size[::-1])
    width, height = (high - low).tolist()
    if width <= 2 or height <= 2:
        return None
    inside = np.zeros((height + 2, width + 2), np.uint8)  # a border, so that distances end at the box
    cv2.fillPoly(inside, [np.round((outline - low + 1) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    inside[[0, -1]] = inside[:, [0, -1]] = 0
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    weight = smoothstep((distance / (FEATHER * height_px)).astype(np.float32))
    return LowerFace(int(low[0]), int(low[1]), np.asarray(weight[..., None], np.float32))


def _lowered(points: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the jaw (17, 2), moved down most in its middle."""
    share = np.sin(np.linspace(0, np.pi, len(JAW)))[:, None]
    return np.asarray(points[JAW] + LOWERED * share * down)
