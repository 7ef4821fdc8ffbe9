"""How a motion of compact lies in tensors, said once: for posing, for following, and for training.

expression: (B, KEYPOINTS, 3). The first POINTS are offsets of the mesh on the canonical head, the last one is the gaze.
extra: (B, POINTS + CELLS * CELLS, 3), where a driving was compared with its first frame. The first POINTS are keypoint
residuals: how far the mesh of this frame misses the face, on the canonical head. The rest are the surroundings: how far
each cell of a grid over the head's square moves beside what the mesh says, (x, y, 0), in halves of the square's side.
"""

from __future__ import annotations

from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.errors import MotionFileError

POINTS = 468  # of the mesh
KEYPOINTS = POINTS + 1  # the last one is the gaze
CELLS = 24  # of the grid on which the surroundings move, along one side


def no_extra(like: Tensor) -> Tensor:
    """Return the `extra` of a motion that misses nothing: (1, POINTS + CELLS * CELLS, 3)."""
    return like.new_zeros(1, POINTS + CELLS * CELLS, 3)


def require_extra(extra: Tensor) -> Tensor:
    """Return an `extra`, or raise MotionFileError where it has another family's shape."""
    if extra.shape[1:] != (POINTS + CELLS * CELLS, 3):
        raise MotionFileError("a motion whose extra is not that of compact; make it again with vid2vid motion")
    return extra


def as_cells(surroundings: Tensor) -> Points:
    """Return the surroundings of one frame (1, CELLS * CELLS, 3) as a grid (CELLS, CELLS, 2)."""
    return surroundings[0, :, :2].cpu().numpy().reshape(CELLS, CELLS, 2)


def unit_points(landmarks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring landmarks (B, 468 or 470, 3) from crop px to [-1, 1] of the crop's longer side, its centre at 0."""
    height, width = size
    half = max(height, width) / 2
    return (landmarks - landmarks.new_tensor([width / 2, height / 2, 0.0])) / half
