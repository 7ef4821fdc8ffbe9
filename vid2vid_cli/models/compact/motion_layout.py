"""How a motion of compact lies in tensors, said once: for posing, for following, and for training.

expression: (B, KEYPOINTS, 3). The first POINTS are offsets of the mesh on the canonical head, the last one is the gaze.
extra: (B, POINTS + AROUND, 3), where a driving was compared with its first frame. The first POINTS are keypoint
residuals: how far the mesh of this frame misses the face, on the canonical head. Then come the surroundings: how far
each cell of a grid over the head's square moves beside what the mesh and its residuals say, (x, y, 0), in halves of the
square's side, for the driver's own picture. The last is the body: how far all of it moves beside the mesh alone, for
other people, who have no use for residuals. Calls, and motion files of earlier versions, end before it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.errors import MotionFileError

POINTS = 468  # of the mesh
KEYPOINTS = POINTS + 1  # the last one is the gaze
CELLS = 24  # of the grid on which the surroundings move, along one side
AROUND = CELLS * CELLS + 1  # the last one is the body


def no_extra(like: Tensor) -> Tensor:
    """Return the `extra` of a motion that misses nothing: (1, POINTS + AROUND, 3)."""
    return like.new_zeros(1, POINTS + AROUND, 3)


def require_extra(extra: Tensor) -> Tensor:
    """Return an `extra`, or raise MotionFileError where it has another family's shape."""
    if extra.shape[1:] not in ((POINTS + AROUND, 3), (POINTS + AROUND - 1, 3)):
        raise MotionFileError("a motion whose extra is not that of compact; make it again with vid2vid motion")
    return extra


def as_cells(surroundings: Tensor) -> Points:
    """Return the surroundings of one frame (1, AROUND or one less, 3) as a grid (CELLS, CELLS, 2)."""
    return surroundings[0, : CELLS * CELLS, :2].cpu().numpy().reshape(CELLS, CELLS, 2)


def body_in(surroundings: Tensor) -> Points:
    """Return how the body moves (2,) in the surroundings of one frame (1, AROUND or one less, 3)."""
    if surroundings.shape[1] < AROUND:
        return body_of(as_cells(surroundings))
    return surroundings[0, -1, :2].cpu().numpy()


def body_of(cells: Points) -> Points:
    """Return how the body moves as one piece (2,), of cells (CELLS, CELLS, 2): shoulders lie in the lowest third."""
    return np.asarray(np.median(cells[2 * len(cells) // 3 :], axis=(0, 1)), np.float32)


def unit_points(landmarks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring landmarks (B, 468 or 470, 3) from crop px to [-1, 1] of the crop's longer side, its centre at 0."""
    height, width = size
    half = max(height, width) / 2
    return (landmarks - landmarks.new_tensor([width / 2, height / 2, 0.0])) / half
