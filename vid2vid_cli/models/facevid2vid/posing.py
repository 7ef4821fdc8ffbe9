"""How face-vid2vid's keypoints are posed and how they follow a driving."""

from __future__ import annotations

from torch import Tensor

from vid2vid_cli.motion import Motion


def pose_keypoints(canonical: Tensor, motion: Motion) -> Tensor:
    """Return R k + t + exp, the expression not rotated (paper, eq. 1): (1 or B, K, 3) to (B, K, 3)."""
    return canonical @ motion.rotation.transpose(-1, -2) + motion.translation[:, None] + motion.expression


def follow(source: Tensor, driving: Tensor, reference: Tensor, scale: float = 1.0) -> Tensor:
    """Move the source's keypoints (1, K, 3) as the driving's (B, K, 3) move from a reference (1, K, 3)."""
    return source + scale * (driving - reference)
