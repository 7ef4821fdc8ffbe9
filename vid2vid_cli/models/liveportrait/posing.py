"""How LivePortrait's keypoints are posed and how they follow a driving (paper, eq. 2 to 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.motion import Motion


def rotation_from_degrees(degrees: Tensor) -> Tensor:
    """Return Rz(roll) Ry(yaw) Rx(pitch), for column vectors: (B, 3) pitch, yaw, roll to (B, 3, 3).

    x right, y down, z away: with positive yaw a face looks to the viewer's left, with positive pitch down.
    """
    # The published code keeps the transposed matrix and row vectors.
    pitch, yaw, roll = torch.deg2rad(degrees).unbind(1)
    zero, one = torch.zeros_like(pitch), torch.ones_like(pitch)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).reshape(-1, 3, 3)

    x = matrix(one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos())
    y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return z @ y @ x


def pose_keypoints(canonical: Tensor, motion: Motion) -> Tensor:
    """Return scale (R k + exp) + t without the z of t: (1 or B, K, 3) to (B, K, 3)."""
    turned = canonical @ motion.rotation.transpose(-1, -2) + motion.expression
    # Depth shows in the scale alone.
    shift = motion.translation * motion.translation.new_tensor([1.0, 1.0, 0.0])
    return motion.scale[:, None] * turned + shift[:, None]


def follow(source: Motion, driving: Motion, reference: Motion) -> Motion:
    """Move a source (of one frame) as a driving (of B frames) moves from a reference (of one frame)."""
    # With transposed matrices R_d R_0^T R_s: turns are made in the source's own frame.
    return Motion(
        rotation=source.rotation @ reference.rotation.transpose(-1, -2) @ driving.rotation,
        translation=source.translation + driving.translation - reference.translation,
        scale=source.scale * driving.scale / reference.scale,
        expression=source.expression + driving.expression - reference.expression,
    )


def amplify(source: Tensor, driven: Tensor, first: Tensor, multiplier: float) -> Tensor:
    """Return keypoints (B, K, 3) whose difference to those of the first frame is multiplied."""
    return source + multiplier * (driven - first)
