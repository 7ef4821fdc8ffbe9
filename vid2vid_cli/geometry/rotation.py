"""Rotations of the head: matrices, the user's yaw, pitch and roll, and paths between two rotations.

Frame: x right, y down, z away from the camera (right-handed), so a face looks towards -z.
Head pose as the user knows it: yaw > 0 turns the face towards the viewer's right, pitch > 0 lifts the chin,
roll > 0 tilts the head clockwise as the viewer sees it. In that frame R = Rz(roll) Ry(-yaw) Rx(-pitch).
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_from_pose(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Return the rotation of a head pose.

    yaw, pitch, roll: (B,), radians, in the user's convention (module docstring).
    Returns (B, 3, 3), to be applied to column vectors.
    """
    # The user's yaw and pitch are negative turns about y and x of this frame.
    sy, cy = torch.sin(-yaw), torch.cos(-yaw)
    sx, cx = torch.sin(-pitch), torch.cos(-pitch)
    sz, cz = torch.sin(roll), torch.cos(roll)
    rows = [
        torch.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx], -1),
        torch.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx], -1),
        torch.stack([-sy, cy * sx, cy * cx], -1),
    ]
    return torch.stack(rows, -2)


def pose_from_rotation(rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return yaw, pitch and roll of a rotation: the inverse of `rotation_from_pose` for |yaw| < 90 degrees.

    rotation: (B, 3, 3). Returns three tensors (B,), radians.
    """
    yaw = torch.asin(rotation[:, 2, 0].clamp(-1.0, 1.0))
    pitch = -torch.atan2(rotation[:, 2, 1], rotation[:, 2, 2])
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return yaw, pitch, roll


def axis_angle_from_rotation(rotation: Tensor) -> Tensor:
    """Return the rotation vector (axis times angle) of a rotation of less than 180 degrees.

    rotation: (B, 3, 3). Returns (B, 3), radians.
    """
    skew = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        -1,
    )
    sine = skew.norm(dim=-1, keepdim=True) / 2
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2
    angle = torch.atan2(sine, cosine)
    # angle / sine tends to 1 for small angles; the clamp avoids 0 / 0.
    return skew / 2 * torch.where(sine > 1e-6, angle / sine.clamp_min(1e-12), torch.ones_like(sine))


def rotation_from_axis_angle(vector: Tensor) -> Tensor:
    """Return the rotation about the axis `vector` by its length (Rodrigues' formula).

    vector: (B, 3), radians. Returns (B, 3, 3).
    """
    zero = torch.zeros_like(vector[:, 0])
    x, y, z = vector.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    turned: Tensor = torch.linalg.matrix_exp(cross)
    return turned


def interpolate_rotation(start: Tensor, end: Tensor, amount: float) -> Tensor:
    """Return the rotation a part of the way from `start` to `end` along the shortest path.

    start, end: (B, 3, 3). amount: 0 gives start, 1 gives end, more goes beyond. Returns (B, 3, 3).
    """
    if amount == 1.0:
        return end  # exactly, without the rounding of the way over the axis
    step = axis_angle_from_rotation(end @ start.transpose(-1, -2))
    return rotation_from_axis_angle(step * amount) @ start
